//! 64 bytes of the inside of a JSON string at once, as one bit each.
//!
//! After simdjson (Langdale and Lemire, "Parsing Gigabytes of JSON per Second"): vector compares
//! tell the classes of bytes, and one subtraction tells which bytes are escaped. There is no branch
//! for each escape: prompts have one every 30 to 70 bytes, which no predictor learns.

use wide::u8x16;

/// Bytes in a block: as many as a word has bits.
pub(super) const BYTES: usize = 64;

/// Every second bit, from the second one.
const ODD: u64 = 0xAAAA_AAAA_AAAA_AAAA;

/// Part of a string.
pub(super) struct Block([u8x16; 4]);

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

/// State that a block leaves to the next one.
#[derive(Default)]
pub(super) struct Carry {
    /// Bit 0: the first byte of the next block is escaped.
    escaped: u64,
    /// First four bits: these bytes of the next block belong to a `\u`.
    digits: u64,
}

/// Error that something in the block is not allowed in a string.
pub(super) struct Fault;

impl Block {
    #[inline]
    pub(super) fn new(bytes: &[u8; BYTES]) -> Self {
        let lanes = bytes.as_chunks::<16>().0;
        let mut vectors = [u8x16::ZERO; 4];
        vectors.iter_mut().zip(lanes).for_each(|(vector, lane)| *vector = u8x16::new(*lane));
        Self(vectors)
    }

    /// Returns a block of fewer bytes and then zeros, which no string may hold.
    pub(super) fn padded(bytes: &[u8]) -> Self {
        let mut block = [0; BYTES];
        block.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        Self::new(&block)
    }

    /// Returns the index of the closing quote, if it is in this block.
    #[inline]
    pub(super) fn read(&self, carry: &mut Carry) -> Result<Option<usize>, Fault> {
        let backslashes = self.bits(|lane| lane.simd_eq(u8x16::splat(b'\\')));
        let quotes = self.bits(|lane| lane.simd_eq(u8x16::splat(b'"')));
        let controls = self.bits(|lane| lane.simd_lt(u8x16::splat(b' ')));
        let escaped = escaped(backslashes, carry);
        let close = quotes & !escaped;
        // All up to the closing quote, that included.
        let inside = close ^ close.wrapping_sub(1);
        let mut faults = controls;
        if escaped | carry.digits != 0 {
            faults |= self.bad_escapes(escaped, quotes | backslashes, carry);
        }
        if faults & inside != 0 {
            return Err(Fault);
        }
        Ok((close != 0).then(|| close.trailing_zeros() as usize))
    }

    /// Returns the escaped bytes that mean nothing, and the bytes that should be digits of a `\u`
    /// and are none.
    #[inline]
    fn bad_escapes(&self, escaped: u64, known: u64, carry: &mut Carry) -> u64 {
        let frequent = self.bits(|lane| {
            let is = |letter| lane.simd_eq(u8x16::splat(letter));
            is(b'n') | is(b't') | is(b'r')
        });
        let unicode = escaped & self.bits(|lane| lane.simd_eq(u8x16::splat(b'u')));
        let mut bad = escaped & !(known | frequent | unicode);
        if bad != 0 {
            bad &= !self.bits(|lane| {
                let is = |letter| lane.simd_eq(u8x16::splat(letter));
                is(b'/') | is(b'b') | is(b'f')
            });
        }
        if unicode | carry.digits != 0 {
            let digits = (unicode << 1) | (unicode << 2) | (unicode << 3) | (unicode << 4);
            bad |= (digits | carry.digits) & !self.bits(is_hexadecimal);
            carry.digits = (unicode >> 63) | (unicode >> 62) | (unicode >> 61) | (unicode >> 60);
        }
        bad
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
fn escaped(backslashes: u64, carry: &mut Carry) -> u64 {
    let first = carry.escaped;
    let starts = backslashes & !first;
    // Subtracting carries through each run of backslashes, and comes out in step with the odd bits
    // or against them, as the run began at an odd bit or an even one.
    let ends = ((starts << 1) | ODD).wrapping_sub(starts) ^ ODD;
    carry.escaped = (ends & backslashes) >> 63;
    ends ^ (backslashes | first)
}

#[inline]
fn is_hexadecimal(lane: u8x16) -> u8x16 {
    let digit = (lane - u8x16::splat(b'0')).simd_lt(u8x16::splat(10));
    let lower = lane | u8x16::splat(0x20);
    digit | (lower - u8x16::splat(b'a')).simd_lt(u8x16::splat(6))
}
