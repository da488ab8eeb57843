//! The settings of the prefix index (`approx-prefix-cache-producer`).

use picker_core::{BLOCKS_MAX, Config};

use super::kind::PREFIX_PRODUCER;
use crate::config::{At, ConfigError, at::Object};

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

/// Reads the settings. The EPP counts in blocks of a size that can be set, the index in blocks of
/// one size: numbers of blocks are converted, so that the same tokens are meant.
pub(super) fn read(entry: &Object<'_>) -> Result<Prefix, ConfigError> {
    let parameters = entry.child(
        "parameters",
        &[
            "autoTune",
            "blockSizeTokens",
            "maxPrefixTokensToMatch",
            "maxPrefixBlocksToMatch",
            "lruCapacityPerServer",
        ],
    )?;
    let default = Prefix::default();
    // The bounds are what the index can hold: 16 million blocks are 256 MB per endpoint.
    let whole = |key, default, max| parameters.read(key, default, |at: &At<'_>| at.whole(0, max));
    let block = whole("blockSizeTokens", BLOCK_TOKENS, 1 << 16)?.max(BLOCK_TOKENS);
    let ours = |blocks: u32| {
        let tokens = u64::from(blocks) * u64::from(block);
        u32::try_from(tokens / u64::from(BLOCK_TOKENS)).unwrap_or(u32::MAX)
    };
    let tokens = whole("maxPrefixTokensToMatch", 0, 1 << 24)?.div_ceil(BLOCK_TOKENS);
    let blocks = whole("maxPrefixBlocksToMatch", 0, 1 << 24).map(ours)?;
    let said = [tokens, blocks].into_iter().find(|blocks| *blocks > 0);
    Ok(Prefix {
        auto_tune: parameters.read("autoTune", default.auto_tune, At::flag)?,
        prompt_blocks_max: said.unwrap_or(default.prompt_blocks_max),
        capacity: parameters
            .read("lruCapacityPerServer", default.capacity, |at| at.whole(0, 1 << 24).map(ours))?,
    })
}
