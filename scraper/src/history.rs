//! The last minutes, second by second, for the status page: who opens it sees what led here.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    sync::Arc,
};

/// Columns kept, one a second: three minutes fill a chart.
pub(crate) const COLUMNS_MAX: usize = 180;

/// Pods in all columns together. At some 40 bytes each they take 5 MB; a fleet of more than a
/// thousand pods has a shorter past.
const CELLS_MAX: usize = 1 << 17;

/// One second.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Column {
    /// When, in Unix milliseconds.
    pub(crate) at_ms: u64,
    /// Requests per second that gateways gave an endpoint; `None` where no gateway tells.
    pub(crate) placed: Option<f64>,
    /// Requests per second that they answered with an error.
    pub(crate) refused: Option<f64>,
    /// Each pool that is known.
    pub(crate) pools: BTreeMap<Arc<str>, PoolCells>,
}

/// One pool in one second, over all gateways.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct PoolCells {
    /// What gateways hold; `None` where no gateway tells.
    pub(crate) held: Option<u64>,
    /// What they have in flight.
    pub(crate) in_flight: Option<u64>,
    /// Its pods.
    pub(crate) pods: BTreeMap<SocketAddr, PodCells>,
}

/// One pod in one second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct PodCells {
    /// What the pod says, while it can be read.
    pub(crate) said: Option<Said>,
    /// What gateways have in flight there; `None` where no gateway tells.
    pub(crate) in_flight: Option<u64>,
}

/// What a pod says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Said {
    pub(crate) waiting: u32,
    pub(crate) running: u32,
    pub(crate) kv_usage: f32,
    /// The share of prompt tokens that were cached, of those of the last ten seconds; `None` where
    /// there were none, or it does not say.
    pub(crate) prefix_hits: Option<f32>,
}

/// The newest columns.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// The number of the next column.
    next: u64,
    cells: usize,
    columns: VecDeque<Column>,
}

impl History {
    /// Adds the newest column; the oldest go where there are too many.
    pub(crate) fn push(&mut self, column: Column) {
        self.cells += cells(&column);
        self.columns.push_back(column);
        self.next += 1;
        while self.columns.len() > COLUMNS_MAX || (self.cells > CELLS_MAX && self.columns.len() > 1)
        {
            self.cells -= self.columns.pop_front().as_ref().map_or(0, cells);
        }
    }

    /// The number that the next column will have.
    pub(crate) const fn next(&self) -> u64 {
        self.next
    }

    /// The columns from this number on, as far as they are kept, oldest first.
    pub(crate) fn since(&self, number: u64) -> impl Iterator<Item = &Column> + Clone {
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
