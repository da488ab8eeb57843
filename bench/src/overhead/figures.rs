//! The figures of a case in one round.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{load::Outcome, summary::quantile};

/// The outcome of a load.
#[derive(Debug)]
pub(super) struct Pressed {
    pub(super) outcome: Outcome,
    /// CPU time that the load cost the proxy.
    pub(super) cpu: Duration,
}

/// A way to one of the figures.
pub(super) type Metric = fn(&Figures) -> f64;

/// Figures of both loops. Times in microseconds; not a number where it was not measured.
#[derive(Clone, Debug)]
pub(super) struct Figures {
    pub(super) open: Loop,
    pub(super) closed: Loop,
    /// Number of requests that the closed loop made in a second.
    pub(super) per_second: f64,
}

/// Figures of one of the two loads.
#[derive(Clone, Debug)]
pub(super) struct Loop {
    pub(super) p50: f64,
    pub(super) p99: f64,
    /// CPU time of the proxy per request, in microseconds.
    pub(super) cpu: f64,
    /// Latencies of all requests, ascending: a round alone has too few for more than its p99.
    latencies: Vec<Duration>,
}

impl Figures {
    /// Reads the figures off both loops; the closed one lasted `closed_for`.
    pub(super) fn new(open: Option<Pressed>, closed: Pressed, closed_for: Duration) -> Self {
        let per_second = closed.outcome.in_time as f64 / closed_for.as_secs_f64();
        let open = open.map_or(Loop::NONE, Loop::new);
        Self { open, closed: Loop::new(closed), per_second }
    }

    /// Returns all figures by name.
    pub(super) fn raw(&self) -> Value {
        let Self { open, closed, per_second } = self;
        json!({
            "open_p50_us": open.p50,
            "open_p99_us": open.p99,
            "open_p99.9_us": p999([open]),
            "open_cpu_us": open.cpu,
            "closed_requests_per_second": per_second,
            "closed_p50_us": closed.p50,
            "closed_p99_us": closed.p99,
            "closed_cpu_us": closed.cpu,
        })
    }
}

impl Loop {
    const NONE: Self = Self { p50: f64::NAN, p99: f64::NAN, cpu: f64::NAN, latencies: Vec::new() };

    fn new(pressed: Pressed) -> Self {
        let Pressed { outcome, cpu } = pressed;
        let mut latencies = outcome.latencies;
        Self {
            p50: micros(quantile(&mut latencies, 0.5)),
            p99: micros(quantile(&mut latencies, 0.99)),
            cpu: micros(cpu) / latencies.len() as f64,
            latencies,
        }
    }
}

/// Returns the latency that one request of a thousand exceeded, all rounds together.
pub(super) fn p999<'a>(rounds: impl IntoIterator<Item = &'a Loop>) -> f64 {
    let mut all: Vec<Duration> =
        rounds.into_iter().flat_map(|round| round.latencies.iter().copied()).collect();
    micros(quantile(&mut all, 0.999))
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_of_all_rounds_together() {
        let round = |slowest: u64| {
            let latencies = (1..500).chain([slowest]).map(Duration::from_micros).collect();
            let outcome = Outcome { latencies, in_time: 500, failed: 0 };
            Loop::new(Pressed { outcome, cpu: Duration::from_millis(5) })
        };
        let rounds = [round(7_000), round(9_000)];
        assert!((rounds[0].cpu - 10.0).abs() < 1e-9);
        assert!((p999(&rounds) - 7_000.0).abs() < 1e-9, "{}", p999(&rounds));
    }
}
