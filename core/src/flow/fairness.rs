//! The choice of the flow of a band that goes first.

use std::{collections::BTreeMap, num::NonZeroU16, str::FromStr};

use super::{FairnessId, flow_queue::FlowQueue, rank::Rank};
use crate::model::UnknownPolicy;

/// The policy by which the flows of one band share it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum FairnessPolicy {
    /// Not at all: the best request of all flows by the band's ordering
    /// (`global-strict-fairness-policy`).
    #[default]
    GlobalStrict,
    /// The flows take turns, one request at a time (`round-robin-fairness-policy`). A flow that
    /// begins to wait joins behind all that wait already, and the place of the turn is in the order
    /// of the flows and not in one of them, so it outlives any flow. Two flows that both keep
    /// waiting are dispatched equally often, give or take one.
    RoundRobin,
    /// The one that has used the fewest tokens for its weight (`token-fair-fairness-policy`).
    TokenFair(TokenCost),
}

/// The prices of the token-fair policy: virtual token counters (Sheng et al., "Fairness in serving
/// large language models", OSDI'24), weighted, over prompt tokens that are not cached.
///
/// A flow's counter grows by `prompt` for each uncached prompt token at dispatch and by `output`
/// for each output token, divided by its weight: for those that the answer is expected to have at
/// dispatch, and for the truth in their place as usage arrives; a dispatch costs at least one
/// token. The number of uncached tokens is an expectation at dispatch, of the best endpoint on
/// arrival, and is put right as soon as the endpoint is chosen. A flow that begins to wait is
/// lifted to the lowest counter of those that wait (or, if none does, of the last that did), so
/// that idleness saves up no credit.
///
/// Bound: over any time in which two flows both wait, the service they got, each over its weight,
/// differs by at most `2 * max(prompt * L, output * M)`, where `L` is the longest prompt and `M`
/// the most tokens, of prompt and output, in truth or as expected, that one flow of weight 1 has in flight at once,
/// requests included of which the arbiter has not been told the cost yet; this wants `output >= prompt`. The
/// expectation does not change it: it is never more than the prompt, and in error only for what is
/// in flight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenCost {
    /// The price of an uncached prompt token.
    pub prompt: u16,
    /// The price of an output token, which occupies its engine for longer.
    pub output: u16,
    /// Tenants that deserve more than 1.
    pub weights: BTreeMap<FairnessId, FairnessWeight>,
}

/// A tenant's share of a band relative to others: of weight 3 and 1, the first gets three quarters
/// of the tokens while both wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FairnessWeight(pub NonZeroU16);

/// Counters are kept in this fraction of a token, so that any weight divides them well. 2^64 of
/// them are 10^14 output tokens: at a million a second, four years without a new arbiter.
const FRACTION: u64 = 1 << 16;

impl FairnessPolicy {
    /// Every name there is.
    pub const NAMES: &[&str] = &[
        "global-strict-fairness-policy",
        "round-robin-fairness-policy",
        "token-fair-fairness-policy",
    ];

    /// Returns the EPP's name of it, or ours in its style.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::GlobalStrict => "global-strict-fairness-policy",
            Self::RoundRobin => "round-robin-fairness-policy",
            Self::TokenFair(_) => "token-fair-fairness-policy",
        }
    }

    /// True if flows are charged for the tokens of their requests.
    pub(super) fn charges_tokens(&self) -> bool {
        matches!(self, Self::TokenFair(_))
    }

    /// Returns the place of a flow among those of its band; none if no request waits in it.
    pub(super) fn standing(&self, queue: &FlowQueue) -> Option<Rank> {
        let head = queue.head()?;
        Some(match self {
            Self::GlobalStrict => head.rank,
            Self::RoundRobin => Rank { first: queue.turn, ..Rank::default() },
            Self::TokenFair(_) => {
                Rank { first: queue.counter, second: queue.turn, ..Rank::default() }
            }
        })
    }

    /// Returns what a dispatch adds to its flow's counter.
    pub(super) fn dispatch_cost(&self, flow: &FairnessId, uncached_tokens: u32) -> u64 {
        match self {
            Self::GlobalStrict | Self::RoundRobin => 0,
            Self::TokenFair(cost) => {
                cost.scaled(flow, (u64::from(cost.prompt) * u64::from(uncached_tokens)).max(1))
            }
        }
    }

    /// Returns what output tokens add to their flow's counter.
    pub(super) fn output_cost(&self, flow: &FairnessId, tokens: u32) -> u64 {
        match self {
            Self::GlobalStrict | Self::RoundRobin => 0,
            Self::TokenFair(cost) => cost.scaled(flow, u64::from(cost.output) * u64::from(tokens)),
        }
    }
}

impl FromStr for FairnessPolicy {
    type Err = UnknownPolicy;

    fn from_str(name: &str) -> Result<Self, UnknownPolicy> {
        [Self::GlobalStrict, Self::RoundRobin, Self::TokenFair(TokenCost::default())]
            .into_iter()
            .find(|policy| policy.name() == name)
            .ok_or_else(|| UnknownPolicy::new("fairness policy", name, Self::NAMES))
    }
}

impl Default for TokenCost {
    /// Returns the paper's prices: 1 for a prompt token, 2 for an output token.
    fn default() -> Self {
        Self { prompt: 1, output: 2, weights: BTreeMap::new() }
    }
}

impl TokenCost {
    fn scaled(&self, flow: &FairnessId, tokens: u64) -> u64 {
        let weight = self.weights.get(flow).map_or(1, |weight| weight.0.get());
        tokens.saturating_mul(FRACTION) / u64::from(weight)
    }
}
