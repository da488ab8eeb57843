//! The plugins of an EndpointPickerConfig.

use super::{At, ConfigError};

/// What endpoints are scored by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scorer {
    /// `queue-scorer`: how few requests wait.
    Queue,
    /// `kv-cache-utilization-scorer`: how much of the KV cache is free.
    KvCacheUtilization,
    /// `prefix-cache-scorer`: how much of the prompt is cached.
    PrefixCache,
}

/// How the prefix index is laid out (`approx-prefix-cache-producer`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrefixParams {
    /// Whether the engine's own block size and capacity count where it reports them.
    pub auto_tune: bool,
    /// Tokens of a prompt that are matched; 0 is no limit.
    pub max_prefix_tokens: u32,
    /// Blocks remembered of each endpoint.
    pub lru_capacity: u32,
    /// Tokens per block, at least 64 as in the EPP.
    pub block_tokens: u32,
}

impl PrefixParams {
    /// The EPP's defaults.
    const EPP: Self = Self {
        auto_tune: true,
        max_prefix_tokens: 131_072,
        lru_capacity: 31_250,
        block_tokens: BLOCK_TOKENS_MIN,
    };
}

impl Default for PrefixParams {
    /// The EPP's.
    fn default() -> Self {
        Self::EPP
    }
}

/// The EPP raises smaller blocks to this size.
const BLOCK_TOKENS_MIN: u32 = 64;

/// A plugin with its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plugin {
    Scorer(Scorer),
    MaxScorePicker {
        max_endpoints: u32,
    },
    PrefixProducer(PrefixParams),
    ProfileHandler,
    /// Done by the scraper, by the body scanner or not at all, whatever is configured: accepted so
    /// that an EPP's configuration can be pasted whole.
    Elsewhere,
}

impl Plugin {
    /// The prefix index's layout, if the plugin is what says it.
    pub(super) const fn prefix(self) -> Option<PrefixParams> {
        match self {
            Self::PrefixProducer(params) => Some(params),
            Self::Scorer(_)
            | Self::MaxScorePicker { .. }
            | Self::ProfileHandler
            | Self::Elsewhere => None,
        }
    }
}

/// The plugin types, in the order in which errors list them.
const TYPES: [(&str, Plugin); 9] = [
    ("queue-scorer", Plugin::Scorer(Scorer::Queue)),
    ("kv-cache-utilization-scorer", Plugin::Scorer(Scorer::KvCacheUtilization)),
    ("prefix-cache-scorer", Plugin::Scorer(Scorer::PrefixCache)),
    ("max-score-picker", Plugin::MaxScorePicker { max_endpoints: 1 }),
    ("single-profile-handler", Plugin::ProfileHandler),
    ("approx-prefix-cache-producer", Plugin::PrefixProducer(PrefixParams::EPP)),
    ("metrics-data-source", Plugin::Elsewhere),
    ("core-metrics-extractor", Plugin::Elsewhere),
    ("openai-parser", Plugin::Elsewhere),
];
const TOKEN_PRODUCER: &str = "token-producer";

/// Reads an entry of `plugins`: its name and what it is.
pub(super) fn read<'a>(at: &At<'a>) -> Result<(&'a str, Plugin), ConfigError> {
    let entry = at.object(&["name", "type", "parameters"])?;
    let kind_at = entry.required("type")?;
    let choices: Vec<(&str, Plugin)> =
        TYPES.into_iter().chain([(TOKEN_PRODUCER, Plugin::Elsewhere)]).collect();
    let plugin = kind_at.one_of(&choices)?;
    let kind = kind_at.text()?;
    let name = entry.get("name").map_or(Ok(kind), |at| at.text())?;
    let plugin = entry.get("parameters").map_or(Ok(plugin), |at| parameters(&at, kind, plugin))?;
    Ok((name, plugin))
}

fn parameters(at: &At<'_>, kind: &str, plugin: Plugin) -> Result<Plugin, ConfigError> {
    match plugin {
        Plugin::MaxScorePicker { max_endpoints } => {
            let object = at.object(&["maxNumOfEndpoints"])?;
            let read = object.get("maxNumOfEndpoints");
            // Envoy tries them in turn; a list of 16 is already a header of 350 bytes.
            let max_endpoints = read.map_or(Ok(max_endpoints), |at| at.whole(1, 16))?;
            Ok(Plugin::MaxScorePicker { max_endpoints })
        }
        Plugin::PrefixProducer(default) => prefix(at, default).map(Plugin::PrefixProducer),
        Plugin::Elsewhere if kind == TOKEN_PRODUCER => {
            let object = at.object(&["estimate", "backend"])?;
            if let Some(backend) = object.get("backend") {
                backend.one_of(&[("estimate", ())])?;
            }
            Ok(plugin)
        }
        // Which path and scheme pods are scraped by is the scraper's command line.
        Plugin::Elsewhere if kind.ends_with("-source") || kind.ends_with("-extractor") => {
            Ok(plugin)
        }
        Plugin::Scorer(_) | Plugin::ProfileHandler | Plugin::Elsewhere => {
            at.object(&[]).map(|_| plugin)
        }
    }
}

fn prefix(at: &At<'_>, default: PrefixParams) -> Result<PrefixParams, ConfigError> {
    let object = at.object(&[
        "autoTune",
        "maxPrefixTokensToMatch",
        "lruCapacityPerServer",
        "blockSizeTokens",
    ])?;
    let whole = |key, default, max| object.get(key).map_or(Ok(default), |at| at.whole(0, max));
    // The bounds are what the index can hold: 16 million blocks are 256 MB per endpoint.
    Ok(PrefixParams {
        auto_tune: object.get("autoTune").map_or(Ok(default.auto_tune), |at| at.flag())?,
        max_prefix_tokens: whole("maxPrefixTokensToMatch", default.max_prefix_tokens, 1 << 24)?,
        lru_capacity: whole("lruCapacityPerServer", default.lru_capacity, 1 << 24)?,
        block_tokens: whole("blockSizeTokens", default.block_tokens, 1 << 16)?
            .max(BLOCK_TOKENS_MIN),
    })
}
