//! What reading a metrics page costs.
#![allow(missing_docs, reason = "a bench has no readers of its documentation")]

use divan::{Bencher, black_box, counter::BytesCount};
use wire::metrics::scan;

fn main() {
    divan::main();
}

#[divan::bench]
fn one_engine(bencher: Bencher<'_, '_>) {
    page(bencher, include_bytes!("../tests/data/vllm-0.32.0.txt"));
}

#[divan::bench]
fn two_engines(bencher: Bencher<'_, '_>) {
    page(bencher, include_bytes!("../tests/data/vllm-0.32.0-dp2.txt"));
}

fn page(bencher: Bencher<'_, '_>, page: &[u8]) {
    bencher.counter(BytesCount::of_slice(page)).bench_local(|| scan(black_box(page)));
}
