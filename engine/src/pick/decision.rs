//! What came of a request.

use std::{fmt, net::SocketAddr, time::Duration};

use crate::{Ask, Instant, Score, candidate::Candidate, profile::Ranking};

/// Where a request goes, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The chosen endpoint, then those to fall back to, best first. Never empty, no address twice.
    pub ranked: Vec<SocketAddr>,
    /// Headers to set on the request, beside the destination.
    pub headers: Vec<(&'static str, String)>,
    /// Whoever computes the prompt where that is another than who answers.
    pub prefill: Option<SocketAddr>,
    /// What each scorer gave the chosen one, by the scorer's short name, in the profile's order.
    pub scores: Vec<(&'static str, Score)>,
    /// Their weighted sum.
    pub total: f64,
    /// How long ago the chosen one's metrics were read, if they ever were.
    pub age: Option<Duration>,
    /// Blocks in the prompt.
    pub blocks: u32,
    /// What was known of the chosen one.
    pub sight: Sight,
}

/// What was known of an endpoint when it was chosen, for what is learnt from how it did.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sight {
    /// Blocks of the prompt that it was believed to have cached.
    pub matched: u32,
    /// The prompt's tokens.
    pub prompt_tokens: u32,
    /// Of those the ones that it would have to compute.
    pub uncached_tokens: u32,
    /// Uncached tokens of other requests that were in flight there.
    pub in_flight_tokens: u32,
    /// Requests that waited there, and those in its batch; none where it could not be seen.
    pub load: Option<(u32, u32)>,
    /// The share of its KV cache that live requests held.
    pub kv_usage: f32,
    /// Whether none of those that it was chosen from had any of the prompt.
    pub cold: bool,
}

impl Sight {
    pub(crate) fn of(candidate: &Candidate<'_>, ask: &Ask) -> Self {
        let gauges = candidate.gauges;
        Self {
            matched: candidate.matched,
            prompt_tokens: ask.tokens(),
            uncached_tokens: candidate.uncached_tokens(ask),
            in_flight_tokens: candidate.tokens,
            load: gauges.map(|gauges| (gauges.waiting, gauges.running)),
            kv_usage: gauges.map_or(0.0, |gauges| gauges.kv_usage),
            cold: false,
        }
    }
}

impl Decision {
    /// The choice of one profile.
    pub(crate) fn of(ranking: &Ranking<'_>, ask: &Ask, now: Instant) -> Result<Self, NoPick> {
        let best = ranking.best().ok_or(NoPick::NoEndpoints)?;
        Ok(Self {
            ranked: ranking.ranked.iter().map(|candidate| candidate.member.address).collect(),
            headers: Vec::new(),
            prefill: None,
            scores: ranking.scores.clone(),
            total: ranking.total,
            age: best.member.age(now),
            blocks: ask.chain.blocks,
            sight: Sight { cold: ranking.cold, ..Sight::of(best, ask) },
        })
    }
}

/// Why a request goes nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoPick {
    /// No snapshot of the pool has come yet, so nothing is known of it.
    NoSnapshot,
    /// The pool is empty: scaled to zero, or its selector matches no pod; or the gateway's subset
    /// holds none of it.
    NoEndpoints,
    /// This filter left none.
    Filtered(&'static str),
    /// The profile that the request asks for does not exist.
    NoProfile,
}

impl fmt::Display for NoPick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSnapshot => f.write_str("no snapshot of the pool has been received yet"),
            Self::NoEndpoints => f.write_str("the pool has no endpoints"),
            Self::Filtered(filter) => write!(f, "{filter} left no endpoint"),
            Self::NoProfile => f.write_str("no scheduling profile is configured for the request"),
        }
    }
}
