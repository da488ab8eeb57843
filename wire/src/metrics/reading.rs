//! What one page said.

use std::{fmt, time::Duration};

use engine::{Adapters, CacheConfig, Metrics};

use super::{Series, adapters};

/// What one page said: [`engine::Metrics`] but for its age, which only the scraper knows.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// Requests that wait for a slot in the batch, summed over engines.
    pub waiting: u32,
    /// Requests in the batch, summed over engines.
    pub running: u32,
    /// KV-cache blocks that live requests hold, 0 to 1; the highest of several engines.
    pub kv_usage: f32,
    /// The layout of the prefix cache, if the page says it: the block size of the first engine, and
    /// the blocks of all of them.
    pub cache: Option<CacheConfig>,
    /// The LoRA adapters by the newest of the series, if there is one.
    pub adapters: Option<Adapters>,
}

impl Reading {
    /// The same, read `age` before the snapshot that it goes into.
    #[must_use]
    pub fn aged(self, age: Duration) -> Metrics {
        let Self { waiting, running, kv_usage, cache, adapters } = self;
        Metrics { age, waiting, running, kv_usage, cache, adapters }
    }
}

/// The families that a page lacks, though routing needs them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Their names, with the older name of one that was renamed.
    pub families: Vec<&'static str>,
}

impl std::error::Error for Missing {}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the metrics page has no finite value of {}", self.families.join(", "))
    }
}

/// What the lines so far said.
#[derive(Default)]
pub(super) struct Gathered {
    waiting: Option<f64>,
    running: Option<f64>,
    kv_usage: Option<f64>,
    /// The name of [`Self::kv_usage`] before vLLM 0.9.2.
    gpu_usage: Option<f64>,
    cache: Option<CacheConfig>,
    /// With the Unix time that is the series' value.
    adapters: Option<(f64, Adapters)>,
}

impl Gathered {
    /// Takes in a series of the family `name`, which has lost its `vllm:`.
    pub(super) fn take(&mut self, name: &[u8], series: &Series<'_>) {
        match name {
            b"num_requests_waiting" => add(&mut self.waiting, series.value),
            b"num_requests_running" => add(&mut self.running, series.value),
            b"kv_cache_usage_perc" => raise(&mut self.kv_usage, series.value),
            b"gpu_cache_usage_perc" => raise(&mut self.gpu_usage, series.value),
            b"cache_config_info" => self.take_cache(series),
            b"lora_requests_info" => self.take_adapters(series),
            _ => (),
        }
    }

    fn take_cache(&mut self, series: &Series<'_>) {
        let number = |name: &[u8]| -> Option<u32> {
            str::from_utf8(&series.label(name)?).ok()?.parse().ok().filter(|number| *number > 0)
        };
        // An engine that has not sized its cache yet says "None".
        if let (Some(block_tokens), Some(blocks)) =
            (number(b"block_size"), number(b"num_gpu_blocks"))
        {
            let cache = self.cache.get_or_insert(CacheConfig { block_tokens, blocks: 0 });
            cache.blocks = cache.blocks.saturating_add(blocks);
        }
    }

    /// One series stays for every combination of adapters there ever was: the newest counts.
    fn take_adapters(&mut self, series: &Series<'_>) {
        if self.adapters.as_ref().is_some_and(|(newest, _)| *newest >= series.value) {
            return;
        }
        if let Some(adapters) = adapters::read(series) {
            self.adapters = Some((series.value, adapters));
        }
    }

    pub(super) fn finish(self) -> Result<Reading, Missing> {
        match (self.waiting, self.running, self.kv_usage.or(self.gpu_usage)) {
            (Some(waiting), Some(running), Some(kv_usage)) => Ok(Reading {
                waiting: count(waiting),
                running: count(running),
                kv_usage: share(kv_usage),
                cache: self.cache,
                adapters: self.adapters.map(|(_, adapters)| adapters),
            }),
            (waiting, running, kv_usage) => Err(missing(waiting, running, kv_usage)),
        }
    }
}

fn missing(waiting: Option<f64>, running: Option<f64>, kv_usage: Option<f64>) -> Missing {
    let families = [
        (waiting, "vllm:num_requests_waiting"),
        (running, "vllm:num_requests_running"),
        (kv_usage, "vllm:kv_cache_usage_perc (or vllm:gpu_cache_usage_perc)"),
    ];
    let families = families.iter().filter(|(value, _)| value.is_none()).map(|(_, name)| *name);
    Missing { families: families.collect() }
}

fn add(sum: &mut Option<f64>, value: f64) {
    *sum = Some(sum.unwrap_or(0.0) + value);
}

fn raise(highest: &mut Option<f64>, value: f64) {
    *highest = Some(highest.map_or(value, |highest| highest.max(value)));
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float's cast saturates: less than nothing is none, and four billion is the most"
)]
fn count(requests: f64) -> u32 {
    requests as u32
}

#[allow(clippy::cast_possible_truncation, reason = "within 0 to 1 only precision is lost")]
fn share(usage: f64) -> f32 {
    usage.clamp(0.0, 1.0) as f32
}
