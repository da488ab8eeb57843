//! How long calls took.

use std::{hint::black_box, time::Instant};

/// Of several calls, in microseconds.
#[derive(Debug, Default)]
pub(crate) struct Times(Vec<f64>);

impl Times {
    /// Calls, and keeps how long that took.
    pub(crate) fn time<T>(&mut self, call: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = black_box(call());
        self.0.push(start.elapsed().as_secs_f64() * 1e6);
        result
    }

    /// Each of them, in the order of the calls.
    pub(crate) fn micros(self) -> Vec<f64> {
        self.0
    }
}
