//! 64 bytes of the inside of a JSON string at once.
//!
//! Only the closing quote is looked for, and the bytes that no string may hold. Most blocks have neither, which four
//! vectors tell together. One with a quote is read as one bit for each byte, after simdjson (Langdale and
//! Lemire, "Parsing Gigabytes of JSON per Second"): one subtraction tells which bytes are escaped. There is no
//! branch for each escape: prompts have one every 30 to 70 bytes, which no predictor learns.
//!
//! What an escape spells is not checked: the engine refuses one that means nothing, and no string ends
//! elsewhere by it.

use wide::u8x16;

/// Bytes in a block: as many as a word has bits.
const BYTES: usize = 64;

/// Every second bit, from the second one.
const ODD: u64 = 0xAAAA_AAAA_AAAA_AAAA;

/// Part of a string.
struct Block([u8x16; 4]);

/// Returns the length of a string of a few bytes without escapes, as all keys are and most values
/// of tools' schemas: a quarter of a block's work.
#[inline]
pub(super) fn short(bytes: &[u8]) -> Option<usize> {
    let lane = u8x16::new(*bytes.first_chunk()?);
    let bits = |marks: u8x16| marks.to_bitmask();
    let quotes = bits(lane.simd_eq(u8x16::splat(b'"')));
    let others = bits(lane.simd_eq(u8x16::splat(b'\\')) | lane.simd_lt(u8x16::splat(b' ')));
    // All up to the closing quote, that included; everything where there is none.
    let inside = quotes ^ quotes.wrapping_sub(1);
    (quotes != 0 && others & inside == 0).then(|| quotes.trailing_zeros() as usize)
}

/// Error that something in the block is not allowed in a string.
struct Fault;

/// Returns the length of a string by its bytes from its beginning on; `None` if it has no closing quote, or
/// holds what no string may.
///
/// A function of its own: in the middle of a larger one V8 spills what this keeps in registers.
#[inline(never)]
pub(super) fn length(inside: &[u8]) -> Option<usize> {
    let (blocks, rest) = inside.as_chunks::<BYTES>();
    // Bit 0: the first byte of the next block is escaped.
    let mut carry = 0;
    for (index, bytes) in blocks.iter().enumerate() {
        let block = Block::new(bytes);
        let [.., last] = bytes;
        if *last != b'\\' && !block.may_end() {
            // Whatever is escaped in it, nothing behind it is.
            carry = 0;
            continue;
        }
        if let Some(quote) = block.read(&mut carry).ok()? {
            return Some(index * BYTES + quote);
        }
    }
    let quote = Block::padded(rest).read(&mut carry).ok()??;
    Some(blocks.len() * BYTES + quote)
}

impl Block {
    #[inline]
    fn new(bytes: &[u8; BYTES]) -> Self {
        let lanes = bytes.as_chunks::<16>().0;
        let mut vectors = [u8x16::ZERO; 4];
        vectors.iter_mut().zip(lanes).for_each(|(vector, lane)| *vector = u8x16::new(*lane));
        Self(vectors)
    }

    /// Returns a block of fewer bytes and then zeros, which no string may hold.
    fn padded(bytes: &[u8]) -> Self {
        let mut block = [0; BYTES];
        if let Some(front) = block.get_mut(..bytes.len()) {
            front.copy_from_slice(bytes);
        }
        Self::new(&block)
    }

    /// True if there is a quote in the block, or a byte that no string may hold.
    #[inline]
    fn may_end(&self) -> bool {
        // Inverting this bit puts the quote next to the control characters, and nothing between.
        let [a, b, c, d] = self.0.map(|lane| lane ^ u8x16::splat(b'"' ^ b' '));
        let least = a.min(b).min(c.min(d));
        least.simd_lt(u8x16::splat(b' ' + 1)).any()
    }

    /// Returns the index of the closing quote, if it is in this block.
    #[inline]
    fn read(&self, carry: &mut u64) -> Result<Option<usize>, Fault> {
        let backslashes = self.bits(|lane| lane.simd_eq(u8x16::splat(b'\\')));
        let quotes = self.bits(|lane| lane.simd_eq(u8x16::splat(b'"')));
        let controls = self.bits(|lane| lane.simd_lt(u8x16::splat(b' ')));
        let close = quotes & !escaped(backslashes, carry);
        // All up to the closing quote, that included.
        let inside = close ^ close.wrapping_sub(1);
        if controls & inside != 0 {
            return Err(Fault);
        }
        Ok((close != 0).then(|| close.trailing_zeros() as usize))
    }

    /// Returns a bit for each byte that `is` marks with ones.
    #[inline]
    fn bits(&self, is: impl Fn(u8x16) -> u8x16) -> u64 {
        let [first, second, third, fourth] = self.0.map(|lane| u64::from(is(lane).to_bitmask()));
        first | second << 16 | third << 32 | fourth << 48
    }
}

/// Returns the bytes that an escaping backslash precedes (simdjson: `json_escape_scanner`). An odd
/// number of backslashes escapes the byte behind them, an even number only each other.
#[inline]
fn escaped(backslashes: u64, carry: &mut u64) -> u64 {
    let first = *carry;
    let starts = backslashes & !first;
    // Subtracting carries through each run of backslashes, and comes out in step with the odd bits
    // or against them, as the run began at an odd bit or an even one.
    let ends = ((starts << 1) | ODD).wrapping_sub(starts) ^ ODD;
    *carry = (ends & backslashes) >> 63;
    ends ^ (backslashes | first)
}
