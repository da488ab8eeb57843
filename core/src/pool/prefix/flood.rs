//! Floods: prompts made so that their blocks' hashes meet in one bucket, counted in looks at the tables.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use hashbrown::HashTable;

use super::{Index, Slot};
use crate::model::{BlockHash, Chain, Randomness};

/// Prompts of a flood, each of one block: what the table finds is the first hash of a segment.
const FLOOD: u64 = 100_000;

/// Buckets that a table looks at in one step (hashbrown: `Group::WIDTH`).
const GROUP: usize = if cfg!(target_feature = "sse2") { 16 } else { 8 };

/// Returns the steps of a look-up: until the bucket of the element, or until a free one where the
/// table does not have it. The steps are as far from each other as hashbrown's: one group further
/// each time.
pub(super) fn steps<T>(table: &HashTable<T>, place: u64, is_it: impl Fn(&T) -> bool) -> usize {
    let mask = table.num_buckets() - 1;
    let mut at = usize::try_from(place & u64::try_from(mask).unwrap()).unwrap();
    for step in 1.. {
        let group = (0..GROUP).map(|offset| table.get_bucket((at + offset) & mask));
        if group.into_iter().any(|bucket| bucket.is_none_or(&is_it)) {
            return step;
        }
        at = (at + step * GROUP) & mask;
    }
    unreachable!("a table has free buckets");
}

/// Mean and highest number of steps.
#[derive(Debug)]
struct Steps {
    mean: f64,
    most: usize,
}

/// Learns the blocks as prompts of one endpoint, and counts the steps to each of them, and to others of
/// the same pattern that are not there.
fn flood(randomness: Randomness, pattern: impl Fn(u64) -> u64) -> Steps {
    let mut index = Index::new(usize::MAX, randomness.table_key);
    let slot = Slot(3);
    index.admit(slot, u32::MAX);
    let block = |number| BlockHash(pattern(number));
    let mut counted: Vec<usize> = Vec::new();
    for number in 0..FLOOD {
        index.learn(slot, &Chain { hashes: vec![block(number)], blocks: 1 });
        // Looked at as it comes: a flood that is not withstood would take hours to its end.
        if number % 32 == 0 {
            let steps = index.segments.steps(block(number));
            assert!(steps < 1_000, "{steps} steps for one of {number} blocks");
        }
    }
    for number in (0..2 * FLOOD).step_by(31) {
        counted.push(index.segments.steps(block(number)));
    }
    let sum =
        counted.iter().fold(0.0, |sum, steps| sum + f64::from(u32::try_from(*steps).unwrap()));
    let number = f64::from(u32::try_from(counted.len()).unwrap());
    Steps { mean: sum / number, most: counted.into_iter().max().unwrap() }
}

/// Numbers as ordinary prompts give them.
fn ordinary(number: u64) -> u64 {
    let mixed = (number ^ (number >> 30)).wrapping_add(1).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// A crafted hash by its number.
type Pattern = fn(u64) -> u64;

/// Patterns of hashes: equal in the bits by which a table chooses buckets, and whatever a key that is
/// weak would let through.
const PATTERNS: [(&str, Pattern); 11] = [
    ("equal low halves", |number| number << 32 | 0x1234_5678),
    ("equal low halves, uneven high ones", |number| ordinary(number) << 32),
    ("equal high halves", |number| 0x1234_5678 << 32 | number),
    ("top bits only", |number| number << 45),
    ("middle bits only", |number| number << 22),
    ("halves that are equal", |number| number << 32 | number),
    ("halves that sum up", |number| number << 32 | (0xffff_ffff - number)),
    ("steps of the table's factor", |number| number.wrapping_mul(0x9E37_79B9_7F4A_7C15)),
    ("steps that the factor undoes", |number| number.wrapping_mul(0xF1DE_83E1_9937_733D)),
    ("steps of the chain's factor", |number| number.wrapping_mul(0x9E37_79B1_85EB_CA87)),
    ("the factor's multiples in both halves", |number| {
        (number.wrapping_mul(0x9E37_79B9) & 0xffff_ffff) << 32
            | (number.wrapping_mul(0x7F4A_7C15) & 0xffff_ffff)
    }),
];

#[test]
fn crafted_hashes_are_found_in_as_many_steps_as_others() {
    let randomness = Randomness::from_seed(1);
    let usual = flood(randomness, ordinary);
    assert!(usual.mean < 3.0 && usual.most < 20, "{usual:?}");
    for (name, pattern) in PATTERNS {
        let crafted = flood(randomness, pattern);
        let is_like = crafted.mean < 1.25 * usual.mean && crafted.most <= 2 * usual.most;
        assert!(is_like, "{name}: {crafted:?}, others {usual:?}");
    }
}

/// Prompts of which the last hashes are one, and then their second parts the same: each place of a table is one
/// segment's, so that none is searched through all of them.
#[test]
fn prompts_that_end_alike_take_one_place_of_a_table() {
    const PROMPTS: u64 = 10_000;
    let mut index = Index::new(usize::MAX, Randomness::from_seed(1).table_key);
    let slot = Slot(3);
    index.admit(slot, u32::MAX);
    let (first, last) = (|number| BlockHash(ordinary(number)), BlockHash(7));
    for number in 0..PROMPTS {
        index.learn(slot, &Chain { hashes: vec![first(number), last], blocks: 2 });
    }
    let all = usize::try_from(PROMPTS).unwrap();
    assert_eq!(index.segments.listed(), [all, 1]);
    // Cuts each of them behind its first hash.
    for number in 0..PROMPTS {
        index.learn(slot, &Chain { hashes: vec![first(number)], blocks: 1 });
    }
    assert_eq!(index.segments.listed(), [all + 1, all + 1]);
    index.forget(slot);
    assert!(index.segments.is_empty());
}

/// Places of the same numbers differ by worker, so that what one shows is no use against another.
#[test]
fn workers_place_the_same_block_elsewhere() {
    let places = (0..64).map(|seed| Randomness::from_seed(seed).table_key.position(7) & 0xffff);
    let mut places: Vec<u64> = places.collect();
    places.sort_unstable();
    places.dedup();
    assert!(places.len() >= 63, "{} of 64", places.len());
    assert_eq!(format!("{:?}", Randomness::from_seed(1).table_key), "TableKey(secret)");
}
