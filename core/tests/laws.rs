//! Laws of the prefix index, over random placements, against an index so plain that it is right.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::collections::BTreeMap;

use arbtest::arbitrary::{Result, Unstructured};
use picker_core::{
    BLOCK_BYTES, BlockHash, Chain, Chainer, Instant, Randomness, Seed,
    prefix::{Index, Matches, Slot},
};

const SLOTS: u16 = 3;
const ENTRIES_MAX: usize = 60;

/// The definition: per endpoint the prefixes that it holds, each with the time of its last use.
#[derive(Default)]
struct Model {
    held: [BTreeMap<BlockHash, Use>; SLOTS as usize],
    clock: u64,
    placement: u64,
}

struct Use {
    at: u64,
    placement: u64,
    weight: u32,
    shared: bool,
}

impl Model {
    fn learn(&mut self, slot: Slot, chain: &Chain, capacity: u32) {
        let positions: Vec<u32> = positions(chain);
        let fitting = positions.iter().take_while(|position| **position <= capacity).count();
        let held = &mut self.held[usize::from(slot.0)];
        self.placement += 1;
        for index in (0..fitting).rev() {
            self.clock += 1;
            let weight = positions[index] - if index == 0 { 0 } else { positions[index - 1] };
            let shared = held.contains_key(&chain.hashes[index]);
            held.insert(
                chain.hashes[index],
                Use { at: self.clock, placement: self.placement, weight, shared },
            );
        }
        while held.values().map(|used| used.weight).sum::<u32>() > capacity {
            evict(held);
        }
        let entries = self.held.iter().map(BTreeMap::len).sum::<usize>();
        let fullest = self.held.iter_mut().max_by_key(|held| held.len()).unwrap();
        (ENTRIES_MAX..entries).for_each(|_| evict(fullest));
    }

    /// Returns the number of a placement that used the whole of this prompt last; `None` where that is not held.
    fn last_of(&self, slot: Slot, chain: &Chain) -> Option<u64> {
        Some(self.held[usize::from(slot.0)].get(chain.hashes.last()?)?.placement)
    }

    fn renew(&mut self, slot: Slot, chain: &Chain) {
        let held = &mut self.held[usize::from(slot.0)];
        for hash in chain.hashes.iter().rev() {
            self.clock += 1;
            held.entry(*hash).and_modify(|used| used.at = self.clock);
        }
    }

    fn withdraw(&mut self, slot: Slot, chain: &Chain) {
        let held = &mut self.held[usize::from(slot.0)];
        for hash in chain.hashes.iter().rev() {
            let Some(used) = held.get(hash) else { continue };
            let deeper = |other: &Use| other.placement == used.placement && other.at < used.at;
            if used.shared || held.values().any(deeper) {
                break;
            }
            held.remove(hash);
        }
    }

    /// Counts block by block from the head, up to the first that is missing.
    fn matched(&self, slot: Slot, chain: &Chain) -> u32 {
        let held = &self.held[usize::from(slot.0)];
        let hashes = chain.hashes.iter().zip(positions(chain));
        hashes.take_while(|(hash, _)| held.contains_key(hash)).last().map_or(0, |(_, at)| at)
    }
}

fn evict(held: &mut BTreeMap<BlockHash, Use>) {
    let oldest = held.iter().min_by_key(|(_, used)| used.at).map(|(hash, _)| *hash);
    held.remove(&oldest.unwrap());
}

/// Returns all up to 32, each second one up to 64, and the last.
fn positions(chain: &Chain) -> Vec<u32> {
    assert!(chain.blocks <= 64);
    let retained = |at: &u32| *at <= 32 || at.is_multiple_of(2) || *at == chain.blocks;
    (1..=chain.blocks).filter(retained).collect()
}

/// Returns a prompt of a few blocks of few kinds, so that prompts share heads.
fn any_chain(u: &mut Unstructured<'_>) -> Result<Chain> {
    let mut chainer = Chainer::new(&Seed::default(), 64);
    for _ in 0..u.int_in_range(0..=3)? {
        let run = [u.int_in_range(b'a'..=b'b')?; BLOCK_BYTES];
        (0..u.int_in_range(0..=14)?).for_each(|_| chainer.update(&run));
    }
    chainer.update(&[b'c'].repeat(u.int_in_range(0..=1)?));
    Ok(chainer.finish())
}

fn any_slot(u: &mut Unstructured<'_>) -> Result<Slot> {
    u.int_in_range(0..=SLOTS - 1).map(Slot)
}

fn matched(index: &Index, slot: Slot, chain: &Chain) -> u32 {
    let mut matches = Matches::default();
    index.matches(chain, &mut matches);
    matches.blocks(slot)
}

