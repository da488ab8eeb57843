//! The plugin types, by the EPP's names.

use picker_core::{
    Admitter, Decider, Filter, Handler, Picker, Scorer,
    flow::{BandSelectionPolicy, FairnessPolicy, OrderingPolicy, UsageLimitKind},
    saturation::DetectorKind,
};

use crate::{
    body::Parser,
    config::{At, ConfigError},
};

/// Plugin before its parameters are read.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum PluginKind {
    Scorer(Scorer),
    Filter(Filter),
    Picker(Picker),
    Prefix,
    Fairness(FairnessPolicy),
    Ordering(OrderingPolicy),
    UsageLimit(UsageLimitKind),
    BandSelection(BandSelectionPolicy),
    Detector(DetectorKind),
    Handler(Handler),
    Admitter(Admitter),
    Decider(Decider),
    /// Decider that has prompts with media encoded apart.
    MediaDecider,
    Parser(Parser),
    Elsewhere(&'static str),
}

const ALWAYS: &str = "always-disagg-pd-decider";
pub(super) const PREFIX_BASED: &str = "prefix-based-pd-decider";
pub(super) const MEDIA_DECIDER: &str = "always-disagg-multimodal-decider";
pub(super) const PREFIX_PRODUCER: &str = "approx-prefix-cache-producer";
pub(super) const TOKEN_PRODUCER: &str = "token-producer";
pub(super) const IN_FLIGHT: &str = "inflight-load-producer";
const ELSEWHERE: [&str; 8] = [
    "metrics-data-source",
    "core-metrics-extractor",
    "topology-extractor",
    // The scheduler learns by itself how long first tokens take.
    "predicted-latency-producer",
    // What these did in older EPPs the disagg-profile-handler does.
    "disagg-headers-handler",
    "prefill-header-handler",
    TOKEN_PRODUCER,
    IN_FLIGHT,
];

/// Types of the EPP that do not exist here, with the reason.
const ABSENT: &[(&str, &str)] = &[
    ("precise-prefix-cache-scorer", KV_EVENTS),
    ("precise-prefix-cache-producer", KV_EVENTS),
    ("program-aware-fairness", "use token-fair-fairness-policy"),
    ("mm-embeddings-cache-scorer", "what encoders have cached is not followed"),
    ("mm-embeddings-cache-producer", "what encoders have cached is not followed"),
    ("session-id-producer", "session-affinity-scorer reads the header itself"),
    ("agent-identity", "identity.fairnessHeaders may name the header of a session"),
    ("vllmgrpc-parser", PROTOBUF),
    ("vertexai-parser", PROTOBUF),
];
const PROTOBUF: &str = "bodies of protobuf are not read, and go by load";
const KV_EVENTS: &str = "engines' KV events come over ZMQ, which a filter in Envoy cannot read; use \
                         prefix-cache-scorer with approx-prefix-cache-producer";

impl PluginKind {
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            ALWAYS => return Some(Self::Decider(Decider::Always)),
            PREFIX_BASED => {
                return Some(Self::Decider(Decider::PrefixBased { uncached: 0, prompt: 0 }));
            }
            MEDIA_DECIDER => return Some(Self::MediaDecider),
            PREFIX_PRODUCER => return Some(Self::Prefix),
            _ => (),
        }
        let elsewhere = ELSEWHERE.into_iter().find(|known| *known == name);
        (Scorer::named(name).map(Self::Scorer))
            .or_else(|| Filter::named(name).map(Self::Filter))
            .or_else(|| Picker::named(name).map(Self::Picker))
            .or_else(|| Handler::named(name).map(Self::Handler))
            .or_else(|| Admitter::named(name).map(Self::Admitter))
            .or_else(|| name.parse().map(Self::Fairness).ok())
            .or_else(|| name.parse().map(Self::Ordering).ok())
            .or_else(|| name.parse().map(Self::UsageLimit).ok())
            .or_else(|| name.parse().map(Self::BandSelection).ok())
            .or_else(|| name.parse().map(Self::Detector).ok())
            .or_else(|| Parser::named(name).map(Self::Parser))
            .or_else(|| elsewhere.map(Self::Elsewhere))
    }

    pub(super) fn read(at: &At<'_>) -> Result<Self, ConfigError> {
        let name = at.text()?;
        Self::named(name).ok_or_else(|| {
            let names = names();
            match ABSENT.iter().find(|(absent, _)| *absent == name) {
                Some((_, why)) => {
                    at.refuse(&format!("another type: {why}; allowed: {}", names.join(", ")))
                }
                None => at.refuse_name(&names),
            }
        })
    }
}

/// Returns every type that exists here.
fn names() -> Vec<&'static str> {
    let scheduling = Scorer::NAMES.iter().chain(Filter::NAMES).copied().chain(Picker::NAMES);
    let flow = [
        FairnessPolicy::NAMES,
        OrderingPolicy::NAMES,
        UsageLimitKind::NAMES,
        BandSelectionPolicy::NAMES,
        DetectorKind::NAMES,
    ];
    scheduling
        .chain(Handler::NAMES.iter().chain(Admitter::NAMES).copied())
        .chain([ALWAYS, PREFIX_BASED, MEDIA_DECIDER, PREFIX_PRODUCER])
        .chain(flow.into_iter().flatten().copied())
        .chain(Parser::names())
        .chain(ELSEWHERE)
        .collect()
}
