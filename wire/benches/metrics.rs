//! The cost of reading a metrics page: the whole of it, and at the remembered places.
#![allow(missing_docs, reason = "a bench has no readers of its documentation")]

use std::sync::Arc;

use divan::{Bencher, black_box, counter::BytesCount};
use wire::metrics::{Engine, Scanner, scan};

const ONE_ENGINE: &[u8] = include_bytes!("../tests/data/vllm-0.32.0.txt");
const TWO_ENGINES: &[u8] = include_bytes!("../tests/data/vllm-0.32.0-dp2.txt");

fn main() {
    divan::main();
}

#[divan::bench(args = [1, 2])]
fn whole(bencher: Bencher<'_, '_>, engines: usize) {
    let page = page(engines);
    bencher.counter(BytesCount::of_slice(page)).bench_local(|| scan(black_box(page)));
}

/// As the scraper does it, with one whole page in twenty.
#[divan::bench(args = [1, 2])]
fn again(bencher: Bencher<'_, '_>, engines: usize) {
    let page = page(engines);
    let mut scanner = Scanner::new(Arc::new(Engine::vllm()));
    bencher.counter(BytesCount::of_slice(page)).bench_local(|| scanner.scan(black_box(page)));
}

fn page(engines: usize) -> &'static [u8] {
    if engines == 1 { ONE_ENGINE } else { TWO_ENGINES }
}
