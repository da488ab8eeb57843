//! The warm-up: a synthetic request through a throw-away worker, so that V8 compiles the hot path before
//! traffic.
//!
//! V8 compiles a function when it is first called; without this the first request of each worker
//! waits 1 to 14 ms for that.

use std::net::{Ipv4Addr, SocketAddr};

use picker_core::{
    End, Endpoint, Fault, Health, Incarnation, Instant, Metrics, Randomness, RequestId,
    ResponseClass, ResponseStart, Snapshot,
    flow::FlowKey,
    ledger::WorkerId,
    worker::{
        self, Conduct, Effect, Host, Input, MemoryStore, PendingRequest, Proposal, Seen, Wants,
        Worker, WorkerName,
    },
    workers::QueueId,
};
use wire::body::{Api, HashRules, Video};

use crate::pool::worker_config;

/// Repetitions of the prompt's text, which has escapes and bytes beyond ASCII as prompts do: enough for
/// whole blocks.
const PROMPT_REPEATS: usize = 100;

/// Runs a request through a throw-away worker, once answered well and once with a failure.
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
    let rules = HashRules {
        model: "warm-up",
        blocks_max: config.prompt_blocks_max,
        ..HashRules::default()
    };
    let request = inference.ask(Api::ChatCompletions, rules);
    let Ok(bytes) = wire::snapshot::encode(&snapshot()) else { return };
    let Ok(snapshot) = wire::snapshot::decode(&bytes) else { return };

    let now = Instant::from_nanos(1);
    let name = WorkerName { id: WorkerId(1), queue: QueueId::default() };
    let worker =
        Worker::new(name, worker_config(config, Conduct::default()), now, Randomness::from_seed(0));
    let mut host = Rehearsal { worker, store: MemoryStore::default() };
    host.store.store_snapshot(snapshot, now);
    for (number, class) in
        [ResponseClass::Taken, ResponseClass::Failed(Fault::Endpoint)].iter().enumerate()
    {
        let id = RequestId(u32::try_from(number).unwrap_or_default());
        let pending = PendingRequest {
            id,
            request: request.clone(),
            flow: FlowKey::default(),
            bytes: 0,
            ttl: None,
            slo_ttft: None,
        };
        let start = ResponseStart { served_by: None, class: *class };
        host.rehearse(now, Input::Arrived(Box::new(pending)));
        host.rehearse(now, Input::Responded { request: id, start });
        host.rehearse(now, Input::Ended { request: id, start: None, end: End::Whole });
    }
}

/// A worker over a store of its own, both dropped after the warm-up.
struct Rehearsal {
    worker: Worker,
    store: MemoryStore,
}

impl Rehearsal {
    /// Runs an input; of its effects, only the store's part is carried out.
    fn rehearse(&mut self, now: Instant, input: Input) {
        for effect in worker::turn(self, now, input) {
            if let Effect::Publish { position, events } = effect {
                self.store.publish(position, events);
            }
        }
    }
}

impl Host<Worker> for Rehearsal {
    fn lend<T>(&mut self, part: impl FnOnce(&mut Worker) -> T) -> T {
        part(&mut self.worker)
    }

    fn read(&mut self, wants: &Wants) -> Seen {
        self.store.read(wants)
    }

    fn commit(&mut self, proposal: &Proposal) -> bool {
        self.store.commit(proposal)
    }
}

fn snapshot() -> Snapshot {
    let endpoints = (1..=2)
        .map(|port| Endpoint {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            health: Health::Up,
            metrics: Some(Metrics::default()),
            labels: Vec::new(),
            incarnation: Incarnation::default(),
        })
        .collect();
    Snapshot { pool: "warm-up".to_owned(), endpoints, ..Snapshot::default() }
}
