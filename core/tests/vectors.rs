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
    vector(NONE, 1, 99, (1, 1, 0xD824_984F_AF92_1408, 0xD824_984F_AF92_1408)),
    vector(NONE, 256, 99, (1, 1, 0x182E_7E4A_E2B9_E513, 0x182E_7E4A_E2B9_E513)),
    vector(TINY, 257, 99, (2, 2, 0xE364_1D6B_C747_9CD9, 0xEE91_DC04_6D37_D6E0)),
    vector(LORA, 257, 99, (2, 2, 0x4382_2109_D4B3_5D58, 0x8D81_0D59_C2AC_8807)),
    vector(SALT, 257, 99, (2, 2, 0xF14E_DC62_F0DE_E807, 0x9510_6BB1_EDF9_1301)),
    vector(TINY, 8_960, 99, (35, 34, 0xE364_1D6B_C747_9CD9, 0x4ED6_AB2B_97BD_3413)),
    vector(TINY, 10_000, 99, (40, 36, 0xE364_1D6B_C747_9CD9, 0x417D_4151_6CF0_C5DB)),
    vector(TINY, 220_000, 16_384, (860, 107, 0xE364_1D6B_C747_9CD9, 0x6AE0_FEE9_228F_FDD7)),
    vector(TINY, 4_194_304, 16_384, (16_384, 176, 0xE364_1D6B_C747_9CD9, 0x0319_9FB2_CB92_455D)),
    vector(TINY, 5_000_000, 16_384, (16_384, 176, 0xE364_1D6B_C747_9CD9, 0x0319_9FB2_CB92_455D)),
    vector(TINY, 10_000, 7, (7, 7, 0xE364_1D6B_C747_9CD9, 0x9B59_88F4_8187_203F)),
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
    assert_eq!(chain.hashes.first(), Some(&BlockHash(0x8526_3382_F0D4_45DE)));
    assert_eq!(chain.hashes.last(), Some(&BlockHash(0xD321_D77B_15E2_761C)));
}
