//! The plugin types, by the EPP's names.

use picker_core::{
    Admitter, Decider, Filter, Handler, Picker, Scorer,
    flow::{BandSelectionPolicy, FairnessPolicy, OrderingPolicy, UsageLimitKind},
    saturation::DetectorKind,
};

use super::absent;
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
    /// Type without effect here, and the reason.
    Elsewhere {
        kind: &'static str,
        why: &'static str,
    },
}

const ALWAYS: &str = "always-disagg-pd-decider";
pub(super) const PREFIX_BASED: &str = "prefix-based-pd-decider";
pub(super) const MEDIA_DECIDER: &str = "always-disagg-multimodal-decider";
pub(super) const PREFIX_PRODUCER: &str = "approx-prefix-cache-producer";
pub(super) const TOKEN_PRODUCER: &str = "token-producer";
pub(super) const IN_FLIGHT: &str = "inflight-load-producer";
const PODS: &str = "the scraper reads metrics; its pools[].metrics say the path, port and scheme";
const OBJECTS: &str = "the scraper finds endpoints, and what Kubernetes says of them";
const MODELS: &str = "the scraper asks the pods for their models, which answer /v1/models";
const EVICTION: &str = "flowControl.enableEviction evicts by these two";
const HEADERS: &str = "the disagg-profile-handler sets the headers of its stages";
/// Types without effect here, each with the reason.
const ELSEWHERE: [(&str, &str); 16] = [
    ("metrics-data-source", PODS),
    ("core-metrics-extractor", "the scraper knows engines; its pools[].engineConfigs add others"),
    ("topology-extractor", "the scraper reads labels of pods"),
    ("predicted-latency-producer", "the scheduler learns by itself how long tokens take"),
    ("disagg-headers-handler", HEADERS),
    ("prefill-header-handler", HEADERS),
    (TOKEN_PRODUCER, "prompts are measured in bytes, and tokens are learnt from answers"),
    (IN_FLIGHT, "the ledger counts requests and tokens in flight"),
    ("sheddable-eviction-filter", EVICTION),
    ("priority-then-time-eviction-order-policy", EVICTION),
    ("models-data-source", MODELS),
    ("models-data-extractor", MODELS),
    ("models-responder", MODELS),
    ("endpoint-notification-source", OBJECTS),
    ("k8s-notification-source", OBJECTS),
    ("file-discovery", "the scraper finds endpoints; its pools[].endpointsFile is such a file"),
];

impl PluginKind {
    pub(super) fn named(name: &str) -> Option<Self> {
        let name = absent::current(name);
        match name {
            ALWAYS => return Some(Self::Decider(Decider::Always)),
            PREFIX_BASED => {
                return Some(Self::Decider(Decider::PrefixBased { uncached: 0, prompt: 0 }));
            }
            MEDIA_DECIDER => return Some(Self::MediaDecider),
            PREFIX_PRODUCER => return Some(Self::Prefix),
            _ => (),
        }
        let elsewhere = ELSEWHERE.into_iter().find(|(known, _)| *known == name);
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
            .or_else(|| elsewhere.map(|(kind, why)| Self::Elsewhere { kind, why }))
    }

    pub(super) fn read(at: &At<'_>) -> Result<Self, ConfigError> {
        let name = at.text()?;
        Self::named(name).ok_or_else(|| match absent::reason(name) {
            Some(why) => at.refuse(&format!("another type: {why}")),
            None => at.refuse_name(&names()),
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
        .chain(ELSEWHERE.into_iter().map(|(kind, _)| kind))
        .collect()
}
