//! What one Envoy of several workers does that the agreement cases don't show.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that can't go on should say where"
)]

#[path = "agreement/filter.rs"]
mod filter;

use host_mock::{Builder, Envoy, FailPolicy, Level, Module, Plugin};
use std::time::Duration;

const PARK: &str = "(i32.const 1)";

fn module(bodies: &[(&str, &str)]) -> Module {
    let bodies: Vec<_> = bodies.iter().map(|(name, body)| (*name, (*body).to_owned())).collect();
    Module::new(filter::wat(&bodies).as_bytes()).unwrap()
}

fn builder(bodies: &[(&str, &str)]) -> Builder {
    let plugin = Plugin::new("p", "{}").allow_on_headers_stop_iteration(true);
    Envoy::builder(&module(bodies)).plugin(plugin)
}

/// Registers the queue "key" in on_configure and keeps its token at 80.
const REGISTER: (&str, &str) =
    ("configure", "(drop (call $register (i32.const 48) (i32.const 3) (i32.const 80)))");
const ENQUEUE: &str =
    "(drop (call $enqueue (i32.load (i32.const 80)) (i32.const 32) (i32.const 4)))";

#[test]
fn the_last_worker_to_register_a_queue_gets_every_wake_up_when_the_test_says() {
    let sends = format!("{ENQUEUE} (i32.const 0)");
    let empties =
        "(call $note (call $dequeue (i32.load (i32.const 80)) (i32.const 84) (i32.const 88)))";
    let filter = [REGISTER, ("request_headers", &sends), ("queue_ready", empties)];
    let envoy = builder(&filter).workers(3).start().unwrap();
    for worker in 0..3 {
        envoy.worker(worker).get("/", ());
    }
    let notes = || {
        envoy.logs().into_iter().filter(|line| line.message.starts_with('!')).collect::<Vec<_>>()
    };
    assert_eq!(
        envoy.pending().iter().map(|d| (d.from, d.to)).collect::<Vec<_>>(),
        [(0, 2), (1, 2), (2, 2)]
    );
    assert!(notes().is_empty());
    assert_eq!(envoy.pump_shuffled(7), 3);
    assert!(notes().iter().all(|line| line.worker == 2 && line.message == "!0"));
    assert_eq!(notes().len(), 3);
}

#[test]
fn all_workers_and_the_main_thread_tick_on_the_fake_clock() {
    let filter = [
        ("configure", "(drop (call $tick (i32.const 20)))"),
        ("tick", "(call $note (i32.const 1))"),
    ];
    let envoy = builder(&filter).workers(2).start().unwrap();
    let before = envoy.now();
    envoy.advance(Duration::from_millis(50));
    assert_eq!(envoy.now() - before, Duration::from_millis(50));
    let mut ticks: Vec<_> = envoy.logs().iter().map(|line| line.worker).collect();
    ticks.sort_unstable();
    assert_eq!(ticks, [0, 0, 1, 1, 2, 2]);
}

/// Every stream's `on_log` resumes the one that was parked before it, and no host is healthy.
#[test]
fn a_long_chain_of_resumes_from_on_log_overflows_the_stack() {
    // Ids are handed out one after the other, so the stream before has the id before.
    let chain = "(if (i32.eqz (call $as (i32.sub (local.get $ctx) (i32.const 1))))
        (then (drop (call $continue (i32.const 0)))))";
    for (streams, alive) in [(100, true), (400, false)] {
        let filter = [("request_headers", PARK), ("log", chain)];
        let envoy = builder(&filter).no_healthy_upstream().start().unwrap();
        let streams: Vec<_> = (0..streams).map(|_| envoy.worker(0).get("/", ())).collect();
        streams.last().unwrap().disconnect();
        assert_eq!(envoy.worker(0).alive(), alive, "{:?}", envoy.worker(0).failure());
        let answered = streams.iter().filter(|stream| stream.status() == Some(503)).count();
        assert!(if alive { answered == 99 } else { (200..300).contains(&answered) }, "{answered}");
    }
}

#[test]
fn one_callback_may_answer_some_streams_but_not_hundreds() {
    for (streams, alive) in [(64, true), (310, false)] {
        let answer_all = "(local $id i32) (local.set $id (i32.const 400))
            (loop $next
              (global.set $parked (local.get $id)) (call $reply)
              (local.set $id (i32.sub (local.get $id) (i32.const 1)))
              (br_if $next (i32.gt_s (local.get $id) (i32.const 1))))";
        let filter = [
            ("configure", "(drop (call $tick (i32.const 20)))"),
            ("request_headers", PARK),
            ("tick", answer_all),
        ];
        let envoy = builder(&filter).start().unwrap();
        let streams: Vec<_> = (0..streams).map(|_| envoy.worker(0).get("/", ())).collect();
        envoy.advance(Duration::from_millis(20));
        assert_eq!(envoy.worker(0).alive(), alive, "{:?}", envoy.worker(0).failure());
        assert_eq!(streams.iter().all(|stream| stream.status() == Some(429)), alive);
    }
}

