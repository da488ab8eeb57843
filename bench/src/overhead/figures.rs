//! What one round found of one row.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{load::Outcome, summary::quantile};

/// One of the figures.
pub(super) type Metric = fn(&Figures) -> f64;

/// Times in microseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Figures {
    pub(super) open_p50: f64,
    pub(super) open_p99: f64,
    /// CPU time of Envoy per request.
    pub(super) open_cpu: f64,
    pub(super) per_second: f64,
    pub(super) closed_p50: f64,
    pub(super) closed_p99: f64,
    /// CPU time of Envoy per request.
    pub(super) closed_cpu: f64,
}

impl Figures {
    /// Of both loops, each with the CPU time that it cost.
    pub(super) fn of(
        open: (Outcome, Duration),
        closed: (Outcome, Duration),
        closed_for: Duration,
    ) -> Self {
        let (mut open, open_cpu) = open;
        let (mut closed, closed_cpu) = closed;
        let requests = closed.latencies.len() as f64;
        Self {
            open_p50: micros(quantile(&mut open.latencies, 0.5)),
            open_p99: micros(quantile(&mut open.latencies, 0.99)),
            open_cpu: micros(open_cpu) / open.latencies.len() as f64,
            per_second: closed.in_time as f64 / closed_for.as_secs_f64(),
            closed_p50: micros(quantile(&mut closed.latencies, 0.5)),
            closed_p99: micros(quantile(&mut closed.latencies, 0.99)),
            closed_cpu: micros(closed_cpu) / requests,
        }
    }

    /// All of them, by name.
    pub(super) fn raw(&self) -> Value {
        json!({
            "open_p50_us": self.open_p50,
            "open_p99_us": self.open_p99,
            "open_cpu_us": self.open_cpu,
            "closed_requests_per_second": self.per_second,
            "closed_p50_us": self.closed_p50,
            "closed_p99_us": self.closed_p99,
            "closed_cpu_us": self.closed_cpu,
        })
    }
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
