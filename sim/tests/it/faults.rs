//! Every way to fail, seen from a client.

use std::{
    io::{ErrorKind, Read},
    net::SocketAddr,
    time::Duration,
};

use serde_json::Value;
use sim::{Fault, Kind, Options, Server};

use crate::client::{call, get, open, post};

const STREAM: &str = r#"{"prompt":"x","max_tokens":9,"ignore_eos":true,"stream":true}"#;

fn server() -> Server {
    let options = Options { speed: 50.0, admin_port: Some(0), ..Options::default() };
    Server::start(options).unwrap()
}

fn order(server: &Server, fault: &str) {
    let answer = post(server.admin.unwrap(), "/admin/fault", fault);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

fn complete(addr: SocketAddr) -> std::io::Result<String> {
    call(addr, "POST /v1/completions", "", STREAM)
}

#[test]
fn refuse_closes_the_port_until_healed() {
    let server = server();
    order(&server, r#"{"kind":"refuse"}"#);
    // The listener is closed by another thread, soon.
    let refused = (0..1_000).any(|_| {
        std::thread::sleep(Duration::from_millis(1));
        complete(server.addr).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
    });
    assert!(refused);
    order(&server, r#"{"kind":"none"}"#);
    let healed = (0..1_000).any(|_| {
        std::thread::sleep(Duration::from_millis(1));
        complete(server.addr).is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
    });
    assert!(healed);
}

#[test]
fn hang_accepts_and_says_nothing() {
    let server = server();
    server.fault(Fault::new(Kind::Hang));
    let mut client = open(server.addr, "GET /health", "", "").unwrap();
    client.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let error = client.read(&mut [0]).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
}

#[test]
fn busy_refuses_work_and_stays_healthy() {
    let server = server();
    order(&server, r#"{"kind":"busy"}"#);
    assert!(complete(server.addr).unwrap().starts_with("HTTP/1.1 503"));
    assert!(call(server.addr, "GET /health", "", "").unwrap().starts_with("HTTP/1.1 200"));
}

#[test]
fn a_dead_engine_is_unhealthy_and_then_gone() {
    let server = server();
    let addr = server.addr;
    order(&server, r#"{"kind":"health503","seconds":0.2}"#);
    assert!(call(addr, "GET /health", "", "").unwrap().starts_with("HTTP/1.1 503"));
    assert!(complete(addr).unwrap().starts_with("HTTP/1.1 500"));
    server.wait();
    assert_eq!(complete(addr).unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn streams_break_with_an_error_or_a_reset() {
    let server = server();
    order(&server, r#"{"kind":"stream_error","after":3}"#);
    let answer = complete(server.addr).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"));
    assert_eq!(answer.matches(r#""text":"#).count(), 3);
    assert!(answer.contains("data: {\"error\":{") && answer.contains("\"code\":500}}"), "{answer}");
    assert!(answer.contains("data: [DONE]"));
    order(&server, r#"{"kind":"stream_reset"}"#);
    assert_eq!(complete(server.addr).unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn metrics_are_truncated_or_garbage_or_slow() {
    let server = server();
    order(&server, r#"{"kind":"truncated_metrics"}"#);
    let page = get(server.addr, "/metrics");
    assert!(page.ends_with("vllm:num_requests_waiting{engine"), "{page}");
    order(&server, r#"{"kind":"slow_metrics","delay":0.05}"#);
    let began = std::time::Instant::now();
    get(server.addr, "/metrics");
    assert!(began.elapsed() >= Duration::from_millis(50));
    order(&server, r#"{"kind":"garbage_metrics"}"#);
    let mut bytes = Vec::new();
    open(server.addr, "GET /metrics", "", "").unwrap().read_to_end(&mut bytes).unwrap();
    assert!(String::from_utf8(bytes).is_err());
}

#[test]
fn a_restart_forgets_everything_and_resets_streams() {
    let server = server();
    complete(server.addr).unwrap();
    let endless = STREAM.replace('9', "99999");
    let mut client = open(server.addr, "POST /v1/completions", "", &endless).unwrap();
    client.read_exact(&mut [0; 100]).unwrap();
    order(&server, r#"{"kind":"restart"}"#);
    let error = client.read_to_end(&mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert_eq!(server.state()["generated_tokens"], 0);
    complete(server.addr).unwrap();
}

#[test]
fn pause_keeps_requests_waiting_and_health_good() {
    let server = server();
    order(&server, r#"{"kind":"pause"}"#);
    let mut client = open(server.addr, "POST /v1/completions", "", STREAM).unwrap();
    while server.state()["waiting"] != 1 {
        std::thread::yield_now();
    }
    assert!(call(server.addr, "GET /health", "", "").unwrap().starts_with("HTTP/1.1 200"));
    order(&server, r#"{"kind":"none"}"#);
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("[DONE]"));
}

#[test]
fn an_unknown_fault_is_refused_with_what_is_allowed() {
    let server = server();
    let answer = post(server.addr, "/admin/fault", r#"{"kind":"sleepy"}"#);
    let body: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    insta::assert_snapshot!(body["error"]["message"], @r#""unknown variant `sleepy`, expected one of `none`, `refuse`, `hang`, `busy`, `health503`, `stream_error`, `stream_reset`, `slow_metrics`, `truncated_metrics`, `garbage_metrics`, `restart`, `pause` at line 1 column 16""#);
}
