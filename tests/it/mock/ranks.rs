//! Several engines in a pod, all behind its main port: each is counted, remembered and avoided by itself.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use host_mock::Stream;
use picker_core::{Endpoint, Snapshot};
use serde_json::{Value, json};

use super::{
    push::{Pod, Push},
    world::{Way, World, about},
};

const NONE: &[(&str, &str)] = &[];

const RANK: &str = "x-data-parallel-host-port";

/// Pods 1 and 2 with two ranks each, whose main port is 8000.
const RANKS: [&str; 4] = ["10.0.0.1:8000", "10.0.0.1:8001", "10.0.0.2:8000", "10.0.0.2:8001"];

fn config(scorers: &[&str]) -> Value {
    let plugins = ["data-parallel-profile-handler", "max-score-picker"].iter().chain(scorers);
    let plugins: Vec<Value> = plugins.map(|name| json!({"type": name})).collect();
    let refs: Vec<Value> = scorers.iter().map(|name| json!({"pluginRef": name})).collect();
    json!({"plugins": plugins, "schedulingProfiles": [{"name": "default", "plugins": refs}]})
}

/// Of the four ranks so many requests wait.
fn push(world: &World, waiting: [u32; 4]) {
    let rank = |(address, waiting): (&str, u32)| Endpoint {
        address: address.parse().unwrap(),
        ..Pod { waiting, ..Pod::idle(1) }.endpoint()
    };
    let endpoints = RANKS.into_iter().zip(waiting).map(rank).collect();
    let push =
        Push { body: Push::of_endpoints(Snapshot::default(), endpoints).body, ..world.push(&[]) };
    assert_eq!(world.ingest(0, &push.headers(), &push.body).status(), Some(204));
}

fn world(way: Way, scorers: &[&str], waiting: [u32; 4]) -> World {
    let world = World::with(way, &config(scorers));
    push(&world, waiting);
    world
}

/// Where Envoy was told to go first, and the rank that is meant there.
#[track_caller]
fn sent(world: &World, stream: &Stream) -> (String, String) {
    let list = world.destinations(stream).unwrap();
    let rank = stream.sent().unwrap().headers.text(RANK).unwrap().to_owned();
    (list.split(',').next().unwrap().to_owned(), rank)
}

fn in_flight(world: &World) -> [u32; 4] {
    RANKS.map(|rank| world.in_flight(rank).0)
}

/// Envoy says that it reached the main port: that is no failover.
#[test]
fn a_request_counts_at_its_rank_to_the_end() {
    for way in
        [Way::STOP_ITERATION_HEADER, Way::STOP_ITERATION_PROPERTY, Way::STOP_ITERATION_FILTER_STATE]
    {
        let world = world(way, &["queue-scorer"], [5, 0, 9, 7]);
        let stream = world.chat(0, &about("rivers"));
        assert_eq!(sent(&world, &stream), (RANKS[0].to_owned(), RANKS[1].to_owned()), "{way:?}");
        assert_eq!(in_flight(&world), [0, 1, 0, 0], "{way:?}");
        stream.upstream_address(RANKS[0]);
        stream.respond_headers(200, NONE);
        assert_eq!(in_flight(&world), [0, 1, 0, 0], "{way:?}");
        stream.respond_end();
        assert_eq!(in_flight(&world), [0; 4], "{way:?}");
        world.is_well();
    }
}

/// Each request sees those before it, between two scrapes and whichever worker has them.
#[test]
fn what_is_in_flight_is_seen_by_rank() {
    let world = world(Way::STOP_ITERATION_HEADER, &["active-request-scorer"], [0; 4]);
    for worker in 0..4 {
        let stream = world.chat(worker, &about(&worker.to_string()));
        stream.upstream_address(&sent(&world, &stream).0);
        stream.respond_headers(200, NONE);
    }
    assert_eq!(in_flight(&world), [1; 4]);
    world.is_well();
}

#[test]
fn a_prefix_is_cached_at_its_rank() {
    let world =
        world(Way::STOP_ITERATION_HEADER, &["queue-scorer", "prefix-cache-scorer"], [5, 0, 9, 7]);
    let serve = |worker, topic| {
        let stream = world.chat(worker, &about(topic));
        let (main, rank) = sent(&world, &stream);
        stream.upstream_address(&main);
        stream.respond(200, NONE, b"{}");
        rank
    };
    assert_eq!(serve(0, "rivers"), RANKS[1]);
    push(&world, [5, 1, 9, 0]);
    assert_eq!(serve(2, "rivers"), RANKS[1], "another worker, and the queue is longer");
    assert_eq!(serve(1, "stars"), RANKS[3]);
    world.is_well();
}

/// The rank that is named is none of the next pod's, whose main port is taken as what it is.
#[test]
fn another_pod_counts_at_its_main_port() {
    let world = world(Way::STOP_ITERATION_HEADER, &["queue-scorer"], [5, 0, 9, 1]);
    let stream = world.chat(0, &about("rivers"));
    assert_eq!(world.destinations(&stream).unwrap(), "10.0.0.1:8000,10.0.0.2:8000");
    stream.upstream_address(RANKS[2]);
    stream.respond_headers(200, NONE);
    assert_eq!(in_flight(&world), [0, 0, 1, 0]);
    stream.respond_end();
    assert_eq!(in_flight(&world), [0; 4]);
    world.is_well();
}

#[test]
fn a_rank_that_fails_is_left_alone_and_not_its_pod() {
    let world = world(Way::STOP_ITERATION_HEADER, &["queue-scorer"], [1, 0, 9, 9]);
    let fail = |worker, topic| {
        let stream = world.chat(worker, &about(topic));
        let (main, rank) = sent(&world, &stream);
        stream.upstream_address(&main);
        stream.respond(503, NONE, b"{}");
        rank
    };
    let failed = [fail(0, "rivers"), fail(1, "stars"), fail(2, "hills")];
    assert_eq!(failed, [RANKS[1]; 3]);
    let next = world.chat(3, &about("clouds"));
    assert_eq!(sent(&world, &next), (RANKS[0].to_owned(), RANKS[0].to_owned()));
    world.is_well();
}