#[test]
fn a_dead_vm_leaves_the_other_workers_alone_and_is_replaced_in_time() {
    let plugin = Plugin::new("p", "").fail_policy(FailPolicy::Reload);
    let envoy = Envoy::builder(&module(&[])).plugin(plugin).workers(2).start().unwrap();
    envoy.worker(1).kill();
    assert_eq!(envoy.worker(1).get("/", ()).status(), Some(503));
    assert!(envoy.worker(0).get("/", ()).sent().is_some());
    envoy.advance(Duration::from_secs(1));
    assert!(envoy.worker(1).get("/", ()).sent().is_some());
    assert!(envoy.worker(1).alive());
}

#[test]
fn the_buffer_filter_holds_headers_until_the_body_is_whole() {
    let plugin = Plugin::new("p", "").then_buffer_filter(10);
    let envoy = Envoy::builder(&module(&[])).plugin(plugin).start().unwrap();
    let stream = envoy.worker(0).post_headers("/", ());
    stream.chunk(b"12345");
    assert_eq!(stream.sent(), None);
    stream.last_chunk(b"67890");
    assert_eq!(stream.sent().unwrap().body, b"1234567890");
    assert_eq!(envoy.worker(0).post("/", (), b"12345678901").status(), Some(413));
}

#[test]
fn two_plugins_share_a_vm_and_requests_choose_theirs() {
    let filter = [("request_headers", "(call $note (i32.const 0)) (i32.const 0)")];
    let plugins = builder(&filter).plugin(Plugin::new("ingest", ""));
    let envoy = plugins.start().unwrap();
    let first = envoy.worker(0).get("/", ());
    let second = envoy.worker(0).through("ingest").unwrap().get("/", ());
    // Contexts 1 and 2 are the plugins' roots.
    assert_eq!((first.context_id(), second.context_id()), (3, 4));
    let error = envoy.worker(0).through("picker").err().unwrap().to_string();
    assert_eq!(error, r#"no plugin "picker"; this Envoy has ["p", "ingest"]"#);
}

#[test]
fn what_the_host_lacks_is_said_when_the_module_is_loaded() {
    let wat = r#"(module (import "env" "proxy_teleport" (func)) (import "env" "x" (func))
        (func (export "proxy_abi_version_0_2_1")))"#;
    let start = |wat: &str| {
        let module = Module::new(wat.as_bytes()).unwrap();
        Envoy::builder(&module).plugin(Plugin::new("p", "")).start().err().unwrap().to_string()
    };
    let error = "the module imports what the host doesn't have: env.proxy_teleport, env.x";
    assert_eq!(start(wat), error);
    let error = r#"the module exports ["proxy_abi_version_0_1_0"], not proxy_abi_version_0_2_1"#;
    assert_eq!(start(r#"(module (func (export "proxy_abi_version_0_1_0")))"#), error);
}

#[test]
fn a_refused_configuration_an_endless_loop_and_an_unmodelled_call_are_errors() {
    let failure = |bodies: &[(&str, &str)]| builder(bodies).start().err().unwrap().to_string();
    let refused = failure(&[("configure", "(call $note (i32.const 7)) (return (i32.const 0))")]);
    assert_eq!(refused, r#"plugin "p": proxy_on_configure returned false; last log: !7"#);
    let endless = failure(&[("configure", "(loop $again (br $again))")]);
    assert!(endless.contains("fuel"), "{endless}");
    let wat = r#"(module (import "env" "proxy_done" (func $done (result i32)))
        (func (export "proxy_abi_version_0_2_1"))
        (func (export "proxy_on_vm_start") (param i32 i32) (result i32) (call $done)))"#;
    let module = Module::new(wat.as_bytes()).unwrap();
    let error = Envoy::builder(&module).plugin(Plugin::new("p", "")).start().err().unwrap();
    assert!(error.to_string().contains("host-mock: proxy_done is not modelled"), "{error}");
}

#[test]
fn upstream_failures_reach_the_client_and_the_log() {
    let envoy = builder(&[]).start().unwrap();
    let open = || envoy.worker(0).get("/", ());
    let (refused, cut, late) = (open(), open(), open());
    refused.refuse();
    cut.respond_headers(200, ());
    cut.upstream_resets();
    late.upstream_times_out();
    assert_eq!([refused.status(), cut.status(), late.status()], [Some(503), Some(200), Some(504)]);
    assert!(cut.was_reset() && !cut.response().unwrap().complete);
    assert_eq!(late.details().as_deref(), Some("response_timeout"));
    assert!([refused, cut, late].iter().all(host_mock::Stream::is_over));
    let deletes = envoy.logs().iter().filter(|line| line.message.ends_with("delete")).count();
    assert_eq!(deletes, 3);
    assert!(envoy.logs().iter().all(|line| line.level == Level::Info));
}

#[test]
fn an_upstream_that_got_nothing_answers_nothing() {
    let envoy = builder(&[("request_headers", PARK)]).start().unwrap();
    let stream = envoy.worker(0).get("/", ());
    stream.respond(200, (), b"early");
    stream.respond_chunk(b"x");
    assert_eq!(stream.response(), None);
    stream.disconnect();
    stream.respond(200, (), b"late");
    assert_eq!((stream.response(), stream.was_reset()), (None, true));
}
