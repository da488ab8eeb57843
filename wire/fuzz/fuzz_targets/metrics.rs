#![no_main]

use std::sync::Arc;

use wire::metrics::{Engine, Scanner, scan};

// The second page is read at the places of the first, or whole.
libfuzzer_sys::fuzz_target!(|pages: (&[u8], &[u8])| {
    let mut scanner = Scanner::new(Arc::new(Engine::vllm()));
    assert_eq!(scanner.scan(pages.0), scan(pages.0));
    if let Ok(reading) = scanner.scan(pages.1) {
        assert!((0.0..=1.0).contains(&reading.kv_usage));
    }
});
