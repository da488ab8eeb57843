//! One request that is none, before the first.
//!
//! V8 compiles a function when it is first called; without this the first request of each worker
//! waits 1 to 14 ms for that.

use std::net::{Ipv4Addr, SocketAddr};

use picker_core::{
    Endpoint, Event, Fault, Health, Instant, Metrics, RequestId, ResponseClass, Scheduler,
    Snapshot, ledger::Ledger,
};
use wire::body::{Api, Video};

/// Long enough for whole blocks, with what prompts have: escapes, and bytes beyond ASCII.
const PROMPT_REPEATS: usize = 100;

/// Takes the way of a request through an engine of its own. Nothing of it remains.
pub(crate) fn run(config: &wire::config::PoolConfig) {
    let prompt = "warm up, \\\"quoted\\\"\\n é ".repeat(PROMPT_REPEATS);
    let body = format!(
        r#"{{"model":"warm-up","messages":[{{"role":"user","content":"{prompt}"}}],"stream":true}}"#
    );
    let Ok(inference) = wire::body::scan(body.as_bytes(), Api::ChatCompletions, Video::default())
    else {
        debug_assert!(false, "the warm-up's body is a valid one");
        return;
    };
    let ask = inference.ask(Api::ChatCompletions, "warm-up", config.prompt_blocks_max);
    let Ok(bytes) = wire::snapshot::encode(&snapshot()) else { return };
    let Ok(snapshot) = wire::snapshot::decode(&bytes) else { return };

    let at = Instant::from_nanos(1);
    let request = RequestId(0);
    let mut scheduler = Scheduler::new(config.scheduler.clone(), 0);
    drop(scheduler.handle(Event::Snapshot { snapshot, received_at: at }));
    for answer in [ResponseClass::Taken, ResponseClass::Failed(Fault::Endpoint)] {
        let Ok(decision) = scheduler.decide(at, &ask, &Ledger::default()) else { return };
        // What it would have Envoy do is left undone.
        drop(scheduler.handle(Event::Sent { request, at, ask: ask.clone(), decision }));
        drop(scheduler.handle(Event::Answered { request, at, served_by: None, answer }));
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
                attributes: Vec::new(),
            }),
            labels: Vec::new(),
        })
        .collect();
    Snapshot { pool: "warm-up".to_owned(), endpoints, ..Snapshot::default() }
}
