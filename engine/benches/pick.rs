//! What one request costs: hashing its prompt, a lookup, a pick, learning the placement.
#![cfg_attr(target_arch = "wasm32", no_main)]
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, reason = "a bench may panic")]

use std::{net::SocketAddr, time::Duration};

use divan::{Bencher, counter::BytesCount};
use engine::{
    Answer, Ask, Chain, Chainer, Config, Endpoint, Engine, Event, Health, Instant, MAX_BLOCKS,
    Metrics, RequestId, Seed, Snapshot,
    ledger::{Account, Ledger},
    prefix::{Index, Matches, Slot},
};

fn main() {
    divan::main();
}

/// A system prompt that all share, a conversation of `bytes` that only equal `who` share.
fn chain(who: u32, bytes: usize) -> Chain {
    let mut chainer = Chainer::new(&Seed::default(), MAX_BLOCKS);
    chainer.update(&[b's'; 4_096]);
    chainer.update(&who.to_le_bytes().repeat(bytes / 4));
    chainer.finish()
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], port))
}

#[divan::bench(args = [1, 220, 4_096])]
fn hash_kb(bencher: Bencher<'_, '_>, kb: usize) {
    let prompt = vec![b'p'; kb << 10];
    bencher.counter(BytesCount::new(prompt.len())).bench(|| {
        let mut chainer = Chainer::new(&Seed::default(), MAX_BLOCKS);
        chainer.update(divan::black_box(&prompt));
        chainer.finish()
    });
}

/// An index of 1e5 entries: ten endpoints, each with a hundred chains of 98 retained blocks.
fn warm_index() -> Index {
    let mut index = Index::new(Index::MAX_ENTRIES);
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

/// Match, score, pick, learn: an arrival in a warm pool.
#[divan::bench(args = [10, 100, 1_000])]
fn pick(bencher: Bencher<'_, '_>, count: u16) {
    let now = Instant::from_nanos(1_000_000_000);
    let endpoint = |port: u16| Endpoint {
        address: address(port),
        health: Health::Up,
        metrics: Some(Metrics {
            age: Duration::ZERO,
            waiting: u32::from(port % 7),
            running: 0,
            kv_usage: f32::from(port % 13) / 13.0,
            cache: None,
            adapters: None,
        }),
        labels: Vec::new(),
    };
    let endpoints = (1..=count).map(endpoint).collect();
    let snapshot = Snapshot { endpoints, ..Snapshot::default() };
    let mut engine = Engine::new(Config::default(), 1);
    let _ = engine.handle(Event::Snapshot { snapshot, received_at: now });
    let busy = |port| Account { endpoint: address(port).into(), requests: 3, tokens: 900 };
    let ledger = Ledger { accounts: (1..=count).map(busy).collect(), ..Ledger::default() };
    let asks: Vec<Ask> =
        (0..1_000).map(|who| Ask { chain: chain(who, 20_000), ..Ask::default() }).collect();
    let mut arrive = |ask: &Ask| {
        let request = RequestId(1);
        let decision = engine.decide(now, ask, &ledger).unwrap();
        let sent = Event::Sent { request, at: now, ask: ask.clone(), decision };
        let answer = Answer::Taken;
        let answered = Event::Answered { request, at: now, served_by: None, answer };
        (engine.handle(sent), engine.handle(answered), engine.handle(Event::Ended { request }))
    };
    asks.iter().for_each(|ask| drop(arrive(ask)));
    let mut next = asks.iter().cycle();
    bencher.bench_local(|| arrive(next.next().unwrap()));
}
