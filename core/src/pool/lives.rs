//! The lives of the engines behind the endpoints, and the time at which each began empty.

use crate::{
    model::{Incarnation, Instant},
    pool::Slot,
};

/// The present life of each endpoint's engine, by slot.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lives {
    by_slot: Vec<Life>,
}

/// The life of one endpoint's engine.
#[derive(Clone, Copy, Debug, Default)]
struct Life {
    number: u64,
    /// Time before which all that the engine used last is gone; the clock's zero if nothing is.
    gone_before: Instant,
}

impl Lives {
    /// Learns the life of an endpoint's engine at a snapshot. True if it is a later one than was known:
    /// whatever was learnt of the earlier one says nothing any more. A lower number is an older snapshot's,
    /// or that of a scraper which saw less, and changes nothing.
    pub(crate) fn seen(&mut self, slot: Slot, life: Incarnation, received_at: Instant) -> bool {
        let Some(known) = self.life_mut(slot) else { return false };
        let is_later = life.number > known.number;
        if is_later {
            known.number = life.number;
            known.gone_before = known.gone_before.max(received_at.saturating_before(life.age));
        }
        is_later
    }

    /// Returns the time before which all that the endpoint used last is gone.
    pub(crate) fn gone_before(&self, slot: Slot) -> Instant {
        self.by_slot.get(slot.index()).map_or_else(Instant::default, |life| life.gone_before)
    }

    /// Forgets an endpoint that left: another one will get its slot.
    pub(crate) fn forget(&mut self, slot: Slot) {
        if let Some(life) = self.by_slot.get_mut(slot.index()) {
            *life = Life::default();
        }
    }

    fn life_mut(&mut self, slot: Slot) -> Option<&mut Life> {
        if self.by_slot.len() <= slot.index() {
            self.by_slot.resize(slot.index() + 1, Life::default());
        }
        self.by_slot.get_mut(slot.index())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn only_a_later_life_ends_what_was_learnt() {
        let mut lives = Lives::default();
        let at = |ms: u64| Instant::from_nanos(ms * 1_000_000);
        let life = |number, age_ms| Incarnation { number, age: Duration::from_millis(age_ms) };
        let mut see = |number, age_ms, ms| {
            let is_later = lives.seen(Slot(3), life(number, age_ms), at(ms));
            (is_later, lives.gone_before(Slot(3)))
        };
        assert_eq!(see(0, 0, 1_000), (false, at(0)), "none is known to have begun");
        assert_eq!(see(7, 400, 2_000), (true, at(1_600)));
        assert_eq!(see(7, 900, 2_500), (false, at(1_600)));
        assert_eq!(see(5, 10, 2_600), (false, at(1_600)), "of another scraper");
        assert_eq!(see(8, 10, 3_000), (true, at(2_990)));
        lives.forget(Slot(3));
        assert_eq!([0, 3, 9].map(|slot| lives.gone_before(Slot(slot))), [at(0); 3]);
    }
}
