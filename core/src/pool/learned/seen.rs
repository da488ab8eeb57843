//! The heads of prompts that endpoints have computed lately.

use std::time::Duration;

use crate::{
    model::{Instant, mix},
    pool::Slot,
};

/// Sets of places, of which a part of a head has one: a power of two.
const SETS: usize = 1_024;
/// Places of a set.
const SET_PLACES: usize = 4;
/// Places for parts of heads. A prompt with tools brings four, and a thousand such prompts say as much of a
/// template as can be said: 64 kB, once a prompt has tools.
const PARTS_MAX: usize = SETS * SET_PLACES;

/// Age beyond which a head says nothing: a cache that holds more than a minute's work holds what is in use.
const AGE_MAX: Duration = Duration::from_secs(60);

/// The parts of heads that endpoints have computed, with the time. Of a set the oldest makes room.
#[derive(Clone, Debug, Default)]
pub(super) struct SeenHeads(Vec<SeenPart>);

/// The endpoint that a request with a head was sent to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeadSent {
    pub(crate) slot: Slot,
    /// Bytes of the prompt, in the measure of blocks.
    pub(crate) prompt: f64,
    /// Bytes of the prompt that the endpoint was believed to have.
    pub(crate) matched: f64,
    /// Time for which the endpoint keeps what it uses once, in seconds.
    pub(crate) keeps_for: f64,
    pub(crate) at: Instant,
}

#[derive(Clone, Copy, Debug, Default)]
struct SeenPart {
    key: u64,
    at: Instant,
}

impl SeenHeads {
    /// Notes a part on an endpoint.
    pub(super) fn add(&mut self, seed: u64, part: u64, slot: Slot, now: Instant) {
        if self.0.is_empty() {
            self.0 = vec![SeenPart::default(); PARTS_MAX];
        }
        let key = key(seed, part, slot);
        let Some(set) = self.0.get_mut(set(key)) else { return };
        let own = set.iter().position(|it| it.key == key);
        let oldest = || (0..).zip(&*set).min_by_key(|(_, it)| it.at).map(|(index, _)| index);
        let place = own.or_else(oldest).and_then(|index| set.get_mut(index));
        if let Some(place) = place {
            *place = SeenPart { key, at: now };
        }
    }

    /// True if an endpoint has computed a part so lately that it has not evicted it.
    pub(super) fn has(&self, seed: u64, part: u64, sent: &HeadSent) -> bool {
        let key = key(seed, part, sent.slot);
        let set = self.0.get(set(key)).unwrap_or_default();
        set.iter().find(|it| it.key == key).is_some_and(|it| {
            let age = sent.at.saturating_since(it.at);
            age <= AGE_MAX && age.as_secs_f64() <= sent.keeps_for
        })
    }
}

fn key(seed: u64, part: u64, slot: Slot) -> u64 {
    mix(mix(seed, part), u64::try_from(slot.index()).unwrap_or(u64::MAX))
}

/// Returns the places that a part may have, by the upper bits of its key.
fn set(key: u64) -> std::ops::Range<usize> {
    let first = usize::try_from(key >> (u64::BITS - SETS.ilog2())).unwrap_or(0) * SET_PLACES;
    first..first + SET_PLACES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(1) + Duration::from_secs(seconds)
    }

    fn has(seen: &SeenHeads, part: u64, slot: u16, seconds: u64, keeps_for: f64) -> bool {
        let sent =
            HeadSent { slot: Slot(slot), prompt: 0.0, matched: 0.0, keeps_for, at: at(seconds) };
        seen.has(7, part, &sent)
    }

    #[test]
    fn a_part_is_known_where_it_was_computed_until_it_is_evicted() {
        let mut seen = SeenHeads::default();
        assert!(!has(&seen, 1, 0, 0, 9.0));
        seen.add(7, 1, Slot(0), at(100));
        assert!(has(&seen, 1, 0, 109, 9.0));
        assert!(!has(&seen, 1, 0, 110, 9.0), "evicted");
        assert!(has(&seen, 1, 0, 160, f64::INFINITY));
        assert!(!has(&seen, 1, 0, 161, f64::INFINITY), "too long ago");
        assert!(!has(&seen, 1, 1, 100, 9.0), "another endpoint");
        assert!(!has(&seen, 2, 0, 100, 9.0), "another part");
    }

    #[test]
    fn a_flood_takes_no_more_room() {
        let mut seen = SeenHeads::default();
        (0..100_000).for_each(|part| seen.add(7, part, Slot(0), at(part / 1_000)));
        assert_eq!(seen.0.len(), 4_096);
        assert!(has(&seen, 99_999, 0, 100, 9.0));
    }
}
