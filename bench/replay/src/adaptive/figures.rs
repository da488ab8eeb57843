//! The figures of a run.

use std::collections::BTreeMap;

/// The yield of one run.
#[derive(Clone, Debug, Default)]
pub(super) struct GateOutcome {
    /// Milliseconds from an interactive request's arrival to its first token; of one without a token, to
    /// the end of the run.
    pub(super) ttfts: Vec<f64>,
    /// Seconds of engine time that were put to use while the load was beyond the capacity.
    pub(super) work: f64,
    /// Seconds for which a pod had so many requests in its own queue, over all pods.
    pub(super) waiting: BTreeMap<usize, f64>,
    pub(super) preempted: u64,
    /// The most requests that a pod had beyond the places of its batch.
    pub(super) over: usize,
    /// Requests that ended.
    pub(super) ended: usize,
}

/// GateFigures over some runs. Times in milliseconds.
#[derive(Clone, Debug, Default)]
pub(super) struct GateFigures {
    pub(super) p50: f64,
    pub(super) p95: f64,
    pub(super) p99: f64,
    pub(super) work: f64,
    pub(super) waiting_mean: f64,
    pub(super) waiting_p99: usize,
    pub(super) preempted: u64,
    pub(super) over: usize,
    pub(super) ended: usize,
}

/// The goal of the interactive p95, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Goal(pub(super) f64);

impl Goal {
    /// Returns the goal for a pool that is this fast while idle.
    pub(super) fn above_idle(idle: &GateOutcome) -> Self {
        let mut ttfts = idle.ttfts.clone();
        ttfts.sort_by(f64::total_cmp);
        Self(1.2 * quantile(&ttfts, 0.95) + 100.0)
    }
}

impl GateFigures {
    pub(super) fn of(runs: impl Iterator<Item = GateOutcome>) -> Self {
        let mut all = GateOutcome::default();
        for run in runs {
            all.ttfts.extend(run.ttfts);
            all.work += run.work;
            for (waiting, seconds) in run.waiting {
                *all.waiting.entry(waiting).or_insert(0.0) += seconds;
            }
            all.preempted += run.preempted;
            all.over = all.over.max(run.over);
            all.ended += run.ended;
        }
        all.ttfts.sort_by(f64::total_cmp);
        let seconds: f64 = all.waiting.values().sum();
        let sum: f64 = all.waiting.iter().map(|(waiting, seconds)| *waiting as f64 * seconds).sum();
        let mut passed = 0.0;
        let found = all.waiting.iter().find(|(_, seconds_of)| {
            passed += **seconds_of;
            passed >= 0.99 * seconds
        });
        Self {
            p50: quantile(&all.ttfts, 0.5),
            p95: quantile(&all.ttfts, 0.95),
            p99: quantile(&all.ttfts, 0.99),
            work: all.work,
            waiting_mean: sum / seconds.max(1e-9),
            waiting_p99: found.map_or(0, |(waiting, _)| *waiting),
            preempted: all.preempted,
            over: all.over,
            ended: all.ended,
        }
    }
}

/// Returns a quantile of sorted numbers.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a length is an index"
    )]
    let index = (sorted.len() as f64 * share) as usize;
    sorted.get(index.min(sorted.len().saturating_sub(1))).copied().unwrap_or(0.0)
}
