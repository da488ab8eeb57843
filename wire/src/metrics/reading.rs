//! The load that one page tells.

use std::{fmt, time::Duration};

use picker_core::{Adapters, CacheConfig, Metrics};

use super::{
    Series, adapters,
    engine::{Engine, Spec},
    plan::Meaning,
};

/// Load that one page tells: [`picker_core::Metrics`] but for its age, which only the scraper
/// knows.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// Requests that wait for a slot in the batch, summed over engines.
    pub waiting: u32,
    /// Requests in the batch, summed over engines.
    pub running: u32,
    /// KV-cache blocks that live requests hold, 0 to 1; the highest of several engines.
    pub kv_usage: f32,
    /// Layout of the prefix cache, if the page says it: the block size of the first engine, and the
    /// blocks of all of them.
    pub cache: Option<CacheConfig>,
    /// Use of the prefix cache, if the page says it: for people, not for routing.
    pub prefixes: Option<PrefixUse>,
    /// Milliseconds of the Unix time at which the engine's process began to count, if the page says it; of
    /// several engines the latest.
    pub started_ms: Option<u64>,
    /// Name of the model, if the page says it; of several names the last by their letters. At most
    /// [`MODEL_NAME_MAX`] bytes.
    pub model: Option<String>,
    /// LoRA adapters by the newest of the series, if there is one.
    pub adapters: Option<Adapters>,
    /// Custom metrics that the page has, by their keys.
    pub attributes: Vec<(String, f64)>,
}

/// Bytes of a model's name; a longer one is not read. Hub and path names are far shorter.
pub const MODEL_NAME_MAX: usize = 1_024;

/// Use of a prefix cache in tokens, counted since the engine started, over all its parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PrefixUse {
    /// Prompt tokens that were looked up.
    pub queried: u64,
    /// Prompt tokens that were found.
    pub cached: u64,
}

impl Reading {
    /// Returns the metrics of a page that was read `age` before the snapshot that they go into.
    #[must_use]
    pub fn aged(self, age: Duration) -> Metrics {
        let Self { waiting, running, kv_usage, cache, adapters, attributes, .. } = self;
        Metrics { age, waiting, running, kv_usage, cache, adapters, attributes }
    }
}

/// Error of a page that does not tell an endpoint's load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// Families that routing needs are not there, or have no finite value. With all names that each
    /// may have.
    Missing(Vec<String>),
    /// The engine sleeps: it keeps its place and takes no requests.
    Asleep,
}

impl std::error::Error for Unfit {}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(families) => {
                write!(f, "the metrics page has no finite value of {}", families.join(", "))
            }
            Self::Asleep => f.write_str("the engine sleeps"),
        }
    }
}

/// Names of one thing: no engine has more, and a configured one has one.
const NAMES_MAX: usize = 2;

/// Custom metrics of an engine. Each is in every snapshot for every endpoint, and a scheduling
/// profile goes by a few.
pub const CUSTOM_MAX: usize = 8;

/// Values of the lines so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Gathered {
    waiting: [Option<f64>; NAMES_MAX],
    running: [Option<f64>; NAMES_MAX],
    kv_usage: [Option<f64>; NAMES_MAX],
    cache: Option<CacheConfig>,
    block_tokens: Option<f64>,
    blocks: Option<f64>,
    queried: [Option<f64>; NAMES_MAX],
    cached: [Option<f64>; NAMES_MAX],
    started: [Option<f64>; NAMES_MAX],
    model: Option<String>,
    /// Adapters of the newest series, with its value, which is a Unix time.
    adapters: Option<(f64, Adapters)>,
    /// Values by the numbers of the custom metrics.
    custom: [Option<f64>; CUSTOM_MAX],
    asleep: bool,
}

impl Gathered {
    /// Takes in a series of this meaning.
    pub(super) fn take(&mut self, meaning: &Meaning, series: &Series<'_>) {
        let value = series.value;
        match meaning {
            Meaning::Waiting(rank) => add(self.waiting.get_mut(*rank), value),
            Meaning::Running(rank) => add(self.running.get_mut(*rank), value),
            Meaning::KvUsage(rank) => raise(self.kv_usage.get_mut(*rank), value),
            Meaning::CacheLabels { block_tokens, blocks } => {
                self.take_cache(series, block_tokens, blocks);
            }
            Meaning::BlockTokens => raise(Some(&mut self.block_tokens), value),
            Meaning::Blocks => add(Some(&mut self.blocks), value),
            Meaning::Queried(rank) => add(self.queried.get_mut(*rank), value),
            Meaning::Cached(rank) => add(self.cached.get_mut(*rank), value),
            Meaning::Started(rank) => raise(self.started.get_mut(*rank), value),
            Meaning::Custom(number) => {
                if let Some(first) = self.custom.get_mut(*number) {
                    first.get_or_insert(value);
                }
            }
            Meaning::Model(label) => self.take_model(series, label),
            Meaning::Lora => self.take_adapters(series),
            Meaning::Awake => self.asleep |= value <= 0.0,
        }
    }

