//! The plugin types, by the EPP's names.

use engine::{
    Picker, Scorer,
    flow::{BandSelectionPolicy, FairnessPolicy, OrderingPolicy, UsageLimitKind},
    saturation::DetectorKind,
};

use crate::config::{At, ConfigError};

/// What a plugin is, before its parameters are read.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    Scorer(Scorer),
    Picker(Picker),
    Prefix,
    Fairness(FairnessPolicy),
    Ordering(OrderingPolicy),
    UsageLimit(UsageLimitKind),
    BandSelection(BandSelectionPolicy),
    Detector(DetectorKind),
    ProfileHandler,
    Elsewhere(&'static str),
}

const PROFILE_HANDLER: &str = "single-profile-handler";
const PREFIX_PRODUCER: &str = "approx-prefix-cache-producer";
pub(super) const TOKEN_PRODUCER: &str = "token-producer";
const ELSEWHERE: [&str; 4] =
    ["metrics-data-source", "core-metrics-extractor", "openai-parser", TOKEN_PRODUCER];

/// Types that the EPP has and that are not built yet, so that an error can say so.
const YET: [&str; 33] = [
    "active-request-scorer",
    "running-requests-size-scorer",
    "precise-prefix-cache-scorer",
    "lora-affinity-scorer",
    "load-aware-scorer",
    "token-load-scorer",
    "no-hit-lru-scorer",
    "session-affinity-scorer",
    "context-length-aware",
    "header-label-affinity-scorer",
    "endpoint-attribute-scorer",
    "topology-affinity-scorer",
    "latency-scorer",
    "label-selector-filter",
    "by-label",
    "by-label-selector",
    "decode-filter",
    "prefill-filter",
    "encode-filter",
    "session-affinity-filter",
    "utilization-filter",
    "prefix-cache-affinity-filter",
    "random-picker",
    "weighted-random-picker",
    "disagg-profile-handler",
    "pd-profile-handler",
    "header-profile-handler",
    "data-parallel-profile-handler",
    "inflight-load-producer",
    "precise-prefix-cache-producer",
    "program-aware-fairness",
    "anthropic-parser",
    "vllmhttp-parser",
];

impl Kind {
    pub(super) fn of(name: &str) -> Option<Self> {
        match name {
            PROFILE_HANDLER => return Some(Self::ProfileHandler),
            PREFIX_PRODUCER => return Some(Self::Prefix),
            _ => (),
        }
        let elsewhere = ELSEWHERE.into_iter().find(|known| *known == name);
        (name.parse().map(Self::Scorer).ok())
            .or_else(|| name.parse().map(Self::Picker).ok())
            .or_else(|| name.parse().map(Self::Fairness).ok())
            .or_else(|| name.parse().map(Self::Ordering).ok())
            .or_else(|| name.parse().map(Self::UsageLimit).ok())
            .or_else(|| name.parse().map(Self::BandSelection).ok())
            .or_else(|| name.parse().map(Self::Detector).ok())
            .or_else(|| elsewhere.map(Self::Elsewhere))
    }

    pub(super) fn read(at: &At<'_>) -> Result<Self, ConfigError> {
        let name = at.text()?;
        Self::of(name).ok_or_else(|| {
            let names = names().join(", ");
            if YET.contains(&name) {
                return at.problem(format!("{name:?} is not supported yet; allowed: {names}"));
            }
            at.refuse(&names)
        })
    }
}

/// Every type that is built.
fn names() -> Vec<&'static str> {
    let scheduling = Scorer::ALL.iter().map(|scorer| scorer.name()).chain(Picker::NAMES);
    let flow = [
        FairnessPolicy::NAMES,
        OrderingPolicy::NAMES,
        UsageLimitKind::NAMES,
        BandSelectionPolicy::NAMES,
        DetectorKind::NAMES,
    ];
    scheduling
        .chain([PROFILE_HANDLER, PREFIX_PRODUCER])
        .chain(flow.into_iter().flatten().copied())
        .chain(ELSEWHERE)
        .collect()
}
