//! Golden vectors of the prompt's hashes, the same on 32 and 64 bit, natively and in wasm.
//!
//! Made by a second implementation, in Python over whole integers, from the words of
//! `prompt::digest`, `prompt::seed` and `Chain`. Workers and gateways of different builds exchange
//! hashes: a vector may only change together with the seed's start.

use picker_core::{BlockHash, Chainer, Seed};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

struct Vector {
    seed: (&'static str, &'static str, &'static str),
    bytes: usize,
    max_blocks: u32,
    /// Blocks, retained hashes, the first and the last of these.
    chain: (u32, usize, u64, u64),
}

const fn vector(
    seed: (&'static str, &'static str, &'static str),
    bytes: usize,
    max_blocks: u32,
    chain: (u32, usize, u64, u64),
) -> Vector {
    Vector { seed, bytes, max_blocks, chain }
}

const NONE: (&str, &str, &str) = ("", "", "");
const TINY: (&str, &str, &str) = ("tiny", "", "");
const LORA: (&str, &str, &str) = ("tiny", "lora", "");
const SALT: (&str, &str, &str) = ("tiny", "", "salt");

#[rustfmt::skip]
const VECTORS: [Vector; 12] = [
    vector(NONE, 0, 99, (0, 0, 0, 0)),
    vector(NONE, 1, 99, (1, 1, 0x6512_4FAC_28D7_C022, 0x6512_4FAC_28D7_C022)),
    vector(NONE, 256, 99, (1, 1, 0x0563_03AC_9EE6_93B0, 0x0563_03AC_9EE6_93B0)),
    vector(TINY, 257, 99, (2, 2, 0x9140_BBEE_061E_52AE, 0xDE24_1919_EDB5_C701)),
    vector(LORA, 257, 99, (2, 2, 0xCC0A_8AE5_533E_3E5A, 0x8FEF_05F2_A98E_121B)),
    vector(SALT, 257, 99, (2, 2, 0x7236_7627_5199_F7B0, 0xAB8E_60B9_1C48_9246)),
    vector(TINY, 8_960, 99, (35, 34, 0x9140_BBEE_061E_52AE, 0xB5B7_1C62_B56E_3289)),
    vector(TINY, 10_000, 99, (40, 36, 0x9140_BBEE_061E_52AE, 0x8D4F_8317_C964_BD3D)),
    vector(TINY, 220_000, 16_384, (860, 107, 0x9140_BBEE_061E_52AE, 0x4080_3F58_0563_67E0)),
    vector(TINY, 4_194_304, 16_384, (16_384, 176, 0x9140_BBEE_061E_52AE, 0x55B1_0F4C_02F1_5971)),
    vector(TINY, 5_000_000, 16_384, (16_384, 176, 0x9140_BBEE_061E_52AE, 0x55B1_0F4C_02F1_5971)),
    vector(TINY, 10_000, 7, (7, 7, 0x9140_BBEE_061E_52AE, 0xBDA4_6B5F_17C5_DD64)),
];

/// Returns bytes of which byte i is `31 * i * i + 7 * i + i / 256`, modulo 256.
fn prompt(bytes: usize) -> Vec<u8> {
    let byte = |i: usize| i.wrapping_mul(i).wrapping_mul(31).wrapping_add(7 * i + (i >> 8));
    (0..bytes).map(|i| byte(i).to_le_bytes()[0]).collect()
}

#[test]
fn every_vector_holds() {
    for Vector { seed, bytes, max_blocks, chain: expected } in VECTORS {
        let (model, adapter, cache_salt) = seed;
        let mut chainer =
            Chainer::new(&Seed { model, adapter, cache_salt, ..Seed::default() }, max_blocks);
        for piece in prompt(bytes).chunks(1_000) {
            chainer.update(piece);
        }
        let chain = chainer.finish();
        let end = |hash: Option<&BlockHash>| hash.map_or(0, |hash| hash.0);
        let (first, last) = (end(chain.hashes.first()), end(chain.hashes.last()));
        let found = (chain.blocks, chain.hashes.len(), first, last);
        assert_eq!(found, expected, "{seed:?}, {bytes} bytes, up to {max_blocks} blocks");
    }
}

/// A model name longer than a block.
#[test]
fn a_long_name_is_hashed_whole() {
    let name = "m".repeat(300);
    let mut chainer = Chainer::new(&Seed { model: &name, ..Seed::default() }, 99);
    chainer.update(&prompt(1_000));
    let chain = chainer.finish();
    assert_eq!(chain.blocks, 4);
    assert_eq!(chain.hashes.first(), Some(&BlockHash(0x8DA0_2058_CDD1_8487)));
    assert_eq!(chain.hashes.last(), Some(&BlockHash(0xC961_FF29_814E_C0BE)));
}
