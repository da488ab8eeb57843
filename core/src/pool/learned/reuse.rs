//! The prefixes that many prompts ask for, as far as the last seconds tell.

use crate::model::{BlockHash, Instant, mix};

/// Counts of the prompts with the same longest known prefix, which fade.
///
/// The places for the counts are fixed, and strangers choose the prompts. So the place of a prefix
/// depends on a secret, and a newcomer takes the place of the least used of a few, which it first
/// has to outlast.
#[derive(Clone, Debug)]
pub(crate) struct Reuse {
    seed: u64,
    places: Vec<Use>,
    /// Last prompt that was counted: with prefill apart from decode, the same prompt is placed twice.
    last: (Instant, BlockHash),
}

/// The uses of one prefix.
#[derive(Clone, Copy, Debug)]
struct Use {
    prefix: BlockHash,
    /// Number of uses that is left of them at `at`.
    count: f64,
    at: Instant,
}

impl Reuse {
    /// Time over which uses fade, in seconds: so many of them are then what as much time will bring.
    /// From 2 to 20 s a hot prefix spreads alike. At 20 s, prefixes that are asked for every five
    /// seconds are copied everywhere, and caches that just hold each of them once lose them all.
    pub(crate) const SECONDS: f64 = 5.0;

    /// Shortest prefix that is counted, in blocks: 256 tokens cost nothing to compute.
    const BLOCKS_MIN: u32 = 4;

    /// Places for prefixes. A hot prefix is asked for about once a second or more, and a pool that
    /// has more than a thousand such prefixes serves thousands of requests a second: 24 kB.
    const PREFIXES_MAX: usize = SETS * SET_PLACES;

    /// Makes an empty table. Prompts that are made to meet in one place need the seed.
    pub(crate) fn new(seed: u64) -> Self {
        let none = Use { prefix: BlockHash(0), count: 0.0, at: Instant::default() };
        let last = (Instant::default(), BlockHash(0));
        Self { seed, places: vec![none; Self::PREFIXES_MAX], last }
    }

    /// Counts a prompt that was placed at `now`: `prefix` of so many `blocks` is the longest one of
    /// it that any endpoint had, and `tail` stands for the whole.
    pub(crate) fn add(&mut self, prefix: BlockHash, blocks: u32, tail: BlockHash, now: Instant) {
        if blocks < Self::BLOCKS_MIN || self.last == (now, tail) {
            return;
        }
        self.last = (now, tail);
        let range = self.set(prefix);
        let Some(set) = self.places.get_mut(range) else { return };
        if let Some(own) = set.iter_mut().find(|it| it.prefix == prefix) {
            *own = Use { prefix, count: own.left(now) + 1.0, at: now };
            return;
        }
        let least = set.iter_mut().min_by(|a, b| a.left(now).total_cmp(&b.left(now)));
        if let Some(least) = least {
            let left = least.left(now);
            *least = if left < 1.0 {
                Use { prefix, count: 1.0, at: now }
            } else {
                Use { count: left - 1.0, at: now, ..*least }
            };
        }
    }

    /// Returns the number of further prompts with this prefix that [`Reuse::SECONDS`] will bring. The
    /// first use does not count: it says nothing of others.
    pub(crate) fn expected(&self, prefix: BlockHash, now: Instant) -> f64 {
        let set = self.places.get(self.set(prefix)).unwrap_or_default();
        let own = set.iter().find(|it| it.prefix == prefix);
        own.map_or(0.0, |own| (own.left(now) - 1.0).max(0.0))
    }

    /// Returns the places that a prefix may have.
    fn set(&self, prefix: BlockHash) -> std::ops::Range<usize> {
        // The upper bits: those of a product that all of its factors' bits reach.
        let number = mix(self.seed, prefix.0) >> (u64::BITS - SETS.ilog2());
        let first = usize::try_from(number).unwrap_or(0) * SET_PLACES;
        first..first + SET_PLACES
    }
}

/// Sets of places, of which a prefix has one: a power of two.
const SETS: usize = 256;
/// Places of a set: of several, one is always less in use than a hot prefix.
const SET_PLACES: usize = 4;

impl Default for Reuse {
    fn default() -> Self {
        Self::new(0)
    }
}

impl Use {
    fn left(&self, now: Instant) -> f64 {
        let passed = now.saturating_since(self.at).as_secs_f64();
        self.count * (-passed / Reuse::SECONDS).exp()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: f64) -> Instant {
        Instant::from_nanos(1_000_000_000) + Duration::from_secs_f64(seconds)
    }

