//! What this gateway knows of a pool, for whoever brought a snapshot of it.

use std::time::Duration;

use picker_core::{Instant, flow::FlowSize, ledger::EndpointKey};
use wire::report::{Decisions, InFlight, Queue, Report};

use crate::{
    receiver::Taken,
    shared_store::{SharedStore, WorkerRegistry},
    stats::Stats,
};

/// An arbiter writes what waits at every tick of 20 ms while anything does: what is older than this
/// is left from one that waits for nobody any more, or is dead.
const QUEUES_AGE_MAX: Duration = Duration::from_secs(1);

/// The report on a pool whose snapshot was just taken.
pub(crate) fn after(taken: &Taken, stats: &Stats, now: Instant) -> Report {
    let Taken { snapshot, ledger } = taken;
    let pool = &snapshot.pool;
    let in_flight = snapshot.endpoints.iter().filter_map(|endpoint| {
        let account = ledger.accounts.for_endpoint(EndpointKey::from(endpoint.address));
        let (endpoint, requests, tokens) = (endpoint.address, account.requests, account.tokens);
        (requests > 0).then_some(InFlight { endpoint, requests, tokens })
    });
    let waits = ledger.waiting > 0;
    Report {
        workers: WorkerRegistry::of_pool(pool).size(),
        waiting: ledger.waiting,
        decisions: Decisions {
            picked: stats.picked.value(),
            failed_open: stats.failed_open.value(),
            refused: stats.all_refused(),
        },
        in_flight: in_flight.collect(),
        queues: if waits { queues(&SharedStore::of_pool(pool), now) } else { Vec::new() },
    }
}

fn queues(board: &SharedStore, now: Instant) -> Vec<Queue> {
    let (seen_at, flows) = board.queues();
    let fresh = now.saturating_since(seen_at) <= QUEUES_AGE_MAX;
    let queue = |FlowSize { flow, usage }: FlowSize| Queue {
        priority: flow.priority.0,
        fairness_id: flow.id.to_string(),
        requests: usage.requests,
        bytes: usage.bytes,
    };
    flows.into_iter().filter(|_| fresh).map(queue).collect()
}
