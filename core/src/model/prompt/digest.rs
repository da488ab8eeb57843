//! Hashes: one block to one number, and two numbers to one.
//!
//! XXH64's round over four lanes, so that the multiplications of one overlap with the loads of the
//! next, then a finish of our own: XXH64's dependent nine-step finish takes a quarter of the time
//! at this block size, and XXH3's asks for 64 by 64 to 128 bits multiplications, which wasm lacks.
//! 220 kB in V8 take 20 us, against 27 by XXH64 and 30 by XXH3 with simd128.
//!
//! Not keyed per block: hashes decide where a prompt is computed, never what is answered, and a
//! client that crafts two prompts of one hash only sends its own requests to the wrong cache.

/// Bytes per block: 64 tokens of an estimated 4 bytes, the EPP's smallest block
/// (EPP: approx-prefix-cache-producer).
pub const BLOCK_BYTES: usize = 256;

/// A whole block.
pub(super) type Block = [u8; BLOCK_BYTES];

// XXH64's primes.
const PRIME_1: u64 = 0x9E37_79B1_85EB_CA87;
const PRIME_2: u64 = 0xC2B2_AE3D_27D4_EB4F;
const PRIME_3: u64 = 0x1656_67B1_9E37_79F9;
const PRIME_4: u64 = 0x85EB_CA77_C2B2_AE63;
const PRIME_5: u64 = 0x27D4_EB2F_1656_67C5;

/// Returns the bytes' own number, whatever comes before them.
#[inline]
pub(super) fn digest(block: &Block) -> u64 {
    let mut lanes = [PRIME_2, PRIME_3, PRIME_4, PRIME_5];
    for stripe in block.as_chunks::<32>().0 {
        for (lane, word) in lanes.iter_mut().zip(stripe.as_chunks::<8>().0) {
            let word = u64::from_le_bytes(*word).wrapping_mul(PRIME_2);
            *lane = lane.wrapping_add(word).rotate_left(31).wrapping_mul(PRIME_1);
        }
    }
    lanes.into_iter().fold(PRIME_5, mix)
}

/// Returns a number for bytes of any length, behind `hash`. Their length goes in first, so that
/// ("ab", "c") and ("a", "bc") differ in a row.
///
/// Names are a few words long: what is no whole block goes in by words, the last one padded with zeros.
pub(crate) fn digest_all(hash: u64, bytes: &[u8]) -> u64 {
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let (blocks, rest) = bytes.as_chunks::<BLOCK_BYTES>();
    let hash = blocks.iter().fold(mix(hash, length), |hash, block| mix(hash, digest(block)));
    let (words, rest) = rest.as_chunks::<8>();
    let hash = words.iter().fold(hash, |hash, word| mix(hash, u64::from_le_bytes(*word)));
    if rest.is_empty() {
        return hash;
    }
    let last = rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
    mix(hash, last)
}

/// Joins `next` to what `hash` stands for. One to one in either argument, so that equal tails of
/// different heads stay different.
#[inline]
pub(crate) const fn mix(hash: u64, next: u64) -> u64 {
    let mixed = (hash.rotate_left(25) ^ next).wrapping_mul(PRIME_1);
    let mixed = (mixed ^ (mixed >> 32)).wrapping_mul(PRIME_2);
    mixed ^ (mixed >> 29)
}
