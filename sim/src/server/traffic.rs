//! The counts of the HTTP layer, as Python's prometheus-fastapi-instrumentator has them.

use std::{collections::BTreeMap, time::Duration};

use axum::http::{Method, StatusCode};

use crate::engine_core::histogram::Histogram;

const FINE: &[f64] = &[
    0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1., 1.5, 2., 2.5, 3., 3.5, 4., 4.5, 5., 7.5,
    10., 30., 60.,
];
const COARSE: &[f64] = &[0.1, 0.5, 1.];

/// Handlers that vLLM counts. Others, above all /metrics and /health, it leaves out.
const COUNTED: [&str; 3] = ["/v1/completions", "/v1/chat/completions", "/v1/models"];

/// Counts since the start. The keys are bounded: [`COUNTED`], methods and status classes.
#[derive(Debug)]
pub(super) struct Traffic {
    /// Requests by handler, method and status class (`2xx`).
    pub(super) requests: BTreeMap<(&'static str, &'static str, &'static str), u64>,
    /// Requests and the bytes of their bodies, by handler.
    pub(super) sizes: BTreeMap<&'static str, (u64, u64)>,
    pub(super) fine: Histogram,
    /// Number of requests refused because the queue was full.
    pub(super) rejected: u64,
    /// Seconds by handler and method.
    pub(super) coarse: BTreeMap<(&'static str, &'static str), Histogram>,
}

impl Default for Traffic {
    fn default() -> Self {
        Self {
            requests: BTreeMap::new(),
            sizes: BTreeMap::new(),
            fine: Histogram::new(FINE),
            rejected: 0,
            coarse: BTreeMap::new(),
        }
    }
}

/// An answered request.
#[derive(Debug)]
pub(super) struct Exchange<'a> {
    pub(super) path: &'a str,
    pub(super) method: Method,
    pub(super) status: StatusCode,
    pub(super) took: Duration,
    /// Bytes of the request's body.
    pub(super) length: u64,
}

impl Traffic {
    pub(super) fn count(&mut self, exchange: &Exchange<'_>) {
        let Exchange { path, method, status, took, length } = exchange;
        let Some(handler) = COUNTED.into_iter().find(|handler| handler == path) else { return };
        let method = if *method == Method::POST { "POST" } else { "GET" };
        let class = match status.as_u16() / 100 {
            2 => "2xx",
            4 => "4xx",
            _ => "5xx",
        };
        *self.requests.entry((handler, method, class)).or_default() += 1;
        let (count, bytes) = self.sizes.entry(handler).or_default();
        *count += 1;
        *bytes += length;
        self.fine.observe(took.as_secs_f64());
        let coarse = self.coarse.entry((handler, method));
        coarse.or_insert_with(|| Histogram::new(COARSE)).observe(took.as_secs_f64());
    }
}
