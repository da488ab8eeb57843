//! The counts and gauges of a pool, written where the ingest and the other workers read them.

use std::{collections::BTreeSet, time::Duration};

use picker_core::{
    Instant,
    flow::{FlowConfig, Limits, Priority},
    ledger::Ledger,
    saturation::{Capacity, StaleEndpoints},
    worker::Conduct,
};
use wire::{
    band_limits::BandLimits, beliefs::Beliefs, details::BANDS_TOLD_MAX, tally::Head,
    told_objective::OBJECTIVES_TOLD_MAX,
};

use crate::{
    pool::Pool,
    store::ShownQueues,
    vm::{self, PoolState},
};

/// Time between two writings of a worker's counts: as often as the scraper asks for them.
const WRITE_EVERY: Duration = Duration::from_millis(500);

/// Chunks of counts that are written at once, so that no tick takes long: 128 label sets, a millisecond.
const CHUNKS_MAX: usize = 16;

/// Time between two lines of the log that say why requests wait, as long as they do.
const STALE_LOGGED_EVERY: Duration = Duration::from_secs(60);

/// Flows that are told of, of each band; the others of a band are one, "other". With four bands as many as
/// the EPP shows.
const FLOWS_MAX: usize = 250;

/// The state of a pool at one moment, to be written.
struct View {
    queues: ShownQueues,
    /// The counts, if they are due.
    counts: Option<ViewedCounts>,
    /// The endpoints without fresh metrics, if the log is to say that requests wait for those.
    stale: Option<StaleEndpoints>,
}

/// The part of a worker's counts that has changed.
struct ViewedCounts {
    epoch: u64,
    head: Head,
    chunks: Vec<(u32, Vec<u8>)>,
}

/// Writes the pool's queues if this worker keeps them, and the worker's counts if they are due.
pub(crate) fn show_pool(pool: &Pool, now: Instant, ledger: &Ledger) {
    let View { queues, mut counts, stale } = vm::in_pool(pool.id, |pool| view(pool, now, ledger));
    if let Some(ViewedCounts { head, .. }) = &mut counts {
        head.has_flow_control = pool.config.flow.is_some();
        head.bands = pool.config.flow.iter().flat_map(|flow| band_limits(pool, flow)).collect();
        let objectives = pool.worker_config.objectives.iter().take(OBJECTIVES_TOLD_MAX);
        head.objectives = objectives.cloned().collect();
        head.is_observing = pool.worker_config.conduct == Conduct::Observes;
    }
    if let Some(stale) = stale {
        log::warn!("requests wait for fresh metrics in pool {}: {stale}", pool.config.name);
    }
    if queues.has_news() {
        pool.store.show_queues(now, queues);
    }
    if let Some(ViewedCounts { epoch, head, chunks }) = counts {
        let tallies = pool.store.tallies();
        // The head last: a chunk that it tells of is there.
        for (number, bytes) in &chunks {
            tallies.write_chunk(epoch, *number, bytes);
        }
        tallies.write_head(epoch, &head);
        tallies.enrol(epoch, now);
    }
}

/// Returns the limits of the bands that are configured and of those that objectives ask for, the lowest first.
fn band_limits(pool: &Pool, flow: &FlowConfig) -> Vec<BandLimits> {
    let named = pool.worker_config.objectives.iter().map(|it| it.priority);
    let priorities: BTreeSet<Priority> =
        flow.bands.keys().copied().chain(named).chain([Priority(0)]).collect();
    let limits = |priority: Priority| {
        let Limits { max_requests, max_bytes } = flow.band(priority).limits;
        let [requests, bytes] = [max_requests, max_bytes].map(Option::unwrap_or_default);
        BandLimits { priority: priority.0, requests, bytes }
    };
    priorities.into_iter().map(limits).take(BANDS_TOLD_MAX).collect()
}

fn view(pool: &mut PoolState, now: Instant, ledger: &Ledger) -> View {
    let flows = pool.worker.queues().map(|queues| {
        let mut flows = queues.flow_sizes(FLOWS_MAX);
        flows.truncate(wire::queues::FLOWS_MAX);
        flows
    });
    let written_at = pool.tally.written_at;
    let is_due = written_at.is_none_or(|at| now.saturating_since(at) >= WRITE_EVERY);
    // A worker that was never asked has nothing to say, and writes nothing. Requests that wait have been
    // counted nowhere yet.
    let waits = flows.as_ref().is_some_and(|flows| !flows.is_empty());
    let is_used = waits || pool.tally.counts.has_news() || written_at.is_some();
    let counts = (is_due && is_used).then(|| view_counts(pool, now, ledger));
    let stale = counts.as_ref().map(|it| it.head.beliefs.stale);
    let stale = stale.filter(|it| waits && it.shut_the_gate() && may_log_stale(pool, now));
    let charges = pool.worker.take_charges();
    View { queues: ShownQueues { flows, charges }, counts, stale }
}

/// True once in [`STALE_LOGGED_EVERY`].
fn may_log_stale(pool: &mut PoolState, now: Instant) -> bool {
    let logged_at = &mut pool.tally.stale_logged_at;
    let may = logged_at.is_none_or(|at| now.saturating_since(at) >= STALE_LOGGED_EVERY);
    if may {
        *logged_at = Some(now);
    }
    may
}

fn view_counts(pool: &mut PoolState, now: Instant, ledger: &Ledger) -> ViewedCounts {
    let saturation = match pool.worker.capacity(now, ledger) {
        Capacity::Serving(budget) => Some(budget.saturation()),
        Capacity::Unknown | Capacity::Empty => None,
    };
    let beliefs = Beliefs { stale: pool.worker.stale(now, ledger), texts: pool.worker.texts() };
    let limits = pool.worker.limits(now, ledger);
    let stages = pool.worker.stages(now, ledger);
    let tally = &mut pool.tally;
    tally.written_at = Some(now);
    let chunks = tally.counts.flush(CHUNKS_MAX);
    let head = Head {
        written_at: now,
        versions: tally.counts.versions().to_vec(),
        saturation,
        stages,
        indexed: u64::try_from(pool.worker.indexed()).unwrap_or(u64::MAX),
        beliefs,
        limits,
        decisions: tally.notes.list(),
        ..Head::default()
    };
    ViewedCounts { epoch: tally.epoch, head, chunks }
}
