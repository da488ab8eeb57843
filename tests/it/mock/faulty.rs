//! Configurations with faults: the plugin starts all the same, goes on with the last good one or without any, and
//! takes the next good one.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::time::Duration;

use host_mock::{Envoy, FailPolicy, Level, Metric, Plugin, Stream};
use serde_json::{Value, json};

use super::{
    flow::{script::Script, world::gated},
    push::{Pod, SECRET},
    world::{CHAT, DESTINATION, WORKERS, World, about, builder, chat_body},
};

const NONE: &[(&str, &str)] = &[];

/// A typing error in a plugin's type.
const MISTYPED: &str = r#"{"plugins": [{"type": "queu-scorer"}]}"#;

/// One of each kind, none of which says how to fail.
fn faulty() -> Vec<Vec<u8>> {
    let too_large = format!(r#"{{"kind": "{}"}}"#, "x".repeat(1 << 20));
    let texts = [
        "{",
        "[]",
        "null",
        r#"{"decisionHeder": true}"#,
        MISTYPED,
        r#"{"pools": [{"name": "a", "match": {"host": "a"}}, {"name": "b", "match": {"hosd": "b"}}, {"name": "default"}]}"#,
        r#"{"pull": {"cluster": "a", "secretEnv": "NO_SUCH_VARIABLE"}}"#,
        r#"{"failureMode": "FailClosed"}"#,
        &too_large,
    ];
    let texts = texts.map(|text| text.as_bytes().to_vec());
    texts.into_iter().chain([b"{\"kind\": \"\xff\"}".to_vec()]).collect()
}

fn picker(config: impl Into<Vec<u8>>) -> Plugin {
    Plugin::new("picker", config)
        .allow_on_headers_stop_iteration(true)
        .fail_policy(FailPolicy::Reload)
}

fn ingest(config: &str) -> Plugin {
    Plugin::new("ingest", config)
        .allow_on_headers_stop_iteration(true)
        .fail_policy(FailPolicy::Reload)
}

/// An Envoy that starts with this configuration of the picker.
fn envoy(config: impl Into<Vec<u8>>) -> Envoy {
    builder().plugin(picker(config)).start().unwrap()
}

fn is_ok(envoy: &Envoy) -> Option<Metric> {
    envoy.metric("llm_picker_config_ok")
}

fn errors(envoy: &Envoy) -> Vec<String> {
    let logs = envoy.logs();
    logs.into_iter().filter(|line| line.level >= Level::Error).map(|line| line.message).collect()
}

fn every_vm_lives(envoy: &Envoy) {
    assert!((0..WORKERS).all(|worker| envoy.worker(worker).alive()));
    assert!(envoy.main_thread().alive());
}

/// The picker's configuration of a world, with this in place of its keys.
fn with_way(config: &Value) -> String {
    let mut config = config.clone();
    config["envoy"] = json!({"hold": "stopIteration", "destination": "header"});
    config["decisionHeader"] = json!(true);
    config.to_string()
}

#[test]
fn a_new_envoy_passes_requests_unpicked() {
    for config in faulty() {
        let envoy = envoy(config.clone());
        let told = errors(&envoy);
        let text = String::from_utf8_lossy(&config[..config.len().min(60)]).into_owned();
        assert!(told[0].contains("lets requests pass unpicked; faults: 1"), "{text}: {told:?}");
        assert!(
            told[1].starts_with("invalid ") || told[1].starts_with("pull.secretEnv"),
            "{told:?}"
        );
        assert_eq!(told.len(), 2, "{text}: once for all workers, {told:?}");
        assert_eq!(is_ok(&envoy), Some(Metric::Gauge(0)), "{text}");
        for worker in 0..WORKERS {
            let headers = [
                (DESTINATION, "10.9.9.9:1"),
                ("x-gateway-destination-endpoint-subset", "a"),
                ("x-llm-picker-debug", "decision;expires=1;mac=0"),
            ];
            let stream = envoy.worker(worker).post(CHAT, &headers, &chat_body("hello"));
            let sent = stream.sent().unwrap();
            assert_eq!(sent.body, chat_body("hello"), "{text}");
            assert_eq!(sent.headers.get(DESTINATION), None, "a client chooses no endpoint: {text}");
            assert_eq!(sent.headers.get("x-gateway-destination-endpoint-subset"), None, "{text}");
            assert_eq!(sent.headers.get("x-llm-picker-debug"), None, "no pod sees it: {text}");
            assert!(envoy.worker(worker).get("/healthz", NONE).sent().is_some(), "{text}");
        }
        every_vm_lives(&envoy);
    }
}

/// Of a configuration that is refused, what it was meant for and how to fail still count.
#[test]
fn fail_close_closes_the_routes_of_its_own() {
    let config = r#"{"failureMode": "FailClose", "pools": [
        {"name": "a", "match": {"pathPrefix": "/a"}, "config": {"kind": "Service"}},
        {"name": "b", "match": {"pathPrfix": "/b"}},
        {"name": "c", "match": {"cluster": "models", "host": "c"}},
        {"name": "d", "match": {"cluster": "elsewhere", "host": "d"}},
        {"name": "e", "match": {"host": "e", "model": "tiny"}}
    ]}"#;
    let envoy = envoy(config);
    let ask = |path: &str, host: &str| {
        let stream = envoy.worker(1).post(path, &[(":authority", host)], &chat_body("hello"));
        stream.status().map_or_else(|| "passes".to_owned(), |status| status.to_string())
    };
    let asked = [("/a/v1/chat/completions", "x"), ("/b/x", "x"), (CHAT, "c"), (CHAT, "d")]
        .into_iter()
        .chain([(CHAT, "e"), ("/login", "e"), ("/", "x")])
        .map(|(path, host)| format!("{host} {path}: {}", ask(path, host)));
    insta::assert_snapshot!(asked.collect::<Vec<_>>().join("\n"), @"
    x /a/v1/chat/completions: 503
    x /b/x: passes
    c /v1/chat/completions: 503
    d /v1/chat/completions: passes
    e /v1/chat/completions: 503
    e /login: passes
    x /: passes
    ");
    assert!(errors(&envoy)[0].ends_with("answers its requests with 503; faults: 2"));
    let refused = envoy.worker(0).get("/a", NONE);
    let body = String::from_utf8(refused.response().unwrap().body).unwrap();
    assert!(body.contains("the picker's configuration was refused"), "{body}");
    every_vm_lives(&envoy);
}

