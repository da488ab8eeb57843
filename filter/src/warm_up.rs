//! One request that is none, before the first.
//!
//! V8 compiles a function when it is first called; without this the first request of each worker
//! waits 1 to 14 ms for that.

use std::net::{Ipv4Addr, SocketAddr};

use engine::{Endpoint, Engine, Event, Health, Instant, Metrics, RequestId, Snapshot};
use wire::body::Api;

use crate::{ask, worker};

/// Long enough for whole blocks, with what prompts have: escapes, and bytes beyond ASCII.
const PROMPT_REPEATS: usize = 100;

/// Takes the way of a request through an engine of its own. Nothing of it remains.
pub(crate) fn run(config: &wire::config::PickerConfig) {
    let prompt = "warm up, \\\"quoted\\\"\\n é ".repeat(PROMPT_REPEATS);
    let body = format!(
        r#"{{"model":"warm-up","messages":[{{"role":"user","content":"{prompt}"}}],"stream":true}}"#
    );
    let Ok(ask) =
        ask::from_body(body.as_bytes(), Api::ChatCompletions, ask::blocks_max(&config.prefix))
    else {
        debug_assert!(false, "the warm-up's body is a valid one");
        return;
    };
    let Ok(bytes) = wire::snapshot::encode(&snapshot()) else { return };
    let Ok(snapshot) = wire::snapshot::decode(&bytes) else { return };

    let now = Instant::from_nanos(1);
    let request = RequestId(0);
    let mut engine = Engine::new(worker::engine_config(config), 0);
    for event in [
        Event::Snapshot { snapshot, received_at: now },
        Event::Arrived { request, ask: ask.clone() },
        Event::Answered { request, success: false },
        Event::Arrived { request, ask },
        Event::Ended { request },
    ] {
        // What it would have Envoy do is left undone.
        let _ = engine.handle(now, event);
    }
}

fn snapshot() -> Snapshot {
    let endpoints = (1..=2)
        .map(|port| Endpoint {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            health: Health::Up,
            metrics: Some(Metrics {
                age: std::time::Duration::ZERO,
                waiting: 0,
                running: 0,
                kv_usage: 0.0,
                cache: None,
                adapters: None,
            }),
            labels: Vec::new(),
        })
        .collect();
    Snapshot { pool: "warm-up".to_owned(), endpoints }
}
