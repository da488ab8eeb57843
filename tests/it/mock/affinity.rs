//! To where the session was, and to where the adapter is.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;

use host_mock::{Plugin, Stream};
use picker_core::Snapshot;
use serde_json::json;

use super::{
    push::{Pod, Push, SECRET},
    world::{WORKERS, Way, World, about, builder},
};

const TOKEN: &str = "x-session-token";

/// Counter of tokens that were not sealed here.
const IGNORED: &str = "llm_picker_envoy_session_tokens_ignored_total";

/// Key of the session key in shared data.
const KEY: &str = "llm-picker/v1/session-key";

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
    let token = response.headers.text(TOKEN).unwrap();
    for worker in 0..WORKERS {
        let next = world.chat_with(worker, &[(TOKEN, token)], &about(&worker.to_string()));
        assert_eq!(world.pod(&next).number, home);
    }
}

/// The only token that a client can make up is none.
#[test]
fn forged_tokens_lead_nowhere_and_are_counted() {
    for way in Way::ALL {
        let world = of_sessions(way);
        world.pods(&[Pod::idle(1), Pod { waiting: 50, ..Pod::idle(2) }]);
        let stream = world.chat(0, "hello");
        let good = token(&stream, 200, 2).unwrap();
        assert!(!good.contains("10.0.0.2") && !good.contains("8000"), "{way:?}: {good}");
        let mut changed = good.clone();
        changed.replace_range(20..21, if &good[20..21] == "A" { "B" } else { "A" });
        // Plain as older versions had them, in base64 as the EPP's, changed, cut and for another header.
        let forged = [
            "10.0.0.2:8000",
            "192.0.2.66:22",
            "MTAuMC4wLjI6ODAwMA==",
            "nonsense",
            &changed,
            &good[1..],
        ];
        let ignored = |world: &World| world.counter(IGNORED);
        let from = |world: &World, token: &str| {
            let stream = world.chat_with(1, &[(TOKEN, token)], &about(token));
            assert_eq!(stream.sent().unwrap().headers.get(TOKEN), None, "{way:?}: not the pod's");
            world.pod(&stream).number
        };
        let queues = json!([{"type": "session-affinity-filter"}, {"type": "queue-scorer"}]);
        let world = World::with(way, &json!({"plugins": queues}));
        world.pods(&[Pod::idle(1), Pod { waiting: 50, ..Pod::idle(2) }]);
        for (number, token) in forged.iter().enumerate() {
            assert_eq!(from(&world, token), 1, "{way:?}: {token}");
            assert_eq!(ignored(&world), u64::try_from(number).unwrap() + 1, "{way:?}: {token}");
        }
        // The gateways share the secret of the scraper, so that its tokens are good at each of them.
        assert_eq!(from(&world, &good), 2, "{way:?}");
        assert_eq!(from(&world, ""), 1, "{way:?}");
        assert_eq!(ignored(&world), 6, "{way:?}: no token is no forged one");
        world.is_well();
    }
}

/// A pool's tokens are good there alone, though all pools have one key.
#[test]
fn a_token_of_another_pool_is_foreign() {
    let plugins = json!([{"type": "session-affinity-filter"}, {"type": "queue-scorer"}]);
    let world = |name: &str| {
        let pool = json!({"name": name, "config": {"plugins": plugins}});
        let world = World::with(Way::STOP_ITERATION_HEADER, &json!({"pools": [pool]}));
        let pods = [Pod::idle(1), Pod { waiting: 50, ..Pod::idle(2) }].map(Pod::endpoint);
        let snapshot =
            Snapshot { pool: name.to_owned(), endpoints: pods.to_vec(), ..Snapshot::default() };
        let body = wire::snapshot::encode(&snapshot).unwrap();
        let push = Push { body, ..world.push(&[]) };
        assert_eq!(world.ingest(0, &push.headers(), &push.body).status(), Some(204));
        world
    };
    let (one, other) = (world("one"), world("other"));
    let token = token(&one.chat(0, "hello"), 200, 2).unwrap();
    for (world, pod, ignored) in [(&one, 2, 0), (&other, 1, 1)] {
        let stream = world.chat_with(1, &[(TOKEN, &*token)], &about("rivers"));
        assert_eq!(world.pod(&stream).number, pod);
        assert_eq!(world.counter(IGNORED), ignored);
        world.is_well();
    }
}

/// Without a secret the key is drawn at the start, and all workers have it.
#[test]
fn without_a_secret_tokens_are_good_until_a_restart() {
    let sessions = json!({"plugins": [{"type": "session-affinity-scorer"}]});
    let envoy = || {
        let picker = Plugin::new("picker", sessions.to_string());
        builder().plugin(picker.allow_on_headers_stop_iteration(true)).start().unwrap()
    };
    // The mock's dice are the same in every world, so that only a real Envoy can show two keys.
    let drawn = envoy().shared_data(KEY).unwrap();
    assert_eq!(drawn.len(), 32);
    // With the secret it is the same at every start, and not the secret.
    let keys: Vec<_> = (0..2)
        .map(|_| of_sessions(Way::STOP_ITERATION_HEADER).envoy.shared_data(KEY).unwrap())
        .collect();
    assert_eq!(keys[0], keys[1]);
    assert_ne!(keys[0], SECRET.as_bytes());
    assert_ne!(keys[0], drawn);
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
