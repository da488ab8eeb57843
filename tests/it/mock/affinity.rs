//! To where the session was, and to where the adapter is.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;

use host_mock::Stream;
use serde_json::json;

use super::{
    push::Pod,
    world::{WORKERS, Way, World, about},
};

const TOKEN: &str = "x-session-token";

fn of_sessions(way: Way) -> World {
    let plugins = json!([{"type": "session-affinity-scorer"}]);
    let world = World::with(way, &json!({"plugins": plugins}));
    world.pods(&Pod::idles(5));
    world
}

/// The token of the answer that this pod gives.
fn token(stream: &Stream, status: u16, pod: u8) -> Option<String> {
    stream.upstream_address(&format!("10.0.0.{pod}:8000"));
    stream.respond(status, (), b"{}");
    stream.response().unwrap().headers.text(TOKEN).map(str::to_owned)
}

#[test]
fn a_session_comes_back_to_who_served_it() {
    for way in Way::ALL {
        let world = of_sessions(way);
        let first = world.chat(0, "hello");
        // Envoy went on to another than the first of the list.
        let server = world.pod(&first).number % 5 + 1;
        let token = token(&first, 200, server).unwrap();
        for worker in 0..WORKERS {
            let headers = [(TOKEN, &*token)];
            let next = world.chat_with(worker, &headers, &about(&worker.to_string()));
            assert_eq!(world.pod(&next).number, server, "{way:?}");
        }
        world.is_well();
    }
}

/// The session is the client's own word, which nothing is put into the answer for (EPP: session_id).
#[test]
fn a_named_session_is_kept_by_all_workers_until_its_pod_is_gone() {
    for way in Way::ALL {
        let id = json!({"strategy": "session_id", "sessionIdConfig": {"evictionTtlSeconds": 60}});
        let plugins = json!([{"type": "session-affinity-filter", "parameters": id}]);
        let world = World::with(way, &json!({"plugins": plugins}));
        world.pods(&Pod::idles(5));
        let ask = |worker, session: &str| {
            let headers = [("x-session-id", session)];
            let stream = world.chat_with(worker, &headers, &about(&worker.to_string()));
            let pod = world.pod(&stream).number;
            assert_eq!(token(&stream, 200, pod), None, "{way:?}");
            pod
        };
        let home = ask(0, "mine");
        let asked = (0..20).map(|turn| ask(turn % WORKERS, "mine"));
        assert!(asked.into_iter().all(|pod| pod == home), "{way:?}");
        let others: BTreeSet<u8> = (0..40).map(|turn| ask(0, &turn.to_string())).collect();
        assert_eq!(others.len(), 5, "{way:?}: others are kept elsewhere");

        let without = |pods: Vec<Pod>| {
            pods.into_iter().map(|pod| Pod { up: pod.number != home, ..pod }).collect::<Vec<_>>()
        };
        world.pods(&without(Pod::idles(5)));
        let moved = ask(1, "mine");
        assert_ne!(moved, home, "{way:?}");
        world.pods(&Pod::idles(5));
        assert_eq!(ask(2, "mine"), moved, "{way:?}: it does not go back");
        world.is_well();
    }
}

/// The token that the client has may still be good.
#[test]
fn who_did_not_serve_gets_no_session() {
    let world = of_sessions(Way::STOP_ITERATION_HEADER);
    let failed = world.chat(0, "hello");
    let home = world.pod(&failed).number;
    assert_eq!(token(&failed, 503, home), None);
    let refused = world.chat(1, "hello");
    refused.refuse();
    assert_eq!(refused.response().unwrap().headers.text(TOKEN), None);
}

/// Where Envoy does not say who served, it is whom it was sent to.
#[test]
fn without_the_routers_word_the_first_of_the_list_counts() {
    let world = of_sessions(Way::STOP_ITERATION_HEADER);
    let stream = world.chat(0, "hello");
    let home = world.pod(&stream).number;
    stream.respond(200, (), b"{}");
    let response = stream.response().unwrap();
    assert_eq!(response.headers.text(TOKEN), Some(&*format!("10.0.0.{home}:8000")));
}

#[test]
fn a_token_of_no_pod_leads_nowhere() {
    let world = of_sessions(Way::STOP_ITERATION_HEADER);
    for token in ["192.0.2.66:22", "nonsense", ""] {
        let stream = world.chat_with(0, &[(TOKEN, token)], "hello");
        assert!((1..=5).contains(&world.pod(&stream).number), "{token}");
    }
    world.is_well();
}

/// By the name after the rewrite: it is what the pods know.
#[test]
fn an_adapter_is_asked_where_it_runs() {
    for way in Way::ALL {
        let keys = json!({
            "plugins": [{"type": "lora-affinity-scorer"}],
            "modelRewrites": [{"name": "tuned", "rules": [{
                "matches": [{"model": {"value": "tiny"}}],
                "targets": [{"modelRewrite": "lora-b", "weight": 1}],
            }]}],
        });
        let world = World::with(way, &keys);
        let with = |number, adapter| Pod { adapter: Some(adapter), ..Pod::idle(number) };
        world.pods(&[with(1, "lora-a"), with(2, "tiny"), with(3, "lora-b"), Pod::idle(4)]);
        for worker in 0..WORKERS {
            let stream = world.chat(worker, &about(&worker.to_string()));
            assert_eq!(world.pod(&stream).number, 3, "{way:?}");
        }
        world.is_well();
    }
}