    fn take_cache(&mut self, series: &Series<'_>, block_tokens: &[u8], blocks: &[u8]) {
        let number = |name: &[u8]| -> Option<u32> {
            str::from_utf8(&series.label(name)?).ok()?.parse().ok().filter(|number| *number > 0)
        };
        // An engine that has not sized its cache yet says "None".
        if let (Some(block_tokens), Some(blocks)) = (number(block_tokens), number(blocks)) {
            let cache = self.cache.get_or_insert(CacheConfig { block_tokens, blocks: 0 });
            cache.blocks = cache.blocks.saturating_add(blocks);
        }
    }

    /// Takes in a model's name. Series have no order that lasts, so the last by their letters counts.
    fn take_model(&mut self, series: &Series<'_>, label: &[u8]) {
        let Some(name) = series.label(label).filter(|name| name.len() <= MODEL_NAME_MAX) else {
            return;
        };
        let known = self.model.as_deref().unwrap_or_default();
        if let Some(name) = str::from_utf8(&name).ok().filter(|name| *name > known) {
            self.model = Some(name.to_owned());
        }
    }

    /// Takes in adapters. One series stays for every combination of adapters there ever was: the
    /// newest counts.
    fn take_adapters(&mut self, series: &Series<'_>) {
        if self.adapters.as_ref().is_some_and(|(newest, _)| *newest >= series.value) {
            return;
        }
        if let Some(adapters) = adapters::read(series) {
            self.adapters = Some((series.value, adapters));
        }
    }

    /// Adds the families that rarely change, from an earlier reading.
    pub(super) fn with(self, steady: &Self) -> Self {
        let Self { cache, block_tokens, blocks, .. } = *steady;
        Self {
            cache: self.cache.or(cache),
            block_tokens: self.block_tokens.or(block_tokens),
            blocks: self.blocks.or(blocks),
            ..self
        }
    }

    pub(super) fn finish(self, engine: &Engine) -> Result<Reading, Unfit> {
        if self.asleep {
            return Err(Unfit::Asleep);
        }
        let optional = |specs: &[Spec], found| if specs.is_empty() { Some(0.0) } else { found };
        let waiting = first(&self.waiting);
        let running = optional(&engine.running, first(&self.running));
        let kv_usage = optional(&engine.kv_usage, first(&self.kv_usage));
        let (Some(waiting), Some(running), Some(kv_usage)) = (waiting, running, kv_usage) else {
            let needed = [
                (waiting, &engine.waiting),
                (running, &engine.running),
                (kv_usage, &engine.kv_usage),
            ];
            let missing = needed.into_iter().filter(|(value, _)| value.is_none());
            return Err(Unfit::Missing(missing.map(|(_, specs)| names(specs)).collect()));
        };
        Ok(Reading {
            waiting: count(waiting),
            running: count(running),
            kv_usage: share(kv_usage),
            cache: self.cache.or_else(|| self.sized()),
            prefixes: self.prefixes(),
            started_ms: first(&self.started).map(|seconds| total(seconds * 1e3)),
            model: self.model.clone(),
            attributes: self.attributes(engine),
            adapters: self.adapters.map(|(_, adapters)| adapters),
        })
    }

    fn attributes(&self, engine: &Engine) -> Vec<(String, f64)> {
        let keys = engine.custom.iter().map(|(key, _)| key);
        let found = keys.zip(self.custom).filter_map(|(key, value)| Some((key.clone(), value?)));
        found.collect()
    }

    fn prefixes(&self) -> Option<PrefixUse> {
        let queried = total(first(&self.queried)?);
        let cached = total(first(&self.cached)?);
        Some(PrefixUse { queried, cached })
    }

    fn sized(&self) -> Option<CacheConfig> {
        let number = |value: Option<f64>| value.map(count).filter(|number| *number > 0);
        let block_tokens = number(self.block_tokens)?;
        let blocks = number(self.blocks)?;
        Some(CacheConfig { block_tokens, blocks })
    }
}

/// Returns the value under the first of the names that the page has.
fn first(values: &[Option<f64>]) -> Option<f64> {
    values.iter().copied().flatten().next()
}

/// Returns the name, with the older one of a family that was renamed.
fn names(specs: &[Spec]) -> String {
    let names: Vec<_> = specs.iter().map(ToString::to_string).collect();
    match names.split_first() {
        Some((name, [])) => name.clone(),
        Some((name, older)) => format!("{name} (or {})", older.join(", ")),
        None => String::new(),
    }
}

fn add(sum: Option<&mut Option<f64>>, value: f64) {
    if let Some(sum) = sum {
        *sum = Some(sum.unwrap_or(0.0) + value);
    }
}

fn raise(highest: Option<&mut Option<f64>>, value: f64) {
    if let Some(highest) = highest {
        *highest = Some(highest.map_or(value, |highest| highest.max(value)));
    }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float's cast saturates: less than nothing is none, and four billion is the most"
)]
fn count(requests: f64) -> u32 {
    requests as u32
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float's cast saturates, and what a counter loses above 2^53 shows nowhere"
)]
fn total(tokens: f64) -> u64 {
    tokens as u64
}

#[allow(clippy::cast_possible_truncation, reason = "within 0 to 1 only precision is lost")]
fn share(usage: f64) -> f32 {
    usage.clamp(0.0, 1.0) as f32
}
