//! Endpoints to choose from, and an engine that does.

use std::net::SocketAddr;

use picker_core::{
    BLOCK_BYTES, Chain, Chainer, Config, Endpoint, Event, Filter, Health, Incarnation,
    InferenceRequest, Instant, Metrics, PickError, Picker, Profile, Randomness, ResponseStart,
    Scheduler, Scheduling, SchedulingResult, Scorer, ScorerWeight, Seed, Snapshot, WeightedScorer,
    ledger::Ledger,
};

pub(crate) fn at(ms: u64) -> Instant {
    Instant::from_nanos(ms * 1_000_000)
}

pub(crate) fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, last], 8000))
}

/// Returns an endpoint with this role and queue.
pub(crate) fn endpoint(last: u8, role: &str, waiting: u32) -> Endpoint {
    let metrics = Metrics::default().waiting(waiting);
    Endpoint {
        address: address(last),
        health: Health::Up,
        metrics: Some(metrics),
        labels: vec![("llm-d.ai/role".to_owned(), role.to_owned())],
        incarnation: Incarnation::default(),
    }
}

pub(crate) fn scheduler(scheduling: Scheduling, endpoints: Vec<Endpoint>) -> Scheduler {
    let mut scheduler =
        Scheduler::new(Config { scheduling, ..Config::default() }, Randomness::from_seed(1));
    renew(&mut scheduler, 0, endpoints);
    scheduler
}

pub(crate) fn renew(scheduler: &mut Scheduler, ms: u64, endpoints: Vec<Endpoint>) {
    let snapshot = Snapshot { pool: "default".to_owned(), endpoints, ..Snapshot::default() };
    let _ = scheduler.handle(Event::Snapshot { snapshot, received_at: at(ms) });
}

pub(crate) fn profile(name: &str, filters: Vec<Filter>) -> Profile {
    let queue = WeightedScorer { scorer: Scorer::Queue, weight: ScorerWeight::ONE };
    Profile { name: name.to_owned(), filters, scorers: vec![queue], picker: Picker::default() }
}

pub(crate) fn chain(blocks: usize) -> Chain {
    let mut chainer = Chainer::new(&Seed::default(), 9_999);
    chainer.update(&vec![b'p'; blocks * BLOCK_BYTES]);
    chainer.finish()
}

pub(crate) fn ask(blocks: usize) -> InferenceRequest {
    InferenceRequest { chain: chain(blocks), ..InferenceRequest::default() }
}

pub(crate) fn decide(
    scheduler: &mut Scheduler,
    request: &InferenceRequest,
) -> Result<SchedulingResult, PickError> {
    scheduler.decide(at(1), request, &Ledger::default())
}

/// Tells where a request goes, and with which headers.
pub(crate) fn told(decision: Result<SchedulingResult, PickError>) -> String {
    let decision = match decision {
        Ok(decision) => decision,
        Err(why) => return why.to_string(),
    };
    let headers: Vec<String> =
        decision.headers.iter().map(|(name, value)| format!(" {name}={value}")).collect();
    format!("{}{}", decision.destinations().next().unwrap(), headers.concat())
}

/// True if an event was said to be perhaps news for the other workers.
pub(crate) fn may_publish(scheduler: &Scheduler, event: &Event) -> bool {
    match *event {
        Event::Answered { request, served_by, answer: class, .. } => {
            scheduler.may_publish_start(request, ResponseStart { served_by, class })
        }
        Event::Ended { request, end, .. } => scheduler.may_publish_end(request, None, end),
        Event::Snapshot { .. }
        | Event::Sent { .. }
        | Event::FirstToken { .. }
        | Event::Streamed { .. }
        | Event::Reported { .. }
        | Event::UsageTold { .. }
        | Event::Noted(_) => false,
    }
}
