//! A clock for calls.

use std::{hint::black_box, time::Instant};

/// Durations of calls, in microseconds.
#[derive(Debug, Default)]
pub(crate) struct Times(Vec<f64>);

impl Times {
    /// Makes a call, and keeps its duration.
    pub(crate) fn time<T>(&mut self, call: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = black_box(call());
        self.0.push(start.elapsed().as_secs_f64() * 1e6);
        result
    }

    /// Returns all durations, in the order of the calls.
    pub(crate) fn micros(self) -> Vec<f64> {
        self.0
    }
}
