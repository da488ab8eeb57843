//! Runs a case in the real Envoy named by `ENVOY`: one worker, one listener, a fake upstream.

use crate::{
    Outcome,
    cases::{Case, Step},
    filter, hello,
};
use host_mock::FailPolicy;
use std::{
    collections::BTreeMap,
    io::{ErrorKind, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// What passes before the next step: what Envoy does at once, it does well within this.
const SETTLE: Duration = Duration::from_millis(60);

/// A client that has no answer after this is said to hang; less than stream_idle_timeout.
const HANG: Duration = Duration::from_millis(300);

pub(crate) fn run(case: &Case) -> Outcome {
    let upstream = upstream();
    let envoy = Running::start(case, upstream);
    let mut clients: BTreeMap<char, TcpStream> = BTreeMap::new();
    let mut left = Vec::new();
    for step in &case.script {
        match *step {
            Step::Get(name) => {
                clients.insert(name, envoy.open("GET", "content-length: 0\r\n"));
            }
            Step::Post(name) => {
                clients.insert(name, envoy.open("POST", "transfer-encoding: chunked\r\n"));
            }
            Step::Chunk(name, len) => {
                let chunk = format!("{len:x}\r\n{}\r\n", "x".repeat(len));
                // Envoy may have answered and closed already, which the outcome shows.
                let _ = clients[&name].try_clone().unwrap().write_all(chunk.as_bytes());
            }
            Step::End(name) => {
                let _ = clients[&name].try_clone().unwrap().write_all(b"0\r\n\r\n");
            }
            Step::Leave(name) => {
                clients[&name].shutdown(std::net::Shutdown::Both).unwrap();
                left.push(name);
            }
            Step::Tick => thread::sleep(Duration::from_millis(450)),
            Step::Idle => thread::sleep(Duration::from_millis(1300)),
        }
        thread::sleep(SETTLE);
    }
    let seen = clients.iter_mut().map(|(name, client)| match left.contains(name) {
        true => format!("{name}: left"),
        false => format!("{name}: {}", read(client)),
    });
    let clients = seen.collect();
    Outcome { clients, trace: envoy.stop() }
}

/// Reads an answer to its end.
fn read(client: &mut TcpStream) -> String {
    client.set_read_timeout(Some(HANG)).unwrap();
    let (mut bytes, mut buffer) = (Vec::new(), [0; 65536]);
    let hangs = loop {
        match client.read(&mut buffer) {
            Ok(0) => break false,
            Ok(len) => bytes.extend_from_slice(&buffer[..len]),
            Err(error) => {
                break matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
            }
        }
        if whole(&bytes) {
            break false;
        }
    };
    let text = String::from_utf8_lossy(&bytes);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return if hangs { "hangs" } else { "closed" }.to_owned();
    };
    let status = head.split(' ').nth(1).unwrap();
    let chunked = head.contains("chunked");
    let body = if chunked { dechunk(body) } else { body.to_owned() };
    format!("{status} {body}{}", if hangs { "(hangs)" } else { "" })
}

fn whole(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    match length.and_then(|length| length.parse::<usize>().ok()) {
        Some(length) => body.len() >= length,
        None => body.ends_with("0\r\n\r\n"),
    }
}

fn dechunk(body: &str) -> String {
    body.split("\r\n").skip(1).step_by(2).collect()
}

/// Answers `hello <bytes of the body>` to each whole request; returns its port.
fn upstream() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            thread::spawn(move || serve(client));
        }
    });
    port
}

fn serve(mut client: TcpStream) -> Option<()> {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 65536]);
    loop {
        let len = client.read(&mut buffer).ok().filter(|len| *len > 0)?;
        bytes.extend_from_slice(&buffer[..len]);
        if !whole(&bytes) && !String::from_utf8_lossy(&bytes).starts_with("GET") {
            continue;
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if text.starts_with("GET /slow") {
            // Until Envoy gives up on it.
            let _ = client.read(&mut buffer);
            return None;
        }
        let (head, body) = text.split_once("\r\n\r\n")?;
        let body = if head.contains("chunked") { dechunk(body) } else { body.to_owned() };
        let x_a: Vec<_> = head.lines().filter_map(|line| line.strip_prefix("x-a: ")).collect();
        let answer = hello(body.len(), &x_a.join(","));
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", answer.len());
        client.write_all((head + &answer).as_bytes()).ok()?;
        bytes.clear();
    }
}

/// An Envoy with its directory; killed when dropped.
struct Running {
    child: Child,
    directory: tempfile::TempDir,
    port: u16,
}

