//! What one look of the sampler saw, out of which every figure of the status page is made: figures of
//! different looks would not add up.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    push::EnvoyStatus,
    tallies::{PoolTotals, ServedTotals},
};

/// Sight of one look.
#[derive(Clone, Debug)]
pub(super) struct PageSample {
    /// Time of the look.
    pub(super) at: Instant,
    /// Names of the gateways.
    pub(super) names: Vec<String>,
    /// Gateways with their reports, in the order of the names.
    pub(super) envoys: Vec<EnvoyStatus>,
    pub(super) pools: BTreeMap<Arc<str>, PoolSample>,
}

/// Sight of a pool in one look, beside the reports.
#[derive(Clone, Debug, Default)]
pub(super) struct PoolSample {
    /// Saturation by the worker that sees the most; `None` if none knows.
    pub(super) saturation: Option<f64>,
    /// Requests of the last minute.
    pub(super) window: PoolTotals,
    /// Length of that minute: less while the scraper is young.
    pub(super) length: Duration,
}

/// The rates and times of requests within a window.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct ServedRates {
    /// Requests per second.
    pub(super) requests: f64,
    /// Requests per second that failed.
    pub(super) errors: f64,
    /// Output tokens per second.
    pub(super) tokens: f64,
    /// Time to the first token; `None` without requests.
    pub(super) ttft: Option<Quantiles>,
    /// Time between two events of a stream; `None` without streams.
    pub(super) itl: Option<Quantiles>,
}

/// Quantiles of a time, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Quantiles {
    pub(super) p50: f64,
    pub(super) p95: f64,
    pub(super) p99: f64,
}

impl PageSample {
    /// Returns a gateway by its name.
    pub(super) fn envoy(&self, name: &str) -> Option<&EnvoyStatus> {
        let at = self.names.iter().position(|it| it == name)?;
        self.envoys.get(at)
    }
}

impl ServedRates {
    /// Returns the rates of what was served within a time.
    pub(super) fn new(served: &ServedTotals, within: Duration) -> Self {
        let rate = |count| per_second(count, within);
        Self {
            requests: rate(served.requests),
            errors: rate(served.errors),
            tokens: rate(served.tokens),
            ttft: Quantiles::new(|share| served.ttft_ms(share)),
            itl: Quantiles::new(|share| served.itl_ms(share)),
        }
    }
}

impl Quantiles {
    /// Reads quantiles of a distribution; `None` where it has no values.
    pub(super) fn new(read: impl Fn(f64) -> Option<f64>) -> Option<Self> {
        Some(Self { p50: read(0.5)?, p95: read(0.95)?, p99: read(0.99)? })
    }
}

/// Returns a part as a share of all; `None` of nothing.
#[allow(clippy::cast_precision_loss, reason = "for a page")]
pub(super) fn share(part: u64, all: u64) -> Option<f64> {
    (all > 0).then(|| part as f64 / all as f64)
}

/// Returns a rate; 0 of no time.
#[allow(clippy::cast_precision_loss, reason = "for a page")]
fn per_second(count: u64, within: Duration) -> f64 {
    if within.is_zero() { 0.0 } else { count as f64 / within.as_secs_f64() }
}
