//! The list of scorers, by the EPP's names.

use super::{
    ActiveRequest, Attribute, ContextLength, EstimatedTtft, HeaderLabel, Latency, LoadAware,
    PrefixCache, TokenLoad, Topology, cold::NoHitLru, kv_cache_utilization::KvCacheUtilization,
    lora_affinity::LoraAffinity, plugin::ScorerPlugin, relative::Relative,
};
use crate::{
    model::Score,
    pool::Candidate,
    schedule::{Needs, PickContext, SessionAffinity},
};

/// Makes the enum and everything that goes through its variants out of one list, so that a scorer
/// is one line here. A line has the variant with its parameters if it has any, the plugin that
/// scores, the type in an EndpointPickerConfig, and the word in a decision's header.
macro_rules! scorers {
    ($($(#[$doc:meta])* $variant:ident $(($it:ident: $parameters:ty))? = $plugin:expr, $name:literal, $short:literal;)*) => {
        /// A way to look at an endpoint.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Scorer {
            $($(#[$doc])* $variant $(($parameters))?,)*
        }

        impl Scorer {
            /// All plugin types.
            pub const NAMES: &[&str] = &[$($name),*];

            /// Returns the scorer of that type with its default parameters.
            #[must_use]
            pub fn named(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant $((<$parameters>::default()))?),)*
                    _ => None,
                }
            }

            /// Returns the plugin type in an EndpointPickerConfig.
            #[must_use]
            pub const fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant { .. } => $name,)*
                }
            }

            /// Returns the word for the scorer in a decision's header.
            #[must_use]
            pub const fn short_name(&self) -> &'static str {
                match self {
                    $(Self::$variant { .. } => $short,)*
                }
            }

            /// Returns what the scorer reads beside the prompt and the candidates.
            pub(crate) fn needs(&self) -> Needs<'_> {
                match self {
                    $(Self::$variant $(($it))? => ScorerPlugin::needs($plugin),)*
                }
            }

            /// Appends a score for each candidate, in their order.
            pub(crate) fn score(
                &self,
                context: &PickContext<'_>,
                candidates: &[Candidate<'_>],
                scores: &mut Vec<Score>,
            ) {
                match self {
                    $(Self::$variant $(($it))? => ScorerPlugin::score_all($plugin, context, candidates, scores),)*
                }
            }
        }
    };
}

scorers! {
    /// Much of the prompt is cached there.
    PrefixCache(it: PrefixCache) = it, "prefix-cache-scorer", "prefix";
    /// Few requests wait there, compared with the others.
    Queue = &Relative::Waiting, "queue-scorer", "queue";
    /// Much of the KV cache is free.
    KvCacheUtilization = &KvCacheUtilization, "kv-cache-utilization-scorer", "kv";
    /// Few requests run there, compared with the others.
    RunningRequests = &Relative::Running, "running-requests-size-scorer", "running";
    /// The LoRA adapter is loaded there.
    LoraAffinity = &LoraAffinity, "lora-affinity-scorer", "lora";
    /// Few requests wait there, on a fixed scale.
    LoadAware(it: LoadAware) = it, "load-aware-scorer", "load";
    /// Few requests of all known gateways are in flight there.
    ActiveRequest(it: ActiveRequest) = it, "active-request-scorer", "active";
    /// Few prompt tokens of theirs are in flight there.
    TokenLoad(it: TokenLoad) = it, "token-load-scorer", "tokens";
    /// Of endpoints that know nothing of the prompt, it took such a prompt longest ago.
    NoHitLru = &NoHitLru, "no-hit-lru-scorer", "cold";
    /// The session was there.
    SessionAffinity(it: SessionAffinity) = it, "session-affinity-scorer", "session";
    /// The pod is for prompts of this length.
    ContextLength(it: ContextLength) = it, "context-length-aware", "length";
    /// A label has the value of a header.
    HeaderLabel(it: HeaderLabel) = it, "header-label-affinity-scorer", "label";
    /// A custom metric of the endpoint is low, or high.
    Attribute(it: Attribute) = it, "endpoint-attribute-scorer", "attribute";
    /// The endpoint of the stage before is near.
    Topology(it: Topology) = it, "topology-affinity-scorer", "topology";
    /// The predicted first token leaves the right room to the objective.
    Latency(it: Latency) = it, "latency-scorer", "latency";
    /// The first token is estimated to come soon.
    EstimatedTtft(it: EstimatedTtft) = it, "estimated-ttft-scorer", "ttft";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_read_as_written() {
        for name in Scorer::NAMES {
            assert_eq!(Scorer::named(name).map(|scorer| scorer.name()), Some(*name));
        }
        assert_eq!(Scorer::named("queue"), None);
    }

    #[test]
    fn no_two_scorers_share_a_word() {
        let scorers = Scorer::NAMES.iter().filter_map(|name| Scorer::named(name));
        let words: BTreeSet<&str> = scorers.map(|scorer| scorer.short_name()).collect();
        assert_eq!(words.len(), Scorer::NAMES.len());
    }
}
