//! The scorers that exist, by the EPP's names.

use super::{
    ActiveRequest, Attribute, ContextLength, EstimatedTtft, HeaderLabel, Latency, LoadAware,
    PrefixCache, SessionAffinity, TokenLoad, Topology, cold, kv_cache_utilization, lora_affinity,
    relative,
};
use crate::{model::Score, pool::Candidate, schedule::PickContext};

/// One way to look at an endpoint.
#[derive(Clone, Debug, PartialEq)]
pub enum Scorer {
    /// It has cached much of the prompt.
    PrefixCache(PrefixCache),
    /// Few requests wait there, compared with the others.
    Queue,
    /// Much of its KV cache is free.
    KvCacheUtilization,
    /// Few requests run there, compared with the others.
    RunningRequests,
    /// It has the LoRA adapter.
    LoraAffinity,
    /// Few requests wait there, on a fixed scale.
    LoadAware(LoadAware),
    /// Few requests of this Envoy are in flight there.
    ActiveRequest(ActiveRequest),
    /// Few prompt tokens of this Envoy are in flight there.
    TokenLoad(TokenLoad),
    /// Among those that know nothing of the prompt, it took such a one longest ago.
    NoHitLru,
    /// The session was there.
    SessionAffinity(SessionAffinity),
    /// It is for prompts of this length.
    ContextLength(ContextLength),
    /// A label has the value of a header.
    HeaderLabel(HeaderLabel),
    /// A custom metric of it is low, or high.
    Attribute(Attribute),
    /// It is near the endpoint of the stage before.
    Topology(Topology),
    /// Its predicted first token leaves the right room to the objective.
    Latency(Latency),
    /// Its first token is estimated to come soon.
    EstimatedTtft(EstimatedTtft),
}

impl Scorer {
    /// All plugin types.
    pub const NAMES: &[&str] = &[
        "prefix-cache-scorer",
        "queue-scorer",
        "kv-cache-utilization-scorer",
        "running-requests-size-scorer",
        "lora-affinity-scorer",
        "load-aware-scorer",
        "active-request-scorer",
        "token-load-scorer",
        "no-hit-lru-scorer",
        "session-affinity-scorer",
        "context-length-aware",
        "header-label-affinity-scorer",
        "endpoint-attribute-scorer",
        "topology-affinity-scorer",
        "latency-scorer",
        "estimated-ttft-scorer",
    ];

