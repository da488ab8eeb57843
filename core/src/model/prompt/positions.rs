//! Positions of the blocks that are retained: every one up to 32, then 16 per doubling, and the
//! last.
//!
//! Counted from one, so that a position is also the number of blocks up to and with it.

/// Positions per doubling, so the gap after position p is at most p / 16.
const PER_DOUBLING: u32 = 16;

/// Returns the first retained position after `position`, the last block aside.
pub(super) const fn next(position: u32) -> u32 {
    position.saturating_add(1 << octave(position))
}

/// Returns the number of positions that a prompt of `blocks` blocks retains, its last one among
/// them.
pub(super) const fn count(blocks: u32) -> u32 {
    let octave = octave(blocks);
    let on_grid = PER_DOUBLING * octave + (blocks >> octave);
    let last_is_extra = !blocks.is_multiple_of(1 << octave);
    on_grid + last_is_extra as u32
}

/// Returns the retained position that comes `index`th, from zero, in every prompt long enough.
pub(super) fn grid(index: usize) -> u32 {
    let index = u32::try_from(index).unwrap_or(u32::MAX);
    let Some(beyond) = index.checked_sub(PER_DOUBLING) else { return index + 1 };
    let octave = beyond / PER_DOUBLING;
    let step = beyond % PER_DOUBLING;
    let gap = 1_u32.checked_shl(octave);
    gap.and_then(|gap| gap.checked_mul(PER_DOUBLING + 1 + step)).unwrap_or(u32::MAX)
}

/// Returns the number of doublings of the gap at `position`.
const fn octave(position: u32) -> u32 {
    let floor = if position < PER_DOUBLING { PER_DOUBLING } else { position };
    floor.ilog2() - PER_DOUBLING.ilog2()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Walks the definition, step by step.
    fn walk(blocks: u32) -> Vec<u32> {
        let mut positions: Vec<u32> =
            std::iter::successors(Some(1), |&position| Some(next(position)))
                .take_while(|&position| position <= blocks)
                .collect();
        if positions.last().is_some_and(|&last| last < blocks) {
            positions.push(blocks);
        }
        positions
    }

    #[test]
    fn thin_out_by_doublings() {
        assert_eq!(walk(40), (1..=32).chain([34, 36, 38, 40]).collect::<Vec<_>>());
        assert_eq!(
            walk(135)[48..],
            [68, 72, 76, 80, 84, 88, 92, 96, 100, 104, 108, 112, 116, 120, 124, 128, 135]
        );
        assert_eq!(walk(16_384).len(), 176);
    }

    #[test]
    fn formulas_agree_with_the_walk() {
        for blocks in (0..2_000).chain([16_383, 16_384, 16_385]) {
            let walked = walk(blocks);
            assert_eq!(count(blocks) as usize, walked.len(), "{blocks} blocks");
            for (index, &position) in walked.iter().enumerate() {
                assert_eq!(grid(index).min(blocks), position, "{blocks} blocks, index {index}");
            }
        }
    }

    #[test]
    fn absurd_sizes_saturate() {
        assert_eq!(grid(usize::MAX), u32::MAX);
        assert!((0..2_000).is_sorted_by_key(grid), "no position is less than one before");
        assert_eq!(count(u32::MAX), 16 * 27 + 31 + 1);
    }
}
