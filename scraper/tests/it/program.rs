//! The program itself: its output and its end.

use std::{
    fs,
    io::{BufRead, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
};

use sha2::{Digest as _, Sha256};

use crate::world::{Pod, page, page_of};

const SECRET: &str = "0123456789abcdef";

/// Variable that has this program of tests panic in a task, and wait.
const PANICS: &str = "LLM_PICKER_TEST_PANICS";

#[tokio::test]
async fn a_panic_in_a_task_ends_the_process() {
    if std::env::var_os(PANICS).is_some() {
        scraper::abort_on_panic();
        let task = tokio::spawn(async { panic!("as any task may") });
        let _ = task.await;
        return;
    }
    let mut itself = Command::new(std::env::current_exe().unwrap());
    itself.args(["--exact", "program::a_panic_in_a_task_ends_the_process", "--nocapture"]);
    let output = tokio::task::spawn_blocking(move || itself.env(PANICS, "").output().unwrap());
    let output = output.await.unwrap();
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(last_words(&output).contains("as any task may"), "{}", last_words(&output));
}

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_llm-scraper"));
    command.args(["--endpoint", "127.0.0.1:1", "--envoy", "http://127.0.0.1:1"]);
    command
        .args(["--listen", "127.0.0.1:0"])
        .env_remove("LLM_PICKER_SECRET")
        .env_remove("RUST_LOG");
    command
}

/// Returns the program with these arguments and no secret.
fn bare(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_llm-scraper"));
    command.args(args).env_remove("LLM_PICKER_SECRET").env_remove("RUST_LOG");
    command
}

/// Runs the program to its end, which must be a success, and returns its output.
async fn printed(mut command: Command) -> String {
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{}", last_words(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn last_words(output: &Output) -> &str {
    str::from_utf8(&output.stderr).unwrap().trim_end()
}

#[test]
fn without_a_good_secret_it_does_not_start() {
    let output = program().output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    insta::assert_snapshot!(last_words(&output), @"llm-scraper: the environment variable LLM_PICKER_SECRET is not set: it must hold the secret that the Envoys have too, 16 bytes or more");

    let output = program().env("MINE", "short").args(["--secret-env", "MINE"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    insta::assert_snapshot!(last_words(&output), @"llm-scraper: invalid secret in the environment variable MINE: found 5 bytes; allowed: 16 or more");
}

#[test]
fn an_objective_given_twice_is_refused() {
    let twice = ["--objective", "paid=10", "--objective", "paid=20"];
    let output = program().env("LLM_PICKER_SECRET", SECRET).args(twice).output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(1));
    insta::assert_snapshot!(last_words(&output), @r#"llm-scraper: invalid objective "paid": must be given only once"#);
}

#[test]
fn it_says_where_it_listens_and_stops_when_asked() {
    let (child, _) = started(&mut program());

    let killed = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", last_words(&output));
    assert!(last_words(&output).contains("SIGTERM: stopping"), "{}", last_words(&output));
}

#[test]
fn ready_asks_one_that_runs() {
    let ask = |args: &[&str]| {
        let output = bare(&[&["ready"], args].concat()).output().unwrap();
        let said = String::from_utf8(output.stdout.clone()).unwrap();
        (output.status.code(), said, last_words(&output).to_owned())
    };
    // Neither its pod nor its Envoy is there, so it never is.
    let (mut child, address) = started(&mut program());
    let (code, said, why) = ask(&[&address]);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!((code, &*said), (Some(1), ""), "{why}");
    assert!(why.contains(" is not ready: answered 503 Service Unavailable: not ready: "), "{why}");

    let (code, said, why) = ask(&["127.0.0.1:1"]);
    assert_eq!((code, &*said), (Some(1), ""), "{why}");
    assert_eq!(why, "llm-scraper: 127.0.0.1:1 is not ready: connection refused");
    for wrong in ["127.0.0.1", "http://127.0.0.1:1", "me@host:1", ""] {
        let (code, _, why) = ask(&[wrong]);
        assert_eq!(code, Some(2), "{why}");
        assert!(why.contains("must be HOST:PORT"), "{why}");
    }

    // One that pushes nowhere is ready once its pod was tried.
    let mut fetched = bare(&["--endpoint", "127.0.0.1:1", "--pull", "--listen", "127.0.0.1:0"]);
    let (mut child, address) = started(&mut fetched);
    let ready = (0..100).find_map(|_| {
        std::thread::sleep(std::time::Duration::from_millis(50));
        let (code, said, _) = ask(&[&address, "--within", "2s"]);
        (code == Some(0)).then_some(said)
    });
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(ready.as_deref(), Some("ready\n"));
}

/// Starts the program, and returns it with the address of its pages.
fn started(command: &mut Command) -> (Child, String) {
    command.env("LLM_PICKER_SECRET", SECRET).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening: http://").expect(&line).to_owned();
    assert!(address.starts_with("127.0.0.1:"), "{address}");
    (child, address)
}

/// Returns the head of an answer in lower case, and its body.
fn fetch(address: &str, path: &str, header: &str) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{header}\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|it| it == b"\r\n\r\n").unwrap();
    let body = answer.split_off(end + 4);
    (String::from_utf8(answer).unwrap().to_lowercase(), body)
}

