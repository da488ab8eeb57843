//! The settings of the prefix index (`approx-prefix-cache-producer`).

use picker_core::{BLOCKS_MAX, Config};

use super::kind::PREFIX_PRODUCER;
use crate::config::{
    At, ConfigError,
    at::{Keys, Object},
};

/// Parameter that names the index that a plugin goes by.
const PRODUCER_NAME: &str = "prefixMatchInfoProducerName";

/// Tokens in a block of the index, at the EPP's four bytes a token. The EPP raises smaller blocks
/// to this size.
const BLOCK_TOKENS: u32 = 64;

/// Settings of the prefix index, in blocks of 256 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct Prefix {
    /// True if an endpoint's own word on the size of its cache counts.
    pub(in crate::config) auto_tune: bool,
    /// Blocks of a prompt that are hashed.
    pub(in crate::config) prompt_blocks_max: u32,
    /// Blocks that an endpoint is believed to cache.
    pub(in crate::config) capacity: u32,
}

impl Default for Prefix {
    fn default() -> Self {
        let Config { auto_tune, default_capacity, .. } = Config::default();
        Self { auto_tune, prompt_blocks_max: BLOCKS_MAX, capacity: default_capacity }
    }
}

/// Types of plugin that go by the index.
const READERS: [&str; 4] =
    ["prefix-cache-scorer", "no-hit-lru-scorer", "prefix-cache-affinity-filter", "latency-scorer"];

/// Refuses plugins that go by the indexes of different producers: only one index exists here, and
/// the others would be believed to say something else.
pub(in crate::config) fn one_index(config: &Object<'_>) -> Result<(), ConfigError> {
    let mut first = None;
    for at in config.read("plugins", Vec::new(), At::list)? {
        let entry = at.members()?;
        let kind = entry.required("type")?.text()?;
        if !READERS.contains(&kind) {
            continue;
        }
        let named = entry.get("parameters").map(|at| at.members()).transpose()?;
        let named = named.and_then(|parameters| parameters.get(PRODUCER_NAME));
        let name = named.map_or(Ok(PREFIX_PRODUCER), |at| at.text())?;
        let other = *first.get_or_insert(name);
        if other != name {
            return Err(at.problem(format!(
                "must not go by the prefixes of {name:?} beside those of {other:?}; allowed: those of \
                 one producer, as one index of one capacity is kept for each endpoint"
            )));
        }
    }
    Ok(())
}

/// Keys of a producer's parameters.
const KEYS: [&str; 5] = [
    "autoTune",
    "blockSizeTokens",
    "maxPrefixTokensToMatch",
    "maxPrefixBlocksToMatch",
    "lruCapacityPerServer",
];
/// Older name of `blockSizeTokens`.
const BLOCK_SIZE: &str = "blockSize";
/// Parameters that the scorer had before there was a producer (GIE 1.0 to 1.4, llm-d 0.2 to 0.5).
pub(super) const OF_A_SCORER: [&str; 6] = [
    "autoTune",
    "blockSizeTokens",
    "maxPrefixTokensToMatch",
    "maxPrefixBlocksToMatch",
    "lruCapacityPerServer",
    BLOCK_SIZE,
];
/// Parameters of a scorer of those times that have no effect.
pub(super) const VOID_OF_A_SCORER: [(&str, &str); 6] = [
    ("hashBlockSize", "blocks are of 64 tokens, as they are in EPPs from llm-d 0.6 on"),
    ("mode", NO_EVENTS),
    ("indexerConfig", NO_EVENTS),
    ("tokenProcessorConfig", NO_EVENTS),
    ("kvEventsConfig", NO_EVENTS),
    ("kvCacheRedisAddr", NO_EVENTS),
];
const NO_EVENTS: &str =
    "engines' KV events are not read; what an endpoint has cached is known from what it was sent";

/// Reads the settings of a producer.
pub(super) fn read(entry: &Object<'_>) -> Result<Prefix, ConfigError> {
    let keys = Keys { known: &KEYS, older: &[BLOCK_SIZE], void: &[] };
    settings(&entry.child_with("parameters", &keys)?)
}

/// Returns the settings of the index: those of the producer, or else those that a prefix scorer has.
pub(in crate::config) fn of_index(
    config: &Object<'_>,
    producer: Option<Prefix>,
) -> Result<Prefix, ConfigError> {
    let mut found = producer;
    for at in config.read("plugins", Vec::new(), At::list)? {
        let Some(parameters) = of_a_scorer(&at) else { continue };
        if found.is_some() {
            let elsewhere = "the settings of the index come from another plugin";
            parameters.note_all(&OF_A_SCORER.map(|key| (key, elsewhere)));
        } else if OF_A_SCORER.iter().any(|key| parameters.get(key).is_some()) {
            found = Some(settings(&parameters)?);
        }
    }
    Ok(found.unwrap_or_default())
}

/// Returns the parameters of a prefix scorer; `None` for another plugin.
fn of_a_scorer<'a>(at: &At<'a>) -> Option<Object<'a>> {
    let entry = at.members().ok()?;
    let is_one = entry.get("type")?.text().is_ok_and(|kind| kind == "prefix-cache-scorer");
    entry.get("parameters").filter(|_| is_one)?.members().ok()
}

/// Reads the settings. The EPP counts in blocks of a size that can be set, the index in blocks of
/// one size: numbers of blocks are converted, so that the same tokens are meant.
fn settings(parameters: &Object<'_>) -> Result<Prefix, ConfigError> {
    let default = Prefix::default();
    // The bounds are what the index can hold: 16 million blocks are 256 MB per endpoint.
    let whole = |key, default, max| parameters.read(key, default, |at: &At<'_>| at.whole(0, max));
    let older = whole(BLOCK_SIZE, BLOCK_TOKENS, 1 << 16)?;
    let block = whole("blockSizeTokens", older, 1 << 16)?;
    if block < BLOCK_TOKENS {
        let least = "blocks are of 64 tokens or more, as in the EPP";
        parameters.note_all(&[("blockSizeTokens", least), (BLOCK_SIZE, least)]);
    }
    let block = block.max(BLOCK_TOKENS);
    let ours = |blocks: u32| {
        let tokens = u64::from(blocks) * u64::from(block);
        // In blocks of the index the bounds are the same, however long the configured ones are.
        u32::try_from(tokens / u64::from(BLOCK_TOKENS)).unwrap_or(u32::MAX).min(1 << 24)
    };
    let tokens = whole("maxPrefixTokensToMatch", 0, 1 << 24)?.div_ceil(BLOCK_TOKENS);
    let blocks = whole("maxPrefixBlocksToMatch", 0, 1 << 24).map(ours)?;
    let said = [tokens, blocks].into_iter().find(|blocks| *blocks > 0);
    if tokens > 0 {
        parameters.note_all(&[("maxPrefixBlocksToMatch", "maxPrefixTokensToMatch counts")]);
    }
    if parameters.get("blockSizeTokens").is_some() {
        parameters.note_all(&[(BLOCK_SIZE, "blockSizeTokens counts")]);
    }
    Ok(Prefix {
        auto_tune: parameters.read("autoTune", default.auto_tune, At::flag)?,
        prompt_blocks_max: said.unwrap_or(default.prompt_blocks_max),
        capacity: parameters.read("lruCapacityPerServer", ours(default.capacity), |at| {
            at.whole(0, 1 << 24).map(ours)
        })?,
    })
}
