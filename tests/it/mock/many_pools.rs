//! A configuration with as many pools as one may have, of which one Envoy is asked for a few.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]
#![allow(clippy::print_stdout, reason = "the figures are in bench/NOTEBOOK.md")]

use host_mock::Stream;
use picker_core::Snapshot;
use serde_json::{Value, json};
use wire::config::POOLS_MAX;

use super::{
    cost::{Cost, cost},
    push::{Pod, Push},
    world::{CHAT, WORKERS, Way, World},
};

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

/// The rule of a pool by its number.
type Rule = fn(usize) -> Value;

const RULES: [(&str, Rule); 4] = [
    ("model", |n| json!({"model": [format!("model-{n}"), format!("alias-{n}")]})),
    ("host", |n| json!({"host": format!("h{n}.example"), "model": format!("model-{n}")})),
    ("path", |n| json!({"pathPrefix": format!("/team/{n}")})),
    ("cluster", |n| json!({"cluster": if n == 0 { "models".to_owned() } else { format!("c{n}") }})),
];

/// A world with so many pools. The first has a pod, and so has the one behind the middle.
fn world(way: Way, count: usize, rule: Rule) -> World {
    let pool = |n: usize| json!({"name": format!("p{n}"), "match": rule(n)});
    let pools: Vec<Value> = (0..count).map(pool).collect();
    let world = World::with(way, &json!({"pools": pools}));
    for (pool, number) in [(0, 1), (count / 2, 2)] {
        let endpoints = vec![Pod::idle(number).endpoint()];
        let snapshot = Snapshot { pool: format!("p{pool}"), endpoints, ..Snapshot::default() };
        let push = Push { body: wire::snapshot::encode(&snapshot).unwrap(), ..world.push(&[]) };
        assert_eq!(world.ingest(0, &push.headers(), &push.body).status(), Some(204));
    }
    world
}

/// A chat for the pool of this number, whichever rule pools have.
fn ask(world: &World, worker: usize, pool: usize) -> Stream {
    let host = [(":authority", format!("h{pool}.example"))];
    let message = json!({"role": "user", "content": "hi"});
    let body = json!({"model": format!("model-{pool}"), "messages": [message]}).to_string();
    let path = format!("/team/{pool}{CHAT}");
    world.envoy.worker(worker).post(&path, &host, body.as_bytes())
}