#[tokio::test]
async fn one_look_needs_no_secret_and_tells_of_every_pod() {
    let (busy, idle) = (Pod::start(page(3)).await, Pod::start(page_of(0, 0)).await);
    let gone = Pod::start(page(0)).await;
    let away = gone.address.to_string();
    gone.stop().await;
    let [busy, idle] = [busy, idle].map(|pod| (pod.address.to_string(), pod));
    let labelled = format!("{} llm-d.ai/role=decode", busy.0);
    let mut args = vec!["--once", "--pool", "chat", "--objective", "batch=-5"];
    args.extend(["--endpoint", &labelled, "--endpoint", &idle.0, "--endpoint", &away]);
    let mut said = printed(bare(&args)).await;
    for (address, name) in [(&busy.0, "BUSY"), (&idle.0, "IDLE"), (&away, "AWAY")] {
        said = said.replace(address, name);
    }
    let mut json: serde_json::Value = serde_json::from_str(&said).unwrap();
    let endpoints = json[0]["endpoints"].as_array_mut().unwrap();
    for metrics in endpoints.iter_mut().map(|it| &mut it["metrics"]).filter(|it| !it.is_null()) {
        let age = metrics["ageMs"].take();
        assert!(age.as_u64().unwrap() < 20_000, "{age}");
    }
    let lines = endpoints.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    insta::assert_snapshot!(lines, @r#"
    {"address":"BUSY","health":"up","labels":{"llm-d.ai/role":"decode"},"metrics":{"adapters":null,"ageMs":null,"cache":null,"kvUsage":0.5,"running":2,"waiting":3}}
    {"address":"IDLE","health":"up","labels":{},"metrics":{"adapters":null,"ageMs":null,"cache":null,"kvUsage":0.5,"running":0,"waiting":0}}
    {"address":"AWAY","health":"down","labels":{},"metrics":null}
    "#);
    assert_eq!(json[0]["pool"], "chat");
    assert_eq!(json[0]["objectives"], serde_json::json!([{"name": "batch", "priority": -5}]));
}

#[tokio::test]
async fn a_request_is_explained_by_what_the_pods_say_now() {
    let (busy, idle) = (Pod::start(page(3)).await, Pod::start(page(0)).await);
    let [busy, idle] = [busy, idle].map(|pod| (pod.address.to_string(), pod));
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| -> PathBuf {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let body = write("body", r#"{"model": "m", "messages": [{"role": "user", "content": "Hi"}]}"#);
    let picker = write("picker", "plugins:\n- type: queue-scorer\n");
    let broken = write("broken", r#"{"plugins": [{"type": "queue-score"}]}"#);
    let explain = |picker: &PathBuf| {
        let mut command = bare(&["--endpoint", &busy.0, "--endpoint", &idle.0, "explain"]);
        command.arg(&body).arg("--picker").arg(picker);
        command
    };
    let said = printed(explain(&picker)).await.replace(&busy.0, "BUSY").replace(&idle.0, "IDLE");
    let lines: Vec<Vec<_>> = said.lines().map(|line| line.split_whitespace().collect()).collect();
    assert!(lines.contains(&vec!["picked", "IDLE", "with", "1.000,", "then", "BUSY"]), "{said}");
    assert!(lines.iter().any(|line| line.starts_with(&["BUSY", "0.000", "0.000"])), "{said}");

    let mut command = explain(&broken);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = last_words(&output);
    let fault = r#"broken:1:23: invalid plugins[0].type "queue-score": must be a known name; did you mean "queue-scorer"?"#;
    assert!(said.contains(fault), "{said}");
}

#[test]
fn settings_are_checked_without_a_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("scraper.yaml");
    let check = |text: &str| {
        fs::write(&path, text).unwrap();
        let mut command = bare(&["--check", "--config", path.to_str().unwrap()]);
        command.env("LLM_PICKER_SECRET", SECRET).output().unwrap()
    };
    let output = check(
        "gateways: {service: {name: ingest}, urls: ['http://10.0.0.5:15080']}
interval: 20ms
pools:
- {name: chat, endpoints: ['10.0.0.1:8000', 'vllm:8000'], endpointsFile: /etc/more}
- inferencePool: {name: qwen, namespace: models}
",
    );
    assert!(output.status.success(), "{}", last_words(&output));
    insta::assert_snapshot!(String::from_utf8(output.stdout).unwrap(), @r#"
    the settings are good
      pool chat: 10.0.0.1:8000, vllm:8000, the file /etc/more
      pool qwen: InferencePool models/qwen
      pushes to http://10.0.0.5:15080, Service ingest
      every 20ms, each scrape and push within 1s
      serves its pages on 127.0.0.1:9091
    "#);

    let output = check("pools: [{endpoints: ['10.0.0.1']}]");
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    let said = last_words(&output).replace(path.to_str().unwrap(), "FILE");
    insta::assert_snapshot!(said, @r#"llm-scraper: FILE:1:22: invalid pools[0].endpoints[0]: invalid endpoint "10.0.0.1": must be HOST:PORT; found no port"#);
}

/// A reader that has seen enough, such as `head`, is no failure.
#[test]
fn a_closed_pipe_ends_the_program_quietly() {
    for args in [["migrate"].as_slice(), &["check"], &["migrate", "--plugin"]] {
        let mut command = bare(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        drop(child.stdout.take());
        child.stdin.take().unwrap().write_all(b"plugins: [{type: queue-scorer}]\n").unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        assert_eq!(last_words(&output), "", "{args:?}");
    }
}

#[test]
fn it_says_its_version() {
    let output = bare(&["--version"]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said, format!("llm-scraper {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_plugin_is_served_with_its_digest() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plugin.wasm");
    let plugin = [b"\0asm\x01\0\0\0".as_slice(), &[7; 100_000]].concat();
    fs::write(&path, &plugin).unwrap();
    let digest: String = Sha256::digest(&plugin).iter().map(|it| format!("{it:02x}")).collect();
    let (mut child, address) = started(program().arg("--plugin").arg(&path));

    let (head, body) = fetch(&address, "/plugin.wasm", "");
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert!(head.contains("content-type: application/wasm\r\n"), "{head}");
    assert!(head.contains(&format!("x-sha256: {digest}\r\n")), "{head}");
    assert_eq!(body, plugin);
    let (head, body) = fetch(&address, "/plugin.wasm", &format!("if-none-match: \"{digest}\"\r\n"));
    assert!(head.starts_with("http/1.1 304") && body.is_empty(), "{head}");
    let (_, body) = fetch(&address, "/plugin.wasm.sha256", "");
    assert_eq!(String::from_utf8(body).unwrap(), format!("{digest}  plugin.wasm\n"));
    child.kill().unwrap();
    child.wait().unwrap();

    let (mut child, address) = started(&mut program());
    for path in ["/plugin.wasm", "/plugin.wasm.sha256"] {
        let (head, body) = fetch(&address, path, "");
        assert!(head.starts_with("http/1.1 404") && !body.is_empty(), "{head}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    fs::write(&path, "<html>").unwrap();
    let output = program().env("LLM_PICKER_SECRET", SECRET).arg("--plugin").arg(&path).output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(last_words(&output).ends_with("must be a WebAssembly module"));
}

#[test]
fn a_debug_header_is_made_of_the_secret_and_holds_for_a_while() {
    let said = |args: &[&str]| {
        let output = bare(args).env("LLM_PICKER_SECRET", SECRET).output().unwrap();
        let code = output.status.code();
        (code, String::from_utf8(output.stdout.clone()).unwrap(), last_words(&output).to_owned())
    };
    let (code, header, _) = said(&["debug-header", "--for", "1h"]);
    assert_eq!(code, Some(0));
    let (name, value) = header.trim_end().split_once(": ").unwrap();
    let key = wire::push::Secret::new(SECRET.as_bytes()).unwrap();
    let key = wire::debug::DebugKey::from_secret(&key).unwrap();
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    assert_eq!(name, wire::debug::HEADER);
    assert_eq!(key.open(value.as_bytes(), now), Some(wire::debug::DebugWish::Decision));
    assert_eq!(key.open(value.as_bytes(), now + 3_601), None);
    let (_, explains, _) = said(&["debug-header", "--explain"]);
    assert!(explains.starts_with("x-llm-picker-debug: explain;expires="), "{explains}");
    let (code, _, why) = said(&["debug-header", "--for", "13h"]);
    assert_eq!(code, Some(1));
    insta::assert_snapshot!(why, @"llm-scraper: invalid time 13h: must be from 1s to 12h");
    let output = bare(&["debug-header"]).output().unwrap();
    assert!(
        last_words(&output).contains("LLM_PICKER_SECRET is not set"),
        "{}",
        last_words(&output)
    );
}

#[test]
fn a_gateway_that_cannot_be_asked_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let body = folder.path().join("body.json");
    fs::write(&body, "{}").unwrap();
    let ask = |url: &str| {
        let args = ["explain", "--gateway", url, body.to_str().unwrap()];
        let output = bare(&args).env("LLM_PICKER_SECRET", SECRET).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        last_words(&output).to_owned()
    };
    insta::assert_snapshot!(ask("http://127.0.0.1:1"), @"llm-scraper: failed to ask http://127.0.0.1:1: connection refused");
    insta::assert_snapshot!(ask("https://127.0.0.1:1"), @"llm-scraper: https://127.0.0.1:1 needs --ca FILE or --insecure-skip-verify");
}

#[test]
fn completions_and_a_manual_page_are_printed() {
    for (args, part) in [
        (&["completions", "bash"][..], "_llm__scraper()"),
        (&["completions", "zsh"], "#compdef llm-scraper"),
        (&["man"], ".TH llm-scraper 1"),
    ] {
        let output = bare(args).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && text.contains(part), "{args:?}: {text}");
    }
}
