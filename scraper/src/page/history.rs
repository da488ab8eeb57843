//! The last minutes, second by second, so that a status page opened now shows how things came
//! about.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    sync::Arc,
};

use super::{
    decision_log::DecisionLog,
    sample::{PageSample, ServedRates},
};

/// Columns kept, one a second: three minutes fill a chart.
const COLUMNS_MAX: usize = 180;

/// Pods in all columns together. At some 100 bytes each, key and place in a tree among them, they take 13 MB; a fleet of more than a
/// thousand pods has a shorter past.
const CELLS_MAX: usize = 1 << 17;

/// A second of the history.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Column {
    /// Time in Unix milliseconds.
    pub(super) at_ms: u64,
    /// Requests per second that gateways placed on an endpoint; `None` if no gateway reports.
    pub(super) placed: Option<f64>,
    /// Requests per second that gateways answered with an error; `None` if no gateway reports.
    pub(super) refused: Option<f64>,
    /// Cells of each pool that is known.
    pub(super) pools: BTreeMap<Arc<str>, PoolCells>,
}

/// A pool in one second, over all gateways.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct PoolCells {
    /// Number of requests that gateways hold; `None` if no gateway reports.
    pub(super) held: Option<u64>,
    /// Number of requests in flight; `None` if no gateway reports.
    pub(super) in_flight: Option<u64>,
    /// Rates and times of the last ten seconds; `None` if no gateway counts.
    pub(super) served: Option<ServedRates>,
    /// Cells of each pod.
    pub(super) pods: BTreeMap<SocketAddr, PodCells>,
}

/// A pod in one second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct PodCells {
    /// Metrics of the pod, while it can be read.
    pub(super) metrics: Option<PodMetrics>,
    /// Number of requests in flight to the pod; `None` if no gateway reports.
    pub(super) in_flight: Option<u64>,
}

/// A pod's metrics that the page draws.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct PodMetrics {
    pub(super) waiting: u32,
    pub(super) running: u32,
    /// Share of the KV cache in use, 0 to 1.
    pub(super) kv_usage: f32,
    /// Share of the prompt tokens of the last ten seconds that were cached; `None` if there were no
    /// such tokens, or the pod does not count them.
    pub(super) prefix_hits: Option<f32>,
}

/// The newest columns.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// Number of the next column.
    next: u64,
    cells: usize,
    columns: VecDeque<Column>,
    /// Source of the newest column.
    pub(super) sample: Option<Arc<PageSample>>,
    /// Decisions of each pool.
    pub(super) decisions: BTreeMap<Arc<str>, DecisionLog>,
}

impl History {
    /// Adds the newest column, and drops the oldest where there are too many.
    pub(super) fn push(&mut self, column: Column) {
        self.cells += cells(&column);
        self.columns.push_back(column);
        self.next += 1;
        while self.columns.len() > COLUMNS_MAX || (self.cells > CELLS_MAX && self.columns.len() > 1)
        {
            self.cells -= self.columns.pop_front().as_ref().map_or(0, cells);
        }
    }

    /// Returns the number that the next column will have.
    pub(super) const fn next(&self) -> u64 {
        self.next
    }

    /// Returns the columns from this number on, as far as they are kept, oldest first.
    pub(super) fn since(&self, number: u64) -> impl Iterator<Item = &Column> + Clone {
        let wanted = usize::try_from(self.next.saturating_sub(number)).unwrap_or(usize::MAX);
        self.columns.range(self.columns.len().saturating_sub(wanted)..)
    }
}

fn cells(column: &Column) -> usize {
    column.pools.values().map(|pool| pool.pods.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(at_ms: u64, pods: u16) -> Column {
        let pods = (1..=pods).map(|port| (([10, 0, 0, 1], port).into(), PodCells::default()));
        let pool = PoolCells { pods: pods.collect(), ..PoolCells::default() };
        Column { at_ms, pools: [("a".into(), pool)].into(), ..Column::default() }
    }

    fn since(history: &History, number: u64) -> Vec<u64> {
        history.since(number).map(|column| column.at_ms).collect()
    }

    #[test]
    fn who_looks_again_gets_what_is_new() {
        let mut history = History::default();
        assert_eq!(since(&history, 0), [0; 0]);
        (0..3).for_each(|at| history.push(column(at, 3)));
        assert_eq!((history.next(), since(&history, 0)), (3, vec![0, 1, 2]));
        assert_eq!(since(&history, 2), [2]);
        assert_eq!(since(&history, 3), [0; 0]);
        assert_eq!(since(&history, 99), [0; 0], "of another scraper's life");
    }

    #[test]
    fn it_forgets_the_oldest_and_a_large_fleet_sooner() {
        let mut history = History::default();
        (0..1000).for_each(|at| history.push(column(at, 3)));
        assert_eq!(since(&history, 0).len(), COLUMNS_MAX);
        assert_eq!(since(&history, 0).last(), Some(&999));
        let mut history = History::default();
        (0..200).for_each(|at| history.push(column(at, 4096)));
        assert_eq!(since(&history, 0), (200 - 32..200).collect::<Vec<_>>());
    }
}
