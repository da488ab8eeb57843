//! Where requests go, and that all workers agree on it.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{collections::BTreeSet, time::Duration};

use serde_json::{Value, json};

use super::{
    push::Pod,
    story::tell,
    world::{CHAT, WORKERS, Way, World, about, chat_body},
};

const NONE: &[(&str, &str)] = &[];

#[test]
fn a_prompt_stays_where_it_is_cached_whichever_worker_it_comes_to() {
    let world = World::new();
    tell(
        &world,
        "
        pods 0.0 0.1 0.1
        0 asks a about rivers => pod 1
        a gets 200
        pods 0.5 0.0 0.1
        0 asks b about rivers => pod 1
        b gets 200
        1 asks c about rivers => pod 1
        c gets 200
        2 asks d about rivers => pod 1
        d gets 200
        3 asks e about rivers => pod 1
        e gets 200
        3 asks f about stars => pod 2
        f gets 200
        pods 0.5 0.5 0.0
        0 asks g about stars => pod 2
        g gets 200
        1 asks h about clouds => pod 3
        ",
    );
    world.is_well();
}

/// Between the first request and its answer nothing is cached yet, but it will be: a burst that
/// spread would compute the same prompt on every pod.
#[test]
fn a_burst_stays_together_before_any_answer() {
    let world = World::new();
    world.pods(&Pod::idles(8));
    let prompt = about("rivers");
    let burst: Vec<_> = (0..16).map(|n| world.chat(n % WORKERS, &prompt)).collect();
    let home = world.pod(burst.first().unwrap());
    assert!(burst.iter().all(|stream| world.pod(stream) == home));
    world.is_well();
}

#[test]
fn prompts_that_share_nothing_spread_over_equal_pods() {
    let world = World::new();
    world.pods(&Pod::idles(3));
    let pods: BTreeSet<u8> = (0..24)
        .map(|n| world.pod(&world.chat(n % WORKERS, &about(&format!("subject {n}")))).number)
        .collect();
    assert_eq!(pods, BTreeSet::from([1, 2, 3]));
}

#[test]
fn what_has_no_prompt_goes_by_load_without_waiting_for_its_body() {
    let world = World::new();
    world.pods(&[Pod { waiting: 99, ..Pod::idle(1) }, Pod::idle(2)]);
    for worker in 0..WORKERS {
        let worker = world.envoy.worker(worker);
        let sound = [("content-type", "audio/wav")];
        let upload = worker.post_headers("/v1/audio/transcriptions", &sound[..]);
        assert_eq!(world.pod(&upload).number, 2, "before its body");
        upload.chunk(b"not JSON at all");
        upload.end();
        let sent = upload.sent().unwrap();
        assert!(sent.complete);
        assert_eq!(sent.body, b"not JSON at all");
    }
    world.is_well();
}

#[test]
fn a_body_may_come_in_any_pieces_and_goes_on_as_it_came() {
    let world = World::new();
    tell(&world, "pods 0.0 0.1\n 0 asks a about rivers => pod 1\n pods 0.4 0.0");
    let body = chat_body(&about("rivers"));
    for size in [1, 7, 1000, body.len()] {
        let stream = world.envoy.worker(1).post_headers(CHAT, NONE);
        for piece in body.chunks(size) {
            assert_eq!(stream.sent(), None, "held until it is whole");
            stream.chunk(piece);
        }
        stream.end();
        assert_eq!(world.pod(&stream).number, 1, "pieces of {size}");
        assert_eq!(stream.sent().unwrap().body, body);
    }
    let stream = world.envoy.worker(2).post_headers(CHAT, NONE);
    stream.chunk(&body);
    stream.trailers(&[("x-checksum", "1")]);
    assert_eq!(world.pod(&stream).number, 1, "with trailers");
    let sent = stream.sent().unwrap();
    assert_eq!((sent.body, sent.trailers.unwrap().text("x-checksum")), (body, Some("1")));
    world.is_well();
}

#[test]
fn what_is_not_known_of_a_pod_counts_against_it() {
    let world = World::new();
    tell(
        &world,
        "
        pods ? 0.9
        0 asks a about rivers => pod 2
        a gets 200
        pods down 0.9
        1 asks b about stars => pod 2
        b gets 200
        pods down down
        2 asks c about rivers => pod 2
        c gets 200
        ",
    );
    let old = Pod { age: Duration::from_secs(3), ..Pod::idle(1) };
    let busy = Pod { kv_usage: Some(0.9), waiting: 5, ..Pod::idle(2) };
    world.pods(&[old, busy]);
    assert_eq!(world.pod(&world.chat(3, &about("clouds"))).number, 2, "read three seconds ago");
    world.is_well();
}

/// A pod that is down loses its requests at once; one that left the pool loses its cache too.
#[test]
fn a_pod_that_is_down_or_gone_gets_nothing() {
    tell(
        &World::new(),
        "
        pods 0.0 0.1 0.1
        0 asks a about rivers => pod 1
        a gets 200
        pods down 0.0 0.1
        1 asks b about rivers => pod 2
        b gets 503
        pods 0.5 0.0 0.1
        2 asks c about rivers => pod 1
        pods
        3 asks d about rivers => 503
        pods 0.5 0.0 0.1
        3 asks e about rivers => pod 2
        ",
    );
}

/// The design promises a list to fail over along, best first.
#[test]
fn the_list_names_three_pods_best_first_and_none_twice() {
    let world = World::new();
    let by_load =
        |number: u8| Pod { kv_usage: Some(f32::from(number) / 10.0), ..Pod::idle(number) };
    world.pods(&[4, 2, 1, 3].map(by_load));
    let stream = world.chat(0, "hello");
    let list = world.destinations(&stream).unwrap();
    insta::assert_snapshot!(list, @"10.0.0.1:8000,10.0.0.2:8000,10.0.0.3:8000");
}

/// A profile of the prefix scorer alone, with one plugin set to these parameters.
fn with_parameters(plugin: &str, parameters: &Value) -> World {
    let plugins = json!([
        {"type": "prefix-cache-scorer"},
        {"type": "kv-cache-utilization-scorer"},
        {"type": plugin, "parameters": parameters}
    ]);
    World::with(Way::STOP_ITERATION_HEADER, &json!({"plugins": plugins}))
}

#[test]
fn as_much_of_a_prompt_is_matched_as_is_configured() {
    // In tokens, of which 64 make a block of 256 bytes: what of the second prompt is on pod 1.
    for (tokens, matched) in [(0, "0.50"), (1, "1.00"), (64, "1.00"), (131_072, "0.50")] {
        let world = with_parameters(
            "approx-prefix-cache-producer",
            &json!({"maxPrefixTokensToMatch": tokens}),
        );
        tell(&world, "pods 0.0 0.1\n 0 asks a about rivers => pod 1\n pods 0.3 0.0");
        let stream = world.chat(1, &format!("{}{}", about("rivers"), about("stars")));
        assert_eq!(world.pod(&stream).number, 1, "{tokens} tokens");
        let decision = World::decision(&stream);
        assert!(
            decision.contains(&format!(";prefix-hit={matched};")),
            "{tokens} tokens: {decision}"
        );
    }
}

#[test]
fn as_many_pods_are_named_as_is_configured() {
    for count in [1, 2, 5] {
        let world = with_parameters("max-score-picker", &json!({"maxNumOfEndpoints": count}));
        world.pods(&Pod::idles(8));
        let list = world.destinations(&world.chat(0, "hello")).unwrap();
        assert_eq!(list.split(',').count(), count, "{list}");
    }
}