/// No match exceeds what was learnt or jumps a gap, no bound is exceeded.
#[test]
fn agrees_with_the_definition() {
    arbtest::arbtest(|u| {
        let capacity = u.int_in_range(1..=50)?;
        let (mut index, mut model) =
            (Index::new(ENTRIES_MAX, Randomness::from_seed(1).table_key), Model::default());
        (0..SLOTS).for_each(|slot| index.admit(Slot(slot), capacity));
        let mut placed: Vec<(Slot, Chain, u64)> = Vec::new();
        while !u.is_empty() {
            match u.int_in_range(0..=9)? {
                0 => {
                    let slot = any_slot(u)?;
                    index.forget(slot);
                    index.admit(slot, capacity);
                    model.held[usize::from(slot.0)].clear();
                }
                1..=3 if !placed.is_empty() => {
                    let (slot, chain, _) = placed.swap_remove(u.choose_index(placed.len())?);
                    index.withdraw(slot, &chain);
                    model.withdraw(slot, &chain);
                }
                4..=5 if !placed.is_empty() => {
                    let (slot, chain, placement) = &placed[u.choose_index(placed.len())?];
                    // Of one that was evicted, the index does not know any more which it was.
                    if model.last_of(*slot, chain) == Some(*placement) {
                        let tail = chain.hashes.last().copied().into_iter().collect();
                        index.renew(*slot, &Chain { hashes: tail, blocks: chain.blocks });
                        model.renew(*slot, chain);
                    }
                }
                _ => {
                    let (slot, chain) = (any_slot(u)?, any_chain(u)?);
                    index.learn(slot, &chain);
                    model.learn(slot, &chain, capacity);
                    placed.push((slot, chain, model.placement));
                }
            }
            let probe = any_chain(u)?;
            for slot in (0..SLOTS).map(Slot) {
                assert_eq!(matched(&index, slot, &probe), model.matched(slot, &probe));
                assert!(index.blocks(slot) <= capacity);
            }
            assert_eq!(index.entries(), model.held.iter().map(BTreeMap::len).sum::<usize>());
            assert!(index.entries() <= ENTRIES_MAX);
        }
        Ok(())
    });
}

/// A placement that is taken back at once, and evicted nothing, leaves no trace in any answer.
#[test]
fn withdrawing_restores_the_answers() {
    arbtest::arbtest(|u| {
        let mut index = Index::new(usize::MAX, Randomness::from_seed(1).table_key);
        (0..SLOTS).for_each(|slot| index.admit(Slot(slot), u32::MAX));
        for _ in 0..u.int_in_range(0..=9)? {
            index.learn(any_slot(u)?, &any_chain(u)?);
        }
        let probes = [any_chain(u)?, any_chain(u)?, any_chain(u)?];
        let answers = |index: &Index| -> Vec<u32> {
            let slots = || (0..SLOTS).map(Slot);
            probes
                .iter()
                .flat_map(|probe| slots().map(|slot| matched(index, slot, probe)))
                .collect()
        };
        let (before, entries) = (answers(&index), index.entries());

        let slot = any_slot(u)?;
        let failed = &probes[0];
        index.learn(slot, failed);
        assert_eq!(matched(&index, slot, failed), failed.blocks);
        index.withdraw(slot, failed);
        assert_eq!(answers(&index), before);
        assert_eq!(index.entries(), entries);
        Ok(())
    });
}

/// The time for which a cache keeps a block that is used once: the age of its oldest when it is full,
/// and longer while there is room.
#[test]
fn an_endpoint_keeps_a_block_until_as_many_others_have_come() {
    let at = |seconds: u64| Instant::from_nanos(seconds * 1_000_000_000);
    let slot = Slot(0);
    let mut index = Index::new(usize::MAX, Randomness::from_seed(1).table_key);
    assert_eq!(index.keeps_for(slot, at(1)), None);
    index.admit(slot, 10);
    for second in 0..20 {
        index.advance(at(100 + second));
        index.learn(slot, &Chain { hashes: vec![BlockHash(second)], blocks: 1 });
        // A block a second: each lasts for ten seconds, from the first guess on.
        let kept = index.keeps_for(slot, at(101 + second)).unwrap().as_secs_f64();
        assert!((kept - 10.0).abs() < 0.1, "{kept} s after {second} s");
    }
    index.advance(at(120));
    index.renew(slot, &Chain { hashes: vec![BlockHash(10)], blocks: 1 });
    let kept = index.keeps_for(slot, at(120)).unwrap();
    assert_eq!(kept.as_secs(), 9, "the oldest was used again, and the next one counts");
}
