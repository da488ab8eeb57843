//! The counts and gauges of a pool, written where the ingest and the other workers read them.

use std::time::Duration;

use picker_core::{
    Instant,
    exchange::{TENANTS_MAX, TenantTokens},
    ledger::Ledger,
    saturation::{Capacity, StaleEndpoints},
};
use wire::{beliefs::Beliefs, queues::Queues, tally::Head};

use crate::{
    pool::Pool,
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
    /// The requests that wait, by flow, and what tenants were charged; `None` where another worker keeps the
    /// queues.
    queues: Option<Queues>,
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
    let View { queues, counts, stale } = vm::in_pool(pool.id, |pool| view(pool, now, ledger));
    if let Some(stale) = stale {
        log::warn!("requests wait for fresh metrics in pool {}: {stale}", pool.config.name);
    }
    if let Some(queues) = queues {
        pool.store.show_queues(&queues);
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

fn view(pool: &mut PoolState, now: Instant, ledger: &Ledger) -> View {
    let queues = pool.worker.queues().map(|queues| {
        let mut flows = queues.flow_sizes(FLOWS_MAX);
        flows.truncate(wire::queues::FLOWS_MAX);
        let charged = queues.charged(TENANTS_MAX).into_iter();
        let tenants = charged.map(|(flow, tokens)| TenantTokens { flow, tokens }).collect();
        Queues { seen_at: now, flows, tenants }
    });
    let written_at = pool.tally.written_at;
    let is_due = written_at.is_none_or(|at| now.saturating_since(at) >= WRITE_EVERY);
    // A worker that was never asked has nothing to say, and writes nothing. Requests that wait have been
    // counted nowhere yet.
    let waits = queues.as_ref().is_some_and(|it| !it.flows.is_empty());
    let is_used = waits || pool.tally.counts.has_news() || written_at.is_some();
    let counts = (is_due && is_used).then(|| view_counts(pool, now, ledger));
    let stale = counts.as_ref().map(|it| it.head.beliefs.stale);
    let stale = stale.filter(|it| waits && it.shut_the_gate() && may_log_stale(pool, now));
    View { queues, counts, stale }
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
    let tally = &mut pool.tally;
    tally.written_at = Some(now);
    let chunks = tally.counts.flush(CHUNKS_MAX);
    let head = Head {
        written_at: now,
        versions: tally.counts.versions().to_vec(),
        saturation,
        indexed: u64::try_from(pool.worker.indexed()).unwrap_or(u64::MAX),
        beliefs,
    };
    ViewedCounts { epoch: tally.epoch, head, chunks }
}
