//! The cost of one request: hashing its prompt, a lookup, a pick, learning the placement.
#![cfg_attr(target_arch = "wasm32", no_main)]
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a bench may panic")]

use divan::{Bencher, counter::BytesCount};
use picker_core::{
    BLOCKS_MAX, Chain, Chainer, Randomness, Seed,
    prefix::{Index, Matches, Slot},
};

#[path = "parts/arrivals.rs"]
mod arrivals;

use arrivals::{Arrivals, chain};

fn main() {
    divan::main();
}

#[divan::bench(args = [1, 220, 4_096])]
fn hash_kb(bencher: Bencher<'_, '_>, kb: usize) {
    let prompt = vec![b'p'; kb << 10];
    bencher.counter(BytesCount::new(prompt.len())).bench(|| {
        let mut chainer = Chainer::new(&Seed::default(), BLOCKS_MAX);
        chainer.update(divan::black_box(&prompt));
        chainer.finish()
    });
}

/// Returns an index of 1e5 entries: ten endpoints, each with a hundred chains of 98 retained
/// blocks.
fn warm_index() -> Index {
    let mut index = Index::new(Index::ENTRIES_MAX, Randomness::from_seed(0).table_key);
    for who in 0..1_000_u32 {
        let slot = Slot(u16::try_from(who % 10).unwrap());
        index.admit(slot, u32::MAX);
        index.learn(slot, &chain(who, 150_000));
    }
    index
}

#[divan::bench]
fn lookup_98_of_1e5(bencher: Bencher<'_, '_>) {
    let (index, mut matches) = (warm_index(), Matches::default());
    let chains: Vec<Chain> = (0..1_000).map(|who| chain(who, 150_000)).collect();
    let mut next = chains.iter().cycle();
    bencher.bench_local(|| index.matches(next.next().unwrap(), &mut matches));
}

#[divan::bench]
fn learn_98_new_among_1e5(bencher: Bencher<'_, '_>) {
    let mut index = warm_index();
    let mut who = 1_000;
    bencher
        .with_inputs(|| {
            who += 1;
            chain(who, 150_000)
        })
        .bench_local_values(|chain| index.learn(Slot(3), &chain));
}

/// Measures an arrival in a warm pool, from its match to its end.
#[divan::bench(args = [10, 100, 1_000])]
fn pick(bencher: Bencher<'_, '_>, endpoints: u16) {
    let mut arrivals = Arrivals::new(endpoints);
    bencher.bench_local(|| arrivals.arrive());
}