/// With requests in flight and held, each kind of fault in turn.
#[test]
fn a_bad_one_after_a_good_one_loses_nothing() {
    for config in faulty() {
        let world = gated(&json!({}));
        let mut script = Script::new(&world);
        let play = |script: &mut Script<'_>, lines: &[&str]| {
            let played = lines.iter().map(|line| script.play(line)).collect::<Vec<_>>();
            played.join("; ")
        };
        play(&mut script, &["1 pods", "0 asks a", "1 asks b", "2 asks c"]);
        world.envoy.reconfigure(picker(config.clone())).unwrap();
        assert!(errors(&world.envoy)[0].contains("goes on with the last good one"));
        assert_eq!(is_ok(&world.envoy), Some(Metric::Gauge(0)));
        let lines = ["3 asks d", "count", "500 ms pass", "a ends", "b ends", "c ends", "d ends"];
        let told = play(&mut script, &lines);
        assert_eq!(told, "; (3, 0, 1); ; b goes; c goes; d goes; ", "{config:?}");
        assert_eq!(play(&mut script, &["2 asks e", "e ends", "count"]), "e goes; ; (0, 0, 0)");
        every_vm_lives(&world.envoy);
    }
}

/// A VM that is made later, by which time Envoy has only the bad one.
#[test]
fn a_new_vm_goes_on_with_the_last_good_one() {
    let world = World::new();
    world.pods(&[Pod::idle(1)]);
    world.envoy.reconfigure(picker(MISTYPED)).unwrap();
    for worker in 0..WORKERS {
        world.envoy.worker(worker).kill();
    }
    world.envoy.run_for(Duration::from_secs(2));
    world.pods(&[Pod::idle(2)]);
    for worker in 0..WORKERS {
        let stream = world.chat(worker, &about("rivers"));
        assert_eq!(world.pod(&stream).number, 2);
        assert!(World::decision(&stream).starts_with("endpoint="), "as the good one has it");
    }
    every_vm_lives(&world.envoy);
}