impl Running {
    fn start(case: &Case, upstream: u16) -> Self {
        let envoy = std::env::var("ENVOY").expect("ENVOY names the Envoy to agree with");
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let wasm = wat::parse_str(filter::wat(&case.filter)).unwrap();
        std::fs::write(path("filter.wasm"), wasm).unwrap();
        let config = bootstrap(case, &path("filter.wasm").display().to_string(), upstream);
        std::fs::write(path("envoy.json"), config).unwrap();
        let log = std::fs::File::create(path("log")).unwrap();
        let child = Command::new(envoy)
            .args(["--concurrency", "1", "--use-dynamic-base-id", "-l", "info", "-c"])
            .arg(path("envoy.json"))
            .arg("--admin-address-path")
            .arg(path("admin"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut running = Self { child, directory, port: 0 };
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(port) = running.listens_on() {
                running.port = port;
                return running;
            }
            assert!(Instant::now() < deadline, "Envoy did not start:\n{}", running.log());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// The port that Envoy was given for the listener, once it listens. One that was free a moment ago
    /// may be another test's by now.
    fn listens_on(&self) -> Option<u16> {
        let admin = std::fs::read_to_string(self.directory.path().join("admin")).ok()?;
        let mut admin = TcpStream::connect(admin.trim()).ok()?;
        admin
            .write_all(b"GET /listeners HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n")
            .ok()?;
        let mut answer = String::new();
        admin.read_to_string(&mut answer).ok()?;
        let port =
            answer.lines().find_map(|line| line.strip_prefix("l::127.0.0.1:"))?.parse().ok()?;
        TcpStream::connect(("127.0.0.1", port)).is_ok().then_some(port)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap()
    }

    fn open(&self, method: &str, headers: &str) -> TcpStream {
        let mut client = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let head =
            format!("{method} / HTTP/1.1\r\nhost: test\r\nx-a: 1\r\nx-a: 2\r\n{headers}\r\n");
        client.write_all(head.as_bytes()).unwrap();
        client
    }

    /// The filter's info lines: `... wasm log p r vm: a request_headers`, or without the `p` from the
    /// root context.
    fn stop(mut self) -> Vec<String> {
        let log = self.log();
        if let Some(status) = self.child.try_wait().unwrap() {
            let tail: Vec<_> = log.lines().rev().take(25).collect();
            return vec![format!("Envoy died: {status}: {}", tail.join("\n"))];
        }
        let lines = log.lines().filter(|line| line.contains("[info][wasm]"));
        lines
            .filter_map(|line| line.split_once(" r vm: ").map(|(_, text)| text.to_owned()))
            .collect()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn bootstrap(case: &Case, wasm: &str, upstream: u16) -> String {
    let policy = match case.policy {
        FailPolicy::Close => "FAIL_CLOSED",
        FailPolicy::Open => "FAIL_OPEN",
        FailPolicy::Reload => "FAIL_RELOAD",
    };
    let address =
        |port| format!(r#"{{"socket_address":{{"address":"127.0.0.1","port_value":{port}}}}}"#);
    let stop = case.stop_iteration;
    let retries = match case.retries {
        0 => String::new(),
        count => format!(r#","retry_policy":{{"retry_on":"reset","num_retries":{count}}}"#),
    };
    let filter = format!(
        r#"{{"name":"wasm","typed_config":{{"@type":"type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm","config":{{
        "name":"p","root_id":"r","allow_on_headers_stop_iteration":{stop},"failure_policy":"{policy}","vm_config":{{"vm_id":"vm",
        "runtime":"envoy.wasm.runtime.v8","code":{{"local":{{"filename":"{wasm}"}}}}}}}}}}}}"#
    );
    let router = r#"{"name":"envoy.filters.http.router","typed_config":{"@type":"type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}"#;
    let manager = format!(
        r#"{{"@type":"type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix":"x","stream_idle_timeout":"1s","route_config":{{"virtual_hosts":[{{"name":"v","domains":["*"],
        "routes":[{{"match":{{"prefix":"/"}},"route":{{"cluster":"up"{retries}}}}}]}}]}},"http_filters":[{filter},{router}]}}"#
    );
    let (any, up) = (address(0), address(upstream));
    // Given to nobody who asks for a free one.
    let gone = 1;
    let cluster = |name: &str, address: String| {
        format!(
            r#"{{"name":"{name}","type":"STATIC","load_assignment":{{"cluster_name":"{name}","endpoints":[
            {{"lb_endpoints":[{{"endpoint":{{"address":{address}}}}}]}}]}}}}"#
        )
    };
    let (up, gone) = (cluster("up", up), cluster("gone", address(gone)));
    format!(
        r#"{{"admin":{{"address":{any}}},"static_resources":{{"listeners":[{{"name":"l","address":{any},"filter_chains":[{{"filters":[
        {{"name":"envoy.filters.network.http_connection_manager","typed_config":{manager}}}]}}]}}],
        "clusters":[{up},{gone}]}}}}"#
    )
}