    /// Counts prompts of their own, one a tenth of a second, behind one prefix.
    fn used(reuse: &mut Reuse, prefix: u64, times: u64) {
        for number in 0..times {
            let now = at(number as f64 / 10.0);
            reuse.add(BlockHash(prefix), 8, BlockHash(1_000 * prefix + number), now);
        }
    }

    #[test]
    fn uses_add_up_and_fade() {
        let mut reuse = Reuse::new(7);
        used(&mut reuse, 1, 1);
        assert_eq!(reuse.expected(BlockHash(1), at(0.0)).to_bits(), 0, "the first tells nothing");
        used(&mut reuse, 2, 200);
        let now = reuse.expected(BlockHash(2), at(19.9));
        assert!((45.0..55.0).contains(&now), "ten a second make 50 in five: {now}");
        let later = reuse.expected(BlockHash(2), at(24.9));
        assert!((later + 1.0 - (now + 1.0) * (-1.0_f64).exp()).abs() < 1e-9, "{later}");
        assert!(reuse.expected(BlockHash(2), at(60.0)) < 1e-9);
    }

    #[test]
    fn what_is_soon_computed_is_not_counted() {
        let mut reuse = Reuse::new(7);
        for (blocks, expected) in [(3, 0.0), (4, 9.0)] {
            let prefix = BlockHash(u64::from(blocks));
            for tail in 0..10 {
                reuse.add(prefix, blocks, BlockHash(tail), at(0.0));
            }
            assert!((reuse.expected(prefix, at(0.0)) - expected).abs() < 1e-9, "{blocks}");
        }
    }

    #[test]
    fn a_prompt_that_one_pod_computes_for_another_counts_once() {
        let mut reuse = Reuse::new(7);
        for number in 0..10_u32 {
            let now = at(f64::from(number) / 1e6);
            // The prefill pod has all of the prompt by the time that the decode pod is told of.
            reuse.add(BlockHash(1), 8, BlockHash(2), now);
            reuse.add(BlockHash(1), 8, BlockHash(2), now);
        }
        assert!((reuse.expected(BlockHash(1), at(0.0)) - 9.0).abs() < 0.1);
    }

    #[test]
    fn a_flood_of_prefixes_does_not_drive_out_a_hot_one() {
        let mut reuse = Reuse::new(7);
        let mut tail = 0;
        for second in 0..20_u32 {
            for step in 0..100_u64 {
                let now = at(f64::from(second) + step as f64 / 100.0);
                // A hundred prefixes a second of a stranger's, each used twice; and one that is hot.
                for prefix in [1_000 + u64::from(second) * 50 + step / 2, 1] {
                    tail += 1;
                    reuse.add(BlockHash(prefix), 8, BlockHash(tail), now);
                }
            }
        }
        assert!(reuse.expected(BlockHash(1), at(20.0)) > 300.0);
        assert_eq!(reuse.places.len(), 1_024);
    }

    #[test]
    fn one_that_is_hotter_takes_the_place_of_one_that_is_not() {
        let mut reuse = Reuse::new(7);
        let same_set: Vec<u64> = (1..)
            .filter(|it| reuse.set(BlockHash(*it)) == reuse.set(BlockHash(1)))
            .take(5)
            .collect();
        let (hot, cool) = same_set.split_last().unwrap();
        let mut tail = 0;
        for step in 0..400_u32 {
            let now = at(f64::from(step) / 20.0);
            for prefix in cool.iter().filter(|_| step % 10 == 0).chain([hot]) {
                tail += 1;
                reuse.add(BlockHash(*prefix), 8, BlockHash(tail), now);
            }
        }
        assert!(reuse.expected(BlockHash(*hot), at(20.0)) > 50.0);
    }

    #[test]
    fn the_seed_decides_which_prefixes_meet() {
        let [one, other] = [Reuse::new(1), Reuse::new(2)];
        let meet = |reuse: &Reuse| {
            (2..2_000)
                .filter(|it| reuse.set(BlockHash(*it)) == reuse.set(BlockHash(1)))
                .collect::<Vec<u64>>()
        };
        assert_ne!(meet(&one), meet(&other));
        assert!((1..40).contains(&meet(&one).len()), "{:?}", meet(&one));
    }
}