    /// The scorer of that type with its default parameters.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "prefix-cache-scorer" => Self::PrefixCache(PrefixCache::default()),
            "queue-scorer" => Self::Queue,
            "kv-cache-utilization-scorer" => Self::KvCacheUtilization,
            "running-requests-size-scorer" => Self::RunningRequests,
            "lora-affinity-scorer" => Self::LoraAffinity,
            "load-aware-scorer" => Self::LoadAware(LoadAware::default()),
            "active-request-scorer" => Self::ActiveRequest(ActiveRequest::default()),
            "token-load-scorer" => Self::TokenLoad(TokenLoad::default()),
            "no-hit-lru-scorer" => Self::NoHitLru,
            "session-affinity-scorer" => Self::SessionAffinity(SessionAffinity::default()),
            "context-length-aware" => Self::ContextLength(ContextLength::default()),
            "header-label-affinity-scorer" => Self::HeaderLabel(HeaderLabel::default()),
            "endpoint-attribute-scorer" => Self::Attribute(Attribute::default()),
            "topology-affinity-scorer" => Self::Topology(Topology::default()),
            "latency-scorer" => Self::Latency(Latency::default()),
            "estimated-ttft-scorer" => Self::EstimatedTtft(EstimatedTtft::default()),
            _ => return None,
        })
    }

    /// The plugin type in an EndpointPickerConfig.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.names().0
    }

    /// The word for it in a decision's header.
    #[must_use]
    pub const fn short_name(&self) -> &'static str {
        self.names().1
    }

    const fn names(&self) -> (&'static str, &'static str) {
        match self {
            Self::PrefixCache(_) => ("prefix-cache-scorer", "prefix"),
            Self::Queue => ("queue-scorer", "queue"),
            Self::KvCacheUtilization => ("kv-cache-utilization-scorer", "kv"),
            Self::RunningRequests => ("running-requests-size-scorer", "running"),
            Self::LoraAffinity => ("lora-affinity-scorer", "lora"),
            Self::LoadAware(_) => ("load-aware-scorer", "load"),
            Self::ActiveRequest(_) => ("active-request-scorer", "active"),
            Self::TokenLoad(_) => ("token-load-scorer", "tokens"),
            Self::NoHitLru => ("no-hit-lru-scorer", "cold"),
            Self::SessionAffinity(_) => ("session-affinity-scorer", "session"),
            Self::ContextLength(_) => ("context-length-aware", "length"),
            Self::HeaderLabel(_) => ("header-label-affinity-scorer", "label"),
            Self::Attribute(_) => ("endpoint-attribute-scorer", "attribute"),
            Self::Topology(_) => ("topology-affinity-scorer", "topology"),
            Self::Latency(_) => ("latency-scorer", "latency"),
            Self::EstimatedTtft(_) => ("estimated-ttft-scorer", "ttft"),
        }
    }

    /// Whether it goes by the prompt tokens in flight.
    pub(crate) const fn counts_tokens(&self) -> bool {
        matches!(self, Self::TokenLoad(_) | Self::Latency(_) | Self::EstimatedTtft(_))
    }

    /// The header that it goes by, beside those of its sessions.
    pub(crate) fn header(&self) -> Option<&str> {
        if let Self::HeaderLabel(affinity) = self { Some(&affinity.header) } else { None }
    }

    /// The sessions that it keeps, if it keeps any.
    pub(crate) const fn session(&self) -> Option<&SessionAffinity> {
        if let Self::SessionAffinity(session) = self { Some(session) } else { None }
    }

    /// Appends a score for each candidate, in their order.
    pub(crate) fn score(
        &self,
        scene: &PickContext<'_>,
        candidates: &[Candidate<'_>],
        scores: &mut Vec<Score>,
    ) {
        let ask = scene.ask;
        match self {
            Self::Queue => relative::score(candidates, scores, |gauges| gauges.waiting),
            Self::RunningRequests => relative::score(candidates, scores, |gauges| gauges.running),
            Self::ActiveRequest(active) => active.score(candidates, scores),
            Self::PrefixCache(prefix) => each(candidates, scores, |candidate| {
                prefix.score(candidate.matched, ask.chain.blocks)
            }),
            Self::KvCacheUtilization => each(candidates, scores, |candidate| {
                let usage = candidate.gauges.map(|gauges| gauges.kv_usage);
                usage.map_or(Score::ZERO, kv_cache_utilization::score)
            }),
            Self::LoraAffinity => each(candidates, scores, |candidate| {
                lora_affinity::score(&ask.model, candidate.member.adapters.as_ref())
            }),
            Self::LoadAware(load) => each(candidates, scores, |candidate| {
                candidate.gauges.map_or(Score::ZERO, |gauges| load.score(gauges.waiting))
            }),
            Self::TokenLoad(load) => each(candidates, scores, |candidate| {
                load.score(candidate.tokens, candidate.uncached_tokens(ask))
            }),
            Self::NoHitLru => cold::score(scene.learned, candidates, scores),
            Self::SessionAffinity(session) => {
                let pinned = session.endpoint(scene);
                each(candidates, scores, |candidate| {
                    if Some(candidate.member.address) == pinned { Score::ONE } else { Score::ZERO }
                });
            }
            Self::ContextLength(length) => {
                each(candidates, scores, |candidate| length.score(candidate.member, ask.tokens()));
            }
            Self::HeaderLabel(affinity) => {
                each(candidates, scores, |candidate| affinity.score(candidate.member, ask));
            }
            Self::Attribute(attribute) => attribute.score(candidates, scores),
            Self::Topology(topology) => {
                each(candidates, scores, |candidate| topology.score(candidate.member, scene.peer));
            }
            Self::Latency(latency) => latency.score(scene, candidates, scores),
            Self::EstimatedTtft(ttft) => {
                ttft.score((ask, scene.learned), candidates, scores);
            }
        }
    }
}

/// A score that depends on nothing but the candidate.
fn each(
    candidates: &[Candidate<'_>],
    scores: &mut Vec<Score>,
    score: impl Fn(&Candidate<'_>) -> Score,
) {
    scores.extend(candidates.iter().map(score));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_written() {
        for name in Scorer::NAMES {
            assert_eq!(Scorer::named(name).map(|scorer| scorer.name()), Some(*name));
        }
        assert_eq!(Scorer::named("queue"), None);
    }
}
