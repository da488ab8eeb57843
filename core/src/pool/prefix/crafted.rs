//! Prompts of which the hashes meet as no honest ones do: a client can write them. What is believed of them may be
//! wrong, and everything else stays right.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use arbtest::arbitrary::{Result, Unstructured};

use super::{Index, Matches, Slot, segments::Segment};
use crate::model::{BlockHash, Chain, Instant, Randomness};

const SLOTS: u16 = 3;

/// Returns a chain of few different hashes, so that the same ones come in other places and behind others.
fn crafted(u: &mut Unstructured<'_>) -> Result<Chain> {
    let blocks = u.int_in_range(0..=40)?;
    let mut chain = Chain { hashes: Vec::new(), blocks };
    for _ in 0..chain.retained() {
        chain.hashes.push(BlockHash(u.int_in_range(0..=3)?));
    }
    Ok(chain)
}

impl Index {
    /// Counts the hashes that there is memory for.
    fn memory(&self) -> usize {
        self.segments.iter().map(Segment::capacity).sum()
    }
}

#[test]
fn what_is_forgotten_leaves_nothing_however_hashes_meet() {
    arbtest::arbtest(|u| {
        let mut index = Index::new(u.int_in_range(1..=90)?, Randomness::from_seed(1).table_key);
        let capacity = u.int_in_range(1..=60)?;
        (0..SLOTS).for_each(|slot| index.admit(Slot(slot), capacity));
        let mut matches = Matches::default();
        while !u.is_empty() {
            let (slot, chain) = (Slot(u.int_in_range(0..=SLOTS - 1)?), crafted(u)?);
            match u.int_in_range(0..=4)? {
                0 => index.withdraw(slot, &chain),
                1 => index.renew(slot, &chain),
                2 => index.forget(slot),
                _ => {
                    index.admit(slot, capacity);
                    index.learn(slot, &chain);
                }
            }
            index.matches(&chain, &mut matches);
            let held: usize = index.segments.iter().map(Segment::held).sum();
            assert_eq!(index.entries(), held);
            assert!(index.entries() <= index.max_entries && index.memory() <= 2 * held + 40);
            assert!((0..SLOTS).all(|slot| index.blocks(Slot(slot)) <= capacity));
        }
        (0..SLOTS).for_each(|slot| index.forget(Slot(slot)));
        assert_eq!((index.entries(), index.memory()), (0, 0));
        assert!(index.segments.is_empty());
        Ok(())
    });
}

/// A prompt of any length that shares nothing is one segment, and what evicts all of it but a block frees the
/// memory too, also where several endpoints had it.
#[test]
fn what_endpoints_have_lost_of_long_prompts_takes_no_memory() {
    let mut index = Index::new(usize::MAX, Randomness::from_seed(1).table_key);
    let long = |number: u64| {
        let blocks = 10_000;
        let mut chain = Chain { hashes: Vec::new(), blocks };
        let hashes = (0..chain.retained()).map(|hash| BlockHash(number << 32 | u64::from(hash)));
        chain.hashes = hashes.collect();
        chain
    };
    let slots = [Slot(0), Slot(1)];
    for number in 0..50 {
        for slot in slots {
            index.admit(slot, u32::MAX);
            index.learn(slot, &long(number));
        }
        assert_eq!(index.segments.iter().count() as u64, number + 1);
        for slot in slots {
            // The heads that are left of earlier prompts are used again, so that this one's tail is evicted first.
            for head in (0..number).map(|number| BlockHash(number << 32)) {
                index.renew(slot, &Chain { hashes: vec![head], blocks: 1 });
            }
            index.admit(slot, index.blocks(slot) - 9_999);
        }
    }
    assert_eq!(index.entries(), 100);
    assert!(index.memory() <= 100, "{}", index.memory());
}

/// Milliseconds of a use start anew after 49 days, and half of that is no later moment.
#[test]
fn what_was_used_weeks_ago_is_old() {
    let at = |hours: u64| Instant::from_nanos(hours * 3_600_000_000_000);
    let mut index = Index::new(usize::MAX, Randomness::from_seed(1).table_key);
    index.admit(Slot(0), 100);
    index.advance(at(1));
    index.learn(Slot(0), &Chain { hashes: vec![BlockHash(1)], blocks: 1 });
    let soon = Instant::from_nanos(at(1).as_nanos() - 1_000_000_000);
    index.forget_before(Slot(0), soon, soon);
    assert_eq!(index.blocks(Slot(0)), 1, "an event of another worker came from a second ahead");
    let now = at(30 * 24);
    assert!(index.keeps_for(Slot(0), now).unwrap() > Duration::from_secs(29 * 24 * 3_600));
    index.forget_before(Slot(0), now, now);
    assert_eq!(index.blocks(Slot(0)), 0, "a restart of its engine");
}
