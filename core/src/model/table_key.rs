//! The secret by which a hash table places numbers that clients choose.
//!
//! A block's hash is computed by a public function of which every step can be undone, so a client
//! can write prompts with any hashes. A table that placed these numbers by their own bits would
//! put 200,000 such prompts' blocks into one bucket, and each request would walk through them all.

use std::fmt;

/// Secret of one worker, by which its hash tables place numbers that clients choose.
///
/// Pair-multiply-shift, which is strongly universal (Thorup, "High Speed Hashing for Integers and
/// Strings"): any two different numbers meet in a bucket by chance only, whichever they are, for a
/// key that is drawn at random and that nothing tells of. A multiplication and three additions a
/// look-up: SipHash takes ten times as much, for tables of which a client only sees the time.
#[derive(Clone, Copy)]
pub struct TableKey {
    high: u64,
    low: u64,
    offset: u64,
}

/// 2^64 over the golden ratio, which spreads 32 even bits over 64. An odd factor: the low bits of
/// the product, by which a table chooses the bucket, stay as even as those that it multiplies.
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

impl TableKey {
    /// Returns the key that is made of these random numbers.
    #[must_use]
    pub const fn new(random: [u64; 3]) -> Self {
        let [high, low, offset] = random;
        Self { high, low, offset }
    }

    /// Returns the hash by which a table is to place a number.
    #[inline]
    pub(crate) const fn position(&self, number: u64) -> u64 {
        let high = self.high.wrapping_add(number >> 32);
        let low = self.low.wrapping_add(number & 0xffff_ffff);
        // The upper half of the sum is even for any two numbers, the lower half is not.
        (high.wrapping_mul(low).wrapping_add(self.offset) >> 32).wrapping_mul(SPREAD)
    }
}

impl fmt::Debug for TableKey {
    /// Writes no number of the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TableKey(secret)")
    }
}
