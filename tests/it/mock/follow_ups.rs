//! Follow-ups: requests that go on from what one pod keeps find that pod, from whichever worker they come.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::time::Duration;

use host_mock::Stream;
use serde_json::{Value, json};

use super::{
    push::Pod,
    world::{WORKERS, Way, World},
};

const NONE: &[(&str, &str)] = &[];
const JSON: &[(&str, &str)] = &[("content-type", "application/json")];
const EVENTS: &[(&str, &str)] = &[("content-type", "text/event-stream")];

/// Time for which a request that computes nothing goes by the last look at the store.
const LOOKS_EVERY: Duration = Duration::from_millis(50);

fn world(way: Way) -> World {
    let world = World::with(way, &json!({}));
    world.pods(&Pod::idles(4));
    world
}

fn post(world: &World, worker: usize, path: &str, body: &Value) -> Stream {
    world.envoy.worker(worker).post(path, JSON, body.to_string().as_bytes())
}

/// Answers as the pod of this number.
fn answer(stream: &Stream, from: u8, headers: &[(&str, &str)], body: &str) {
    stream.upstream_address(&format!("10.0.0.{from}:8000"));
    stream.respond(200, headers, body.as_bytes());
}

/// The pods that a request may reach, in their order.
fn reached(world: &World, stream: &Stream) -> Vec<u8> {
    let list = world.destinations(stream).unwrap();
    list.split(',').map(|address| Pod::at(address).number).collect()
}

#[test]
fn a_response_is_gone_on_from_where_it_is_kept() {
    for way in Way::ALL {
        let world = world(way);
        for pod in 1..=4 {
            let name = format!("resp_{pod}");
            let made = post(&world, 0, "/v1/responses", &json!({"model": "tiny", "input": "hi"}));
            let is_streamed = pod % 2 == 0;
            if is_streamed {
                let event = json!({"type": "response.created", "response": {"id": name}});
                let events = format!("event: response.created\ndata: {event}\n\n");
                answer(&made, pod, EVENTS, &events);
            } else {
                answer(&made, pod, JSON, &json!({"id": name, "object": "response"}).to_string());
            }
            for worker in 0..WORKERS {
                let next = json!({"model": "tiny", "input": "and?", "previous_response_id": name});
                let next = post(&world, worker, "/v1/responses", &next);
                assert_eq!(reached(&world, &next), [pod], "{way}");
                answer(&next, pod, JSON, "{}");
                let get =
                    world.envoy.worker(worker).get(&format!("/v1/responses/{name}?x=1"), NONE);
                assert_eq!(reached(&world, &get), [pod], "{way}");
                let cancel = format!("/v1/responses/{name}/cancel");
                let cancel = world.envoy.worker(worker).post(&cancel, NONE, b"");
                assert_eq!(reached(&world, &cancel), [pod], "{way}");
            }
        }
        world.is_well();
    }
}

