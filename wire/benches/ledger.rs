//! The cost of the ledger for each request: it is read once and written once.
#![allow(missing_docs, reason = "a bench has no readers of its documentation")]

use divan::{Bencher, black_box};
use picker_core::ledger::{Account, EndpointKey, Ledger};
use wire::ledger::{decode, encode};

fn main() {
    divan::main();
}

const ACCOUNTS: [u64; 3] = [10, 100, 1_000];

fn ledger(accounts: u64) -> Ledger {
    let account = |key| Account {
        endpoint: EndpointKey(key << 40 | key),
        requests: 3,
        tokens: 4,
        ..Account::default()
    };
    Ledger { accounts: (0..accounts).map(account).collect(), ..Ledger::default() }
}

#[divan::bench(args = ACCOUNTS)]
fn write(bencher: Bencher<'_, '_>, accounts: u64) {
    let ledger = ledger(accounts);
    bencher.bench_local(|| encode(black_box(&ledger)));
}

#[divan::bench(args = ACCOUNTS)]
fn read(bencher: Bencher<'_, '_>, accounts: u64) {
    let bytes = encode(&ledger(accounts));
    bencher.bench_local(|| decode(black_box(&bytes)));
}
