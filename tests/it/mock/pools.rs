//! Several pools behind one plugin.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use host_mock::Stream;
use picker_core::{Model, Snapshot};
use serde_json::{Value, json};

use super::{
    push::{Pod, Push},
    world::{CHAT, Way, World},
};

/// Pools with these matches; each has one pod, numbered from 1.
fn world(way: Way, pools: &Value) -> World {
    let world = World::with(way, &json!({"pools": pools}));
    for (pool, number) in pools.as_array().unwrap().iter().zip(1..) {
        push(&world, pool["name"].as_str().unwrap(), number);
    }
    world
}

fn push(world: &World, pool: &str, number: u8) {
    let snapshot = Snapshot {
        pool: pool.to_owned(),
        endpoints: vec![Pod::idle(number).endpoint()],
        ..Snapshot::default()
    };
    let body = wire::snapshot::encode(&snapshot).unwrap();
    let push = Push { body, ..world.push(&[]) };
    let stream = world.ingest(0, &push.headers(), &push.body);
    assert_eq!(stream.status(), Some(204), "{:?}", stream.response());
}

fn ask(world: &World, path: &str, host: &str, model: &str) -> Stream {
    let body = json!({"model": model, "messages": [{"role": "user", "content": "hi"}]});
    let headers = [(":authority", host)];
    world.envoy.worker(1).post(path, &headers, body.to_string().as_bytes())
}

#[test]
fn the_first_pool_that_fits_has_the_request() {
    for way in Way::ALL {
        let pools = json!([
            {"name": "a", "match": {"pathPrefix": "/team/a"}},
            {"name": "b", "match": {"host": "*.b.example"}},
            {"name": "c", "match": {"model": ["c-7b", "c-70b"]}},
            {"name": "d"},
        ]);
        let world = world(way, &pools);
        let of = |path, host, model| world.pod(&ask(&world, path, host, model)).number;
        assert_eq!(of("/team/a/v1/chat/completions", "x", "c-7b"), 1, "{way:?}");
        assert_eq!(of(CHAT, "chat.b.example:443", "c-7b"), 2, "{way:?}");
        assert_eq!(of(CHAT, "x", "c-70b"), 3, "{way:?}");
        assert_eq!(of(CHAT, "x", "other"), 4, "{way:?}");
        let get = world.envoy.worker(0).get("/v1/models", &[(":authority", "x")]);
        assert_eq!(world.pod(&get).number, 4, "{way:?}: without a body there is no model");
        world.is_well();
    }
}

#[test]
fn a_pool_has_the_routes_of_its_cluster() {
    for (cluster, number) in [("models", 1), ("others", 2)] {
        let pools = json!([{"name": "a", "match": {"cluster": cluster}}, {"name": "b"}]);
        let world = world(Way::STOP_ITERATION_HEADER, &pools);
        assert_eq!(world.pod(&ask(&world, CHAT, "x", "m")).number, number, "{cluster}");
    }
}

#[test]
fn what_is_for_no_pool_passes_untouched() {
    let pools = json!([{"name": "a", "match": {"pathPrefix": "/team/a", "model": "m"}}]);
    let world = world(Way::STOP_ITERATION_HEADER, &pools);
    for (path, model) in [(CHAT, "m"), ("/team/a/v1/chat/completions", "other")] {
        let stream = ask(&world, path, "x", model);
        let sent = stream.sent().unwrap();
        assert!(sent.complete && sent.headers.text(super::world::DESTINATION).is_none());
        stream.respond(200, &[] as &[(&str, &str)], b"{}");
        assert_eq!(stream.response().unwrap().headers.text("x-llm-picker-decision"), None);
    }
    world.is_well();
}

/// A full pool does not hold up the one beside it, and each has its own pods, ledger and queues.
#[test]
fn pools_share_nothing() {
    let gate = json!({
        "featureGates": ["flowControl"],
        "plugins": [{"type": "queue-scorer"},
            {"type": "concurrency-detector", "parameters": {"maxConcurrency": 1}}],
        "flowControl": {"saturationDetector": {"pluginRef": "concurrency-detector"}},
    });
    let pools = json!([
        {"name": "a", "match": {"model": "a"}, "config": gate},
        {"name": "b", "config": gate},
    ]);
    let world = world(Way::STOP_ITERATION_HEADER, &pools);
    let first = ask(&world, CHAT, "x", "a");
    assert_eq!(world.pod(&first).number, 1);
    let held = ask(&world, CHAT, "x", "a");
    assert!(held.sent().is_none() && held.status().is_none());
    let beside = ask(&world, CHAT, "x", "b");
    assert_eq!(world.pod(&beside).number, 2);
    first.respond(200, &[] as &[(&str, &str)], b"{}");
    world.envoy.pump();
    assert_eq!(world.pod(&held).number, 1);
    world.is_well();
}

/// Each caller is told the models that its requests may reach, of all pools together.
#[test]
fn models_are_listed_where_a_request_for_them_would_go() {
    let pools = json!([
        {"name": "a", "match": {"pathPrefix": "/team/a"}},
        {"name": "c", "match": {"model": ["c-7b", "shared"]}},
        {"name": "d"},
    ]);
    let world = world(Way::STOP_ITERATION_HEADER, &pools);
    let serve = |pool: &str, names: &[&str]| {
        let model = |name: &&str| Model { name: (*name).to_owned(), ..Model::default() };
        let models = names.iter().map(model).collect();
        let endpoints = vec![Pod::idle(1).endpoint()];
        let snapshot = Snapshot { pool: pool.to_owned(), endpoints, models, ..Snapshot::default() };
        let push = Push { body: wire::snapshot::encode(&snapshot).unwrap(), ..world.push(&[]) };
        assert_eq!(world.ingest(0, &push.headers(), &push.body).status(), Some(204));
    };
    serve("a", &["secret"]);
    serve("c", &["c-7b", "not-matched"]);
    serve("d", &["d", "shared"]);
    let names = |path: &str| {
        let stream = world.envoy.worker(2).get(path, &[] as &[(&str, &str)]);
        let list: Value = serde_json::from_slice(&stream.response().unwrap().body).unwrap();
        let names = list["data"].as_array().unwrap().iter().map(|it| it["id"].clone());
        names.map(|it| it.as_str().unwrap().to_owned()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(names("/v1/models"), "c-7b d");
    assert_eq!(names("/team/a/v1/models"), "secret");
    world.is_well();
}