#[test]
fn what_no_pod_is_known_to_keep_goes_to_any_for_the_engines_own_answer() {
    let world = world(Way::STOP_ITERATION_HEADER);
    let next = json!({"model": "tiny", "input": "x", "previous_response_id": "resp_unknown"});
    assert!(reached(&world, &post(&world, 1, "/v1/responses", &next)).len() > 1);
    assert!(
        reached(&world, &world.envoy.worker(1).get("/v1/responses/resp_unknown", NONE)).len() > 1
    );
    // A pod that is gone, or answered with an error, keeps nothing.
    let made = post(&world, 0, "/v1/responses", &json!({"model": "tiny", "input": "hi"}));
    answer(&made, 3, JSON, r#"{"id":"resp_3"}"#);
    let failed = post(&world, 0, "/v1/responses", &json!({"model": "tiny", "input": "hi"}));
    failed.upstream_address("10.0.0.2:8000");
    failed.respond(400, JSON, br#"{"id":"resp_2"}"#);
    let get = |name: &str| {
        let stream = world.envoy.worker(2).get(&format!("/v1/responses/{name}"), NONE);
        reached(&world, &stream)
    };
    assert_eq!((get("resp_3"), get("resp_2").len() > 1), (vec![3], true));
    world.pods(&Pod::idles(2));
    world.envoy.run_for(LOOKS_EVERY);
    assert_eq!(get("resp_3").len(), 2);
    world.is_well();
}

#[test]
fn conversations_files_batches_and_media_are_kept_too() {
    let world = world(Way::BUFFER_FILTER_PROPERTY);
    let file = world.envoy.worker(0).post("/v1/files", NONE, b"...");
    answer(&file, 2, JSON, r#"{"object":"file","id":"file-2"}"#);
    let batch = post(&world, 1, "/v1/batches", &json!({"input_file_id": "file-2"}));
    assert_eq!(reached(&world, &batch), [2], "where its file is");
    answer(&batch, 2, JSON, r#"{"id":"batch_2"}"#);
    let talk = post(&world, 0, "/v1/conversations", &json!({"items": []}));
    answer(&talk, 4, JSON, r#"{"id":"conv_4"}"#);
    let video = post(&world, 0, "/v1/videos", &json!({"model": "tiny", "prompt": "a river"}));
    answer(&video, 3, JSON, r#"{"id":"video_3","object":"video","status":"queued"}"#);
    let picture =
        post(&world, 0, "/v1/images/generations", &json!({"model": "tiny", "prompt": "a"}));
    answer(&picture, 1, JSON, r#"{"id":"img_1","created":1,"data":[]}"#);
    for (path, pod) in [
        ("/v1/videos/video_3", 3),
        ("/v1/videos/video_3/content?variant=video", 3),
        ("/v1/images/img_1/content", 1),
        ("/v1/files/file-2", 2),
        ("/v1/files/file-2/content", 2),
        ("/v1/batches/batch_2", 2),
        ("/v1/conversations/conv_4", 4),
        ("/v1/conversations/conv_4/items/item_1", 4),
    ] {
        let get = world.envoy.worker(3).get(path, NONE);
        assert_eq!(reached(&world, &get), [pod], "{path}");
    }
    for conversation in [json!("conv_4"), json!({"id": "conv_4"})] {
        let next = json!({"model": "tiny", "input": "x", "conversation": conversation});
        assert_eq!(reached(&world, &post(&world, 1, "/v1/responses", &next)), [4]);
    }
    world.is_well();
}

#[test]
fn an_abort_finds_the_request_that_it_is_about() {
    for way in Way::ALL {
        let world = world(way);
        for n in 0..20 {
            let running = post(
                &world,
                n % WORKERS,
                "/generate",
                &json!({"text": "hi", "rid": format!("r{n}")}),
            );
            let first = reached(&world, &running)[0];
            let abort = json!({"rid": format!("r{n}")});
            let abort = post(&world, (n + 1) % WORKERS, "/abort_request", &abort);
            assert_eq!(reached(&world, &abort), [first], "{way}");
            assert_eq!(
                abort.sent().unwrap().body,
                json!({"rid": format!("r{n}")}).to_string().as_bytes()
            );
            running.disconnect();
        }
        // What names nothing, and what is no JSON, goes on as it came.
        for body in [&b"{}"[..], b"{", b"[1]"] {
            let stream = world.envoy.worker(0).post("/abort_request", JSON, body);
            assert_eq!(stream.sent().unwrap().body, body, "{way}");
        }
        world.is_well();
    }
}

/// What one tenant made, another does not learn of: its request goes as if there were no such thing.
#[test]
fn what_a_tenant_made_is_unknown_to_others() {
    let identity = json!({"fairnessHeaders": ["x-team"], "trusted": ["x-team"]});
    let world = World::with(Way::STOP_ITERATION_HEADER, &json!({"identity": identity}));
    world.pods(&Pod::idles(4));
    let headers = |team| [("content-type", "application/json"), ("x-team", team)];
    let respond = |team, body: Value| {
        let body = body.to_string();
        world.envoy.worker(0).post("/v1/responses", &headers(team), body.as_bytes())
    };
    let made = respond("a", json!({"model": "tiny", "input": "hi"}));
    answer(&made, 3, JSON, r#"{"id":"resp_a"}"#);
    let next = json!({"model": "tiny", "input": "and?", "previous_response_id": "resp_a"});
    let get = |team| {
        let stream = world.envoy.worker(1).get("/v1/responses/resp_a", &headers(team));
        reached(&world, &stream)
    };
    assert_eq!((reached(&world, &respond("a", next.clone())), get("a")), (vec![3], vec![3]));
    let unknown = json!({"model": "tiny", "input": "and?", "previous_response_id": "resp_x"});
    let (other, none) = (respond("b", next), respond("b", unknown));
    assert_eq!(
        reached(&world, &other).len(),
        reached(&world, &none).len(),
        "as if there were none"
    );
    assert!(get("b").len() > 1);
    // The same name, made by both: each has its own.
    let made = respond("b", json!({"model": "tiny", "input": "hi"}));
    answer(&made, 2, JSON, r#"{"id":"resp_a"}"#);
    assert_eq!((get("a"), get("b")), (vec![3], vec![2]));
    world.is_well();
}
