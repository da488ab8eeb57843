//! A model server's port, as the scraper sees it.

use std::{net::SocketAddr, time::Duration};

use super::Incarnation;

/// The most endpoints of one pool. Each is a few hundred bytes per worker and 5 to 10 ns per pick;
/// what a snapshot lists beyond is never chosen.
pub const ENDPOINTS_MAX: usize = 4_096;

/// A model server's port: the unit of choice. A pod with several target ports is several endpoints.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    /// The address that requests are sent to. It identifies the endpoint.
    pub address: SocketAddr,
    /// State of the connection at the last scrape.
    pub health: Health,
    /// Numbers that the last successful scrape read; none before the first.
    pub metrics: Option<Metrics>,
    /// The pod's labels, sorted by key.
    pub labels: Vec<(String, String)>,
    /// Life of the engine: with each new one all that was cached before is gone.
    pub incarnation: Incarnation,
}

/// The health of an endpoint, by which it can be sent requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// The last scrape was answered, or none was tried yet.
    Up,
    /// Connections are refused or time out: nothing should be sent here while another endpoint is
    /// up.
    Down,
}

/// The numbers that one scrape of an engine's `/metrics` read.
///
/// The default is an idle engine whose metrics were read just now and say nothing of a cache,
/// adapters or custom metrics. With the builders a test names only what it is about:
/// `Metrics::default().waiting(3)`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics {
    /// Time from the scrape to the sending of the snapshot. A duration and no point in time, so
    /// that the clocks of scraper and gateway need not agree.
    pub age: Duration,
    /// Requests that wait for a slot in the batch (`vllm:num_requests_waiting`), summed over
    /// engines.
    pub waiting: u32,
    /// Requests in the batch (`vllm:num_requests_running`), summed over engines.
    pub running: u32,
    /// KV-cache blocks that live requests hold, as a share of all, 0 to 1
    /// (`vllm:kv_cache_usage_perc`); the highest of several engines.
    pub kv_usage: f32,
    /// Layout of the engine's prefix cache, if the engine reports it.
    pub cache: Option<CacheConfig>,
    /// LoRA adapters of the engine, if it reports any.
    pub adapters: Option<Adapters>,
    /// Further metrics that the scraper was told to read, by the keys that it was given for them
    /// (EPP: customMetrics).
    pub attributes: Vec<(String, f64)>,
}

impl Metrics {
    /// Sets the age.
    #[must_use]
    pub fn aged(self, age: Duration) -> Self {
        Self { age, ..self }
    }

    /// Sets the requests that wait.
    #[must_use]
    pub fn waiting(self, waiting: u32) -> Self {
        Self { waiting, ..self }
    }

    /// Sets the requests in the batch.
    #[must_use]
    pub fn running(self, running: u32) -> Self {
        Self { running, ..self }
    }

    /// Sets the share of the KV cache that live requests hold, 0 to 1.
    #[must_use]
    pub fn kv_usage(self, kv_usage: f32) -> Self {
        Self { kv_usage, ..self }
    }

    /// Sets the layout of the prefix cache.
    #[must_use]
    pub fn cache(self, block_tokens: u32, blocks: u32) -> Self {
        Self { cache: Some(CacheConfig { block_tokens, blocks }), ..self }
    }

    /// Sets the LoRA adapters.
    #[must_use]
    pub fn adapters(self, adapters: Adapters) -> Self {
        Self { adapters: Some(adapters), ..self }
    }

    /// Adds a custom metric.
    #[must_use]
    pub fn attribute(mut self, key: &str, value: f64) -> Self {
        self.attributes.push((key.to_owned(), value));
        self
    }
}

/// The layout of an engine's prefix cache (`vllm:cache_config_info`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheConfig {
    /// Tokens per block.
    pub block_tokens: u32,
    /// Blocks in the cache.
    pub blocks: u32,
}

impl CacheConfig {
    /// Returns the tokens that fit in; none if the engine reports an empty cache, as it does while it is
    /// still starting.
    pub(crate) fn tokens(self) -> Option<u64> {
        let tokens = u64::from(self.blocks) * u64::from(self.block_tokens);
        (tokens > 0).then_some(tokens)
    }
}

/// LoRA adapters on an engine (`vllm:lora_requests_info`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Adapters {
    /// Number of adapters that may be loaded at once.
    pub max: u32,
    /// Adapters with running requests.
    pub running: Vec<String>,
    /// Adapters with waiting requests.
    pub waiting: Vec<String>,
}