fn answered(stream: Stream) -> Stream {
    stream.respond(200, JSON, br#"{"id":"resp_1"}"#);
    stream
}

#[test]
fn a_request_finds_its_pool_among_two_thousand() {
    for (name, rule) in RULES {
        let world = world(Way::STOP_ITERATION_HEADER, POOLS_MAX, rule);
        for worker in 0..WORKERS {
            assert_eq!(world.pod(&answered(ask(&world, worker, 0))).number, 1, "{name}");
            // The mock's route has one cluster.
            if name != "cluster" {
                let other = ask(&world, worker, POOLS_MAX / 2);
                assert_eq!(world.pod(&answered(other)).number, 2, "{name}");
            }
        }
        world.envoy.run_for(std::time::Duration::from_secs(3));
        world.is_well();
    }
}

/// What one pool's pod keeps is found among all, from any worker, and no other pool's is.
#[test]
fn follow_ups_find_their_pool_among_two_thousand() {
    let rule: Rule = |n| json!({"model": format!("model-{n}")});
    let world = world(Way::STOP_ITERATION_HEADER, POOLS_MAX, rule);
    let made = json!({"model": format!("model-{}", POOLS_MAX / 2), "input": "hi"}).to_string();
    let made = world.envoy.worker(0).post("/v1/responses", JSON, made.as_bytes());
    made.upstream_address("10.0.0.2:8000");
    answered(made);
    for worker in 0..WORKERS {
        let get = world.envoy.worker(worker).get("/v1/responses/resp_1", JSON);
        assert_eq!(world.pod(&get).number, 2);
        let other = json!({"model": "model-0", "input": "x", "previous_response_id": "resp_1"});
        let other = other.to_string();
        let other = world.envoy.worker(worker).post("/v1/responses", JSON, other.as_bytes());
        assert_eq!(world.pod(&other).number, 1, "the model's pool has no such response");
    }
    let list = world.envoy.worker(3).get("/v1/models", JSON).response().unwrap();
    let list: Value = serde_json::from_slice(&list.body).unwrap();
    assert_eq!(list["data"].as_array().unwrap().len(), POOLS_MAX);
    world.is_well();
}

fn cost_among(count: usize, rule: Rule) -> (Cost, u64) {
    let world = world(Way::STOP_ITERATION_HEADER, count, rule);
    let cost = cost(&world, |world, _| answered(ask(world, 1, 0)));
    (cost, u64::try_from(world.envoy.worker(1).memory_bytes()).unwrap())
}

/// A request looks at the rules that it fits and no others, whatever pools are told apart by. A pool without requests
/// costs a worker its configuration alone.
#[test]
fn pools_without_requests_cost_their_configuration_alone() {
    for (name, rule) in RULES {
        let (one, few, many) =
            (cost_among(1, rule), cost_among(64, rule), cost_among(POOLS_MAX, rule));
        println!("{name}: one {one:?}, 64 {few:?}, {POOLS_MAX} {many:?}");
        let crossings = |(cost, _): &(Cost, u64)| (cost.callbacks, cost.calls, cost.allocations);
        assert_eq!(crossings(&one), crossings(&many), "{name}");
        let (small, large) = (one.0.instructions, many.0.instructions);
        assert!(
            large * 100 <= small * 105,
            "{name}: {small} instructions among 1, {large} among all"
        );
        let each = (many.1 - one.1) / u64::try_from(POOLS_MAX).unwrap();
        assert!(each < 8 << 10, "{name}: {each} bytes of a worker for each pool");
    }
}

/// One pool is full and has a request that waits, so that its worker ticks fifty times a second. The others tick once.
#[test]
fn a_busy_pool_makes_no_other_one_tick_more_often() {
    let plugins = ["queue-scorer", "max-score-picker", "single-profile-handler"];
    let detector = json!({"type": "concurrency-detector", "parameters": {"maxConcurrency": 1}});
    let plugins = plugins.map(|name| json!({"type": name})).into_iter().chain([detector]);
    let plugins: Vec<Value> = plugins.collect();
    let pool = |n: usize| {
        json!({
            "name": format!("p{n}"),
            "match": {"model": format!("model-{n}")},
            "config": {
                "featureGates": ["flowControl"],
                "plugins": plugins,
                "schedulingProfiles": [
                    {"name": "default", "plugins": [{"pluginRef": "queue-scorer"}]}
                ],
                "flowControl": {"saturationDetector": {"pluginRef": "concurrency-detector"}},
            },
        })
    };
    let calls = [1, 64].map(|count| {
        let world = World::with(
            Way::STOP_ITERATION_HEADER,
            &json!({"pools": (0..count).map(pool).collect::<Vec<Value>>()}),
        );
        let endpoints = vec![Pod::idle(1).endpoint()];
        let snapshot = Snapshot { pool: "p0".to_owned(), endpoints, ..Snapshot::default() };
        let push = Push { body: wire::snapshot::encode(&snapshot).unwrap(), ..world.push(&[]) };
        assert_eq!(world.ingest(0, &push.headers(), &push.body).status(), Some(204));
        let _streams: Vec<Stream> = (0..2).map(|_| ask(&world, 1, 0)).collect();
        world.envoy.run_for(std::time::Duration::from_secs(2));
        let before = world.envoy.crossings().calls;
        world.envoy.run_for(std::time::Duration::from_secs(10));
        world.is_well();
        world.envoy.crossings().calls - before
    });
    let [alone, among] = calls;
    // 63 pools with a tick a second, in each of the workers.
    let each = (among - alone) / (63 * 10 * u64::try_from(WORKERS).unwrap());
    println!("{alone} calls alone, {among} among 64: {each} a tick of the others");
    assert!(each < 20, "{each} calls of a pool at rest, a second and worker");
}
