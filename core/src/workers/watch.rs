//! A worker's watch over the others' signs of life.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    ledger::Row,
    model::{Instant, WorkerId},
};

/// Time between looks at the other workers: that between the ticks of an idle worker, less what a
/// timer may be early.
const LOOK_EVERY: Duration = Duration::from_millis(900);

/// Time after which a look is late: its worker was stopped or starved, and the others may have been so
/// with it. Then the watch begins anew.
const LATE_AFTER: Duration = Duration::from_secs(2);

/// Time that one and the same heartbeat is seen for before its worker is dead, over at least two looks.
/// A worker that lives beats every second, so this takes three missed beats; with the looks before and
/// after, a death is known within five seconds. A worker that was merely starved for so long comes back
/// with its counts.
const DEAD_AFTER: Duration = Duration::from_secs(3);

/// The signs of life that a worker has seen of the others, by its own clock and its own looks: no time
/// is compared with that of another worker.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watch {
    looked_at: Option<Instant>,
    /// Entries of members, one each: the ledger limits them.
    signs: BTreeMap<WorkerId, Sign>,
}

/// The sign of life that a worker has shown last.
#[derive(Clone, Copy, Debug)]
struct Sign {
    /// Number of beats; `None` of a worker that has shown no heartbeat.
    beats: Option<u64>,
    /// Time at which this number was first seen, in an unbroken row of looks.
    since: Instant,
}

impl Watch {
    /// True if a look is due.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.looked_at.is_none_or(|at| now.saturating_since(at) >= LOOK_EVERY)
    }

    /// True if the worker of this row is dead: its heartbeat has not changed for long, and this watch has
    /// looked regularly all the while.
    pub(crate) fn is_dead(&self, now: Instant, row: &Row) -> bool {
        let is_same = |sign: &&Sign| sign.beats == beats(row);
        let sign = self.signs.get(&row.worker).filter(is_same);
        !self.is_late(now)
            && sign.is_some_and(|sign| now.saturating_since(sign.since) >= DEAD_AFTER)
    }

    /// Takes in a look at all members.
    pub(crate) fn look(&mut self, now: Instant, rows: &[Row]) {
        let before = std::mem::take(&mut self.signs);
        let is_late = self.is_late(now);
        let sign = |row: &Row| {
            let beats = beats(row);
            let known = before.get(&row.worker).filter(|sign| sign.beats == beats && !is_late);
            (row.worker, Sign { beats, since: known.map_or(now, |sign| sign.since) })
        };
        self.signs = rows.iter().map(sign).collect();
        self.looked_at = Some(now);
    }

    fn is_late(&self, now: Instant) -> bool {
        self.looked_at.is_none_or(|at| now.saturating_since(at) > LATE_AFTER)
    }
}

fn beats(row: &Row) -> Option<u64> {
    row.heartbeat.as_ref().map(|heartbeat| heartbeat.beats)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Heartbeat;

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    fn row(beats: Option<u64>) -> Row {
        let heartbeat = beats.map(|beats| Heartbeat { beats, ..Heartbeat::default() });
        Row { worker: WorkerId(7), heartbeat }
    }

    /// Looks at these times, in milliseconds, at a heartbeat that never changes; the times at which its
    /// worker is found dead.
    fn deaths(looks: &[u64], beats: Option<u64>) -> Vec<u64> {
        let mut watch = Watch::default();
        let look = |ms: &u64| {
            let is_dead = watch.is_dead(at(*ms), &row(beats));
            watch.look(at(*ms), &[row(beats)]);
            is_dead.then_some(*ms)
        };
        looks.iter().filter_map(look).collect()
    }

    #[test]
    fn a_death_takes_three_seconds_of_regular_looks() {
        assert_eq!(deaths(&[0, 1_000, 2_000, 2_999, 3_000], Some(4)), [3_000]);
        assert_eq!(
            deaths(&[0, 1_000, 2_000, 3_000], None),
            [3_000],
            "one that never showed itself"
        );
        assert_eq!(deaths(&[10_000], Some(4)), [0; 0], "no death at the first look");
    }

    #[test]
    fn one_that_was_stopped_judges_nothing_before_it_has_looked_for_as_long_again() {
        let looks = [0, 1_000, 2_000, 9_000, 10_000, 11_000, 11_900, 12_000];
        assert_eq!(deaths(&looks, Some(4)), [12_000]);
    }

    #[test]
    fn a_beat_is_life_however_late() {
        let mut watch = Watch::default();
        for (ms, beats) in [(0, 1), (1_000, 1), (2_000, 1), (2_900, 2), (4_000, 2), (5_000, 2)] {
            assert!(!watch.is_dead(at(ms), &row(Some(beats))), "at {ms}");
            watch.look(at(ms), &[row(Some(beats))]);
        }
        assert!(watch.is_dead(at(5_900), &row(Some(2))));
        assert!(!watch.is_dead(at(5_900), &row(Some(3))), "it beats again");
    }

    #[test]
    fn looks_come_at_the_slow_beat() {
        let mut watch = Watch::default();
        assert!(watch.is_due(at(0)));
        watch.look(at(0), &[]);
        assert!(!watch.is_due(at(20)) && watch.is_due(at(990)));
    }
}
