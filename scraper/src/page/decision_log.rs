//! The last decisions of a pool's gateways, as far as they tell them.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use wire::decisions::ToldDecision;

/// Decisions of one pool that are kept. At 400 bytes each they take 40 kB.
const DECISIONS_MAX: usize = 100;

/// The last decisions of one pool.
#[derive(Debug, Default)]
pub(super) struct DecisionLog {
    /// The newest last.
    kept: VecDeque<LoggedDecision>,
    /// Number of each worker's last decision, by the worker's epoch.
    seen: BTreeMap<u64, u64>,
}

/// A decision that was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LoggedDecision {
    /// Number of the history's column that it came with.
    pub(super) column: u64,
    /// Unix time at which the request was over, in milliseconds.
    pub(super) at_ms: u64,
    /// Names and values, in the words of the decision header.
    pub(super) text: String,
}

impl DecisionLog {
    /// Takes in what gateways tell at a time, each decision once.
    pub(super) fn take<'a>(
        &mut self,
        column: u64,
        now_ms: u64,
        told: impl Iterator<Item = (Duration, &'a ToldDecision)>,
    ) {
        let before = std::mem::take(&mut self.seen);
        let mut new = Vec::new();
        for (reported_ago, decision) in told {
            let ToldDecision { worker, number, age, text } = decision;
            let last = before.get(worker).copied().unwrap_or_default();
            let seen = self.seen.entry(*worker).or_insert(last);
            *seen = (*seen).max(*number);
            if *number > last {
                let ago = u64::try_from((reported_ago + *age).as_millis()).unwrap_or(u64::MAX);
                let at_ms = now_ms.saturating_sub(ago);
                new.push(LoggedDecision { column, at_ms, text: text.clone() });
            }
        }
        new.sort_by_key(|it| it.at_ms);
        self.kept.extend(new);
        while self.kept.len() > DECISIONS_MAX {
            self.kept.pop_front();
        }
    }

    /// Returns the decisions that came with a column from this number on, the oldest first.
    pub(super) fn since(&self, column: u64) -> impl Iterator<Item = &LoggedDecision> {
        self.kept.iter().filter(move |it| it.column >= column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_decision_is_logged_once_and_the_last_hundred_stay() {
        let told = |worker, number| ToldDecision {
            worker,
            number,
            age: Duration::from_millis(10 * (1_000 - number)),
            text: format!("{worker}/{number}"),
        };
        let mut log = DecisionLog::default();
        let mut take = |column, told: &[ToldDecision]| {
            log.take(column, 100_000, told.iter().map(|it| (Duration::ZERO, it)));
            log.since(column).map(|it| it.text.clone()).collect::<Vec<_>>()
        };
        assert_eq!(take(0, &[told(1, 2), told(1, 1), told(2, 1)]), ["1/1", "2/1", "1/2"]);
        assert_eq!(take(1, &[told(1, 2), told(2, 2)]), ["2/2"]);
        for number in 3..200 {
            take(number, &[told(1, number)]);
        }
        assert_eq!((log.since(0).count(), log.seen.len()), (DECISIONS_MAX, 1));
    }
}