#[test]
fn the_next_good_one_is_taken_whatever_was_before() {
    for config in faulty() {
        let envoy = envoy(config.clone());
        let passed = envoy.worker(0).post(CHAT, NONE, &chat_body("hi"));
        assert!(passed.sent().is_some());
        passed.respond(200, NONE, b"{}");
        let closed = with_way(&json!({"failureMode": "FailClose"}));
        envoy.reconfigure(picker(closed)).unwrap();
        let stream = envoy.worker(0).post(CHAT, NONE, &chat_body("hi"));
        assert_eq!(stream.status(), Some(503), "no snapshot yet: by the good one");
        // Old instances, which Envoy has not taken away yet, tick on.
        envoy.run_for(Duration::from_secs(5));
        assert_eq!(is_ok(&envoy), Some(Metric::Gauge(1)), "{config:?}");
        envoy.end_old_instances();
        envoy.reconfigure(picker(config.clone())).unwrap();
        assert_eq!(is_ok(&envoy), Some(Metric::Gauge(0)));
        assert_eq!(envoy.worker(0).post(CHAT, NONE, &chat_body("hi")).status(), Some(503));
        every_vm_lives(&envoy);
    }
}

/// The metric has no label, so one plugin must not hide that another one is refused.
#[test]
fn one_gauge_tells_of_all_plugins() {
    let good_ingest = r#"{"ingest": {}}"#;
    let envoy = builder().plugin(picker("{}")).plugin(ingest(good_ingest)).start().unwrap();
    assert_eq!(is_ok(&envoy), Some(Metric::Gauge(1)));
    envoy.reconfigure(ingest(r#"{"ingest": {"maxBytes": 0}}"#)).unwrap();
    envoy.reconfigure(picker(r#"{"failureMode": "FailOpen"}"#)).unwrap();
    for _ in 0..10 {
        assert_eq!(is_ok(&envoy), Some(Metric::Gauge(0)));
        envoy.run_for(Duration::from_millis(700));
    }
    envoy.reconfigure(ingest(good_ingest)).unwrap();
    // The instance that had the good one is taken up again; the faulty one says so for as long as it is there.
    envoy.end_old_instances();
    envoy.run_for(Duration::from_secs(4));
    assert_eq!(is_ok(&envoy), Some(Metric::Gauge(1)));
}

/// An ingest takes pushes on by its last good configuration; without one it lets nothing be stored.
#[test]
fn an_ingest_goes_on_too() {
    let world = World::new();
    world.envoy.reconfigure(ingest(r#"{"ingest": {"secretEnv": 7}}"#)).unwrap();
    world.pods(&[Pod::idle(3)]);
    assert_eq!(world.pod(&world.chat(1, "hello")).number, 3);
    every_vm_lives(&world.envoy);

    let envoy = builder().plugin(ingest(r#"{"ingest": {"secretEnv": 7}}"#)).start().unwrap();
    let stream: Stream = envoy.worker(0).post("/v1/snapshot", NONE, b"body");
    assert!(stream.sent().is_some(), "to the route's own answer, which is 503");
    assert!(errors(&envoy).iter().all(|line| !line.contains(SECRET)));
}

/// Values that another plugin of the same vm_id wrote, or that were written by a later version.
#[test]
fn what_is_kept_is_checked_when_it_is_read() {
    for garbage in [&b""[..], b"{", b"\xff\xfe", &[0; 70_000]] {
        let envoy = envoy("{}");
        for key in ["config/picker/picker", "config-state/picker/picker", "faulty-at"] {
            assert!(
                envoy.shared_data(&format!("llm-picker//v1/{key}")).is_some() || key == "faulty-at"
            );
            envoy.set_shared_data(&format!("llm-picker//v1/{key}"), garbage);
        }
        envoy.reconfigure(picker(MISTYPED)).unwrap();
        let stream = envoy.worker(0).post(CHAT, NONE, &chat_body("hi"));
        // An empty one is the default configuration, which has no snapshot yet.
        let expected = garbage.is_empty().then_some(503);
        assert_eq!(stream.status(), expected);
        every_vm_lives(&envoy);
    }
}

/// Clients that write all before they read lose an answer that comes before their body's end.
#[test]
fn a_refused_request_is_answered_behind_its_body() {
    let config = |hold: &str| {
        format!(r#"{{"failureMode": "FailClose", "queu": 1, "envoy": {{"hold": {hold}}}}}"#)
    };
    let start = |hold: &str, pauses: bool| {
        let plugin = Plugin::new("picker", config(hold))
            .allow_on_headers_stop_iteration(pauses)
            .fail_policy(FailPolicy::Reload);
        let plugin = if pauses { plugin } else { plugin.then_buffer_filter(64 << 20) };
        builder().plugin(plugin).start().unwrap()
    };
    for (hold, pauses) in
        [(r#""stopIteration""#, true), ("null", true), (r#""bufferFilter""#, false)]
    {
        let envoy = start(hold, pauses);
        let upload = envoy.worker(0).post_headers(CHAT, NONE);
        upload.chunk(&[b' '; 5_000]);
        upload.chunk(b"more");
        assert_eq!((upload.status(), upload.sent()), (None, None), "{hold}: before its end");
        upload.end();
        assert_eq!(upload.status(), Some(503), "{hold}");
        let reason = upload.response().unwrap();
        assert_eq!(reason.headers.text("x-llm-picker-reason"), Some("unconfigured"), "{hold}");
        let trailers = envoy.worker(1).post_headers(CHAT, NONE);
        trailers.chunk(b"{}");
        trailers.trailers(&[("x", "y")]);
        assert_eq!(trailers.status(), Some(503), "{hold}");
        // Of a connection that is to become another protocol's, and of one without a body, nothing is waited for.
        let socket = [("upgrade", "websocket"), ("connection", "upgrade")];
        assert_eq!(
            envoy.worker(2).post_headers("/v1/realtime", &socket).status(),
            Some(503),
            "{hold}"
        );
        assert_eq!(envoy.worker(2).get("/v1/models", NONE).status(), Some(503), "{hold}");
        every_vm_lives(&envoy);
    }
    // Where it cannot be read how bodies are held, nothing may wait: headers that go on would reach a pod.
    let envoy = start("7", true);
    assert_eq!(envoy.worker(0).post_headers(CHAT, NONE).status(), Some(503));
}

/// Without a configuration a request passes as it came, in every way that Envoy may hold it: uploads in pieces, websockets.
#[test]
fn what_passes_unpicked_passes_untouched() {
    for pauses in [true, false] {
        let plugin = Plugin::new("picker", MISTYPED)
            .allow_on_headers_stop_iteration(pauses)
            .fail_policy(FailPolicy::Reload);
        let plugin = if pauses { plugin } else { plugin.then_buffer_filter(64 << 20) };
        let envoy = builder().plugin(plugin).start().unwrap();
        let upload = envoy.worker(0).post_headers(CHAT, &[("x-gateway-model-name", "theirs")]);
        upload.chunk(b"aaaa");
        upload.chunk(b"bbbb");
        upload.end();
        let sent = upload.sent().unwrap();
        assert!(sent.complete && sent.body == b"aaaabbbb", "{pauses}: {sent:?}");
        assert_eq!(sent.headers.text("x-gateway-model-name"), Some("theirs"));
        // Behind the real buffer filter too, by its matcher: that is told in `envoy`.
        if pauses {
            let socket = [("upgrade", "websocket"), ("connection", "upgrade")];
            let socket = envoy.worker(1).post_headers("/v1/realtime", &socket);
            assert!(socket.sent().is_some_and(|sent| !sent.complete));
            socket.respond_headers(101, NONE);
            assert_eq!(socket.status(), Some(101));
        }
        every_vm_lives(&envoy);
    }
    // Headers that choose routes are no client's, also while the configuration that writes them is refused.
    let envoy = envoy(r#"{"routeHeaders": true, "queu": 1}"#);
    let stream = envoy.worker(0).post(CHAT, &[("x-gateway-model-name", "a")], &chat_body("hello"));
    assert_eq!(stream.sent().unwrap().headers.text("x-gateway-model-name"), None);
}
