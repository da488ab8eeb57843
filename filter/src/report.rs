//! The report on a pool as this gateway knows it, for the scraper that brought a snapshot of it.

use std::time::Duration;

use picker_core::{Instant, flow::FlowSize, ledger::EndpointKey};
use wire::report::{Decisions, InFlight, Queue, Report};

use crate::{counters::Counters, receiver::Taken, store::SharedStore};

/// Age above which the sizes of queues are ignored. An arbiter writes them at every tick of 20 ms while
/// requests wait: older ones are left from an arbiter that is dead, or for which no request waits.
const QUEUES_AGE_MAX: Duration = Duration::from_secs(1);

/// Writes the report on a pool, with the ledger that counts the snapshot which was just taken.
pub(crate) fn write(taken: &Taken, stats: &Counters, now: Instant) -> Report {
    let Taken { snapshot, ledger } = taken;
    let pool = &snapshot.pool;
    let in_flight = snapshot.endpoints.iter().filter_map(|endpoint| {
        let account = ledger.accounts.for_endpoint(EndpointKey::from(endpoint.address));
        (account.requests > 0).then_some(InFlight {
            endpoint: endpoint.address,
            requests: account.requests,
            tokens: account.tokens,
        })
    });
    let waits = ledger.waiting > 0;
    Report {
        workers: ledger.members.iter().len(),
        waiting: ledger.waiting,
        decisions: Decisions {
            picked: stats.picked.value(),
            failed_open: stats.failed_open.value(),
            refused: stats.all_refused(),
        },
        in_flight: in_flight.collect(),
        queues: if waits { queues(&SharedStore::for_pool(pool), now) } else { Vec::new() },
    }
}

fn queues(store: &SharedStore, now: Instant) -> Vec<Queue> {
    let (seen_at, flows) = store.queues();
    let fresh = now.saturating_since(seen_at) <= QUEUES_AGE_MAX;
    let queue = |FlowSize { flow, usage }: FlowSize| Queue {
        priority: flow.priority.0,
        fairness_id: flow.id.to_string(),
        requests: usage.requests,
        bytes: usage.bytes,
    };
    flows.into_iter().filter(|_| fresh).map(queue).collect()
}
