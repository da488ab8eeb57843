//! Prompts made so that their blocks' hashes share the bits by which a table would choose buckets: what
//! they cost, in the VM's own instructions.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use picker_core::{BLOCK_BYTES, BLOCKS_MAX, BlockHash, Chainer, Seed};
use serde_json::json;

use super::{push::Pod, world::World};

/// Blocks of a prompt: 8 kB, all of whose hashes are kept.
const BLOCKS: usize = 32;

/// Prompts of a flood: 8,000 blocks, at which a table by the hashes' own bits takes several times as long.
const PROMPTS: usize = 250;

/// The low half that all hashes of a flood have.
const LOW: u64 = 0x1234_5678;

const PRIME_1: u64 = 0x9E37_79B1_85EB_CA87;
const PRIME_2: u64 = 0xC2B2_AE3D_27D4_EB4F;
const PRIME_3: u64 = 0x1656_67B1_9E37_79F9;
const PRIME_4: u64 = 0x85EB_CA77_C2B2_AE63;
const PRIME_5: u64 = 0x27D4_EB2F_1656_67C5;

/// What multiplies to 1 with these.
const INVERSE_1: u64 = inverse(PRIME_1);
const INVERSE_2: u64 = inverse(PRIME_2);

const fn inverse(factor: u64) -> u64 {
    let (mut inverse, mut right_bits) = (factor, 3);
    while right_bits < u64::BITS {
        inverse = inverse.wrapping_mul(2_u64.wrapping_sub(factor.wrapping_mul(inverse)));
        right_bits *= 2;
    }
    inverse
}

/// The chain's own step from one block's hash to the next, and back.
fn mix(hash: u64, next: u64) -> u64 {
    let mixed = (hash.rotate_left(25) ^ next).wrapping_mul(PRIME_1);
    let mixed = (mixed ^ (mixed >> 32)).wrapping_mul(PRIME_2);
    mixed ^ (mixed >> 29)
}

fn unmix(hash: u64, mixed: u64) -> u64 {
    let mixed = (mixed ^ (mixed >> 29) ^ (mixed >> 58)).wrapping_mul(INVERSE_2);
    (mixed ^ (mixed >> 32)).wrapping_mul(INVERSE_1) ^ hash.rotate_left(25)
}

fn lanes(words: &[[u8; 8]]) -> [u64; 4] {
    let mut lanes = [PRIME_2, PRIME_3, PRIME_4, PRIME_5];
    for (lane, word) in (0..4).cycle().zip(words) {
        let word = u64::from_le_bytes(*word).wrapping_mul(PRIME_2);
        let lane: &mut u64 = lanes.get_mut(lane).unwrap();
        *lane = lane.wrapping_add(word).rotate_left(31).wrapping_mul(PRIME_1);
    }
    lanes
}

/// Dice for letters.
struct Dice(u64);

impl Dice {
    fn draw(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn letters(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| b'a' + u8::try_from(self.draw() % 26).unwrap()).collect()
    }
}

/// The hash of a prompt of whole blocks, by the crate itself.
fn hash(prompt: &[u8]) -> u64 {
    let seed = Seed { model: "tiny", ..Seed::default() };
    let mut chainer = Chainer::new(&seed, BLOCKS_MAX);
    chainer.update(prompt);
    let BlockHash(hash) = *chainer.finish().hashes.last().unwrap();
    hash
}

/// A block behind `before`, the last eight bytes of which bring the hash to the wanted low half.
fn crafted(dice: &mut Dice, before: u64) -> (Vec<u8>, u64) {
    let mut block = dice.letters(BLOCK_BYTES - 8);
    let [first, second, third, last] = lanes(block.as_chunks::<8>().0);
    let three = mix(mix(mix(PRIME_5, first), second), third);
    let plain = |byte: &u8| (b' '..=b'~').contains(byte) && !b"\"\\".contains(byte);
    loop {
        let wanted = dice.draw() << 32 | LOW;
        let lane = unmix(three, unmix(before, wanted));
        let sum = lane.wrapping_mul(INVERSE_1).rotate_right(31);
        let word = sum.wrapping_sub(last).wrapping_mul(INVERSE_2).to_le_bytes();
        if word.iter().all(plain) {
            block.extend(word);
            return (block, wanted);
        }
    }
}

/// The hash that the first block is put behind, told by the hash of any first block.
fn beginning() -> u64 {
    let block = [b'a'; BLOCK_BYTES];
    let digest = lanes(block.as_chunks::<8>().0).into_iter().fold(PRIME_5, mix);
    (unmix(0, hash(&block)) ^ digest).rotate_right(25)
}

/// The instructions of a request, in the mean of these prompts.
fn instructions(world: &World, prompts: &[String]) -> u64 {
    let before = world.envoy.crossings().instructions;
    for prompt in prompts {
        let body = json!({"model": "tiny", "prompt": prompt}).to_string();
        let stream = world.envoy.worker(0).post("/v1/completions", (), body.as_bytes());
        stream.respond(200, &[("content-type", "application/json")], b"{}");
        assert_eq!(stream.status(), Some(200), "{:?}", stream.response());
    }
    (world.envoy.crossings().instructions - before) / u64::try_from(prompts.len()).unwrap()
}

#[test]
fn crafted_prompts_cost_no_more_than_others() {
    let mut dice = Dice(88_172_645_463_325_252);
    let before = beginning();
    let mut flood: Vec<String> = Vec::new();
    for _ in 0..PROMPTS {
        let (mut prompt, mut hash_before) = (Vec::new(), before);
        for _ in 0..BLOCKS {
            let (block, hash) = crafted(&mut dice, hash_before);
            prompt.extend(block);
            hash_before = hash;
        }
        assert_eq!(hash(&prompt) & 0xffff_ffff, LOW, "the chain's hash is another than this one");
        flood.push(String::from_utf8(prompt).unwrap());
    }
    let world = World::new();
    world.pods(&Pod::idles(3));
    let ordinary: Vec<String> = (0..PROMPTS)
        .map(|_| String::from_utf8(dice.letters(BLOCKS * BLOCK_BYTES)).unwrap())
        .collect();
    let usual = instructions(&world, &ordinary);
    instructions(&world, &flood);
    // Once more: now each finds all of the others there.
    let crafted = instructions(&world, &flood);
    assert!(crafted <= usual * 2, "{crafted} instructions, others take {usual}");
    world.is_well();
}
