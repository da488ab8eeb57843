//! The settings of one pool's scheduler.

use std::time::Duration;

use super::{Admitter, Needs, OutputEstimate, Scheduling};
use crate::{pool::prefix::Index, saturation::Detector};

/// The settings of one pool.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Admitters that may turn a request away before it is scheduled, in this order.
    pub admitters: Vec<Admitter>,
    /// Profiles by which endpoints are filtered, scored and picked.
    pub scheduling: Scheduling,
    /// The measure of the pool's saturation.
    pub detector: Detector,
    /// Age above which an endpoint's metrics are ignored.
    pub stale_after: Duration,
    /// True if what an endpoint says of its cache counts.
    pub auto_tune: bool,
    /// Blocks of 64 tokens that an endpoint is believed to cache if it does not say, or if that does not
    /// count.
    pub default_capacity: u32,
    /// The way in which the output of requests is estimated.
    pub output_estimate: OutputEstimate,
    /// The most entries of the prefix index, over all endpoints.
    pub max_entries: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            admitters: Vec::new(),
            scheduling: Scheduling::default(),
            detector: Detector::default(),
            // EPP: metrics-staleness-threshold.
            stale_after: Duration::from_secs(2),
            // EPP: approx-prefix-cache-producer, autoTune and lruCapacityPerServer.
            auto_tune: true,
            default_capacity: 31_250,
            output_estimate: OutputEstimate::default(),
            max_entries: Index::ENTRIES_MAX,
        }
    }
}

impl Config {
    /// Returns the headers that plugins go by, in lower case: [`crate::InferenceRequest::headers`]
    /// is to have them.
    #[must_use]
    pub fn header_names(&self) -> Vec<&str> {
        let headers = self.needs().flat_map(|needs| needs.headers);
        let mut names: Vec<&str> = headers.map(String::as_str).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Returns the headers of session tokens, in lower case.
    pub fn token_headers(&self) -> impl Iterator<Item = &str> {
        self.scheduling.token_sessions().map(|(header, _)| header)
    }

    /// True if anything goes by the prompt tokens in flight.
    #[must_use]
    pub fn counts_tokens(&self) -> bool {
        self.detector.counts_tokens() || self.needs().any(|needs| needs.tokens)
    }

    /// Returns the tokens that an endpoint is believed to cache if it does not say.
    pub(crate) fn default_cache_tokens(&self) -> u64 {
        u64::from(self.default_capacity) * 64
    }

    /// Returns the needs of each plugin.
    fn needs(&self) -> impl Iterator<Item = Needs<'_>> {
        self.admitters.iter().map(Admitter::needs).chain(self.scheduling.needs())
    }
}
