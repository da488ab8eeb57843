//! The plugin types, by the EPP's names.

use engine::{
    Filter, Picker, Scorer,
    filter::{LabelValues, Role, Selector},
    flow::{BandSelectionPolicy, FairnessPolicy, OrderingPolicy, UsageLimitKind},
    saturation::DetectorKind,
};

use crate::config::{At, ConfigError};

/// What a plugin is, before its parameters are read.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    Scorer(Scorer),
    Filter(Filter),
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
pub(super) const IN_FLIGHT: &str = "inflight-load-producer";
const ELSEWHERE: [&str; 5] =
    ["metrics-data-source", "core-metrics-extractor", "openai-parser", TOKEN_PRODUCER, IN_FLIGHT];

/// Types that the EPP has and that are not built yet, so that an error can say so.
const YET: &[&str] = &[
    "precise-prefix-cache-scorer",
    "no-hit-lru-scorer",
    "session-affinity-scorer",
    "context-length-aware",
    "header-label-affinity-scorer",
    "endpoint-attribute-scorer",
    "topology-affinity-scorer",
    "latency-scorer",
    "session-affinity-filter",
    "utilization-filter",
    "prefix-cache-affinity-filter",
    "disagg-profile-handler",
    "pd-profile-handler",
    "header-profile-handler",
    "data-parallel-profile-handler",
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
        (Scorer::named(name).map(Self::Scorer))
            .or_else(|| filter(name).map(Self::Filter))
            .or_else(|| Picker::named(name).map(Self::Picker))
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

const FILTERS: &[&str] = &[
    "label-selector-filter",
    "by-label-selector",
    "by-label",
    "decode-filter",
    "prefill-filter",
    "encode-filter",
];

/// The filter of that type with its default parameters.
fn filter(name: &str) -> Option<Filter> {
    Some(match name {
        "label-selector-filter" | "by-label-selector" => Filter::LabelSelector(Selector::default()),
        "by-label" => Filter::ByLabel(LabelValues::default()),
        _ => Filter::Role(Role::ALL.into_iter().find(|role| role.filter_name() == name)?),
    })
}

/// Every type that is built.
fn names() -> Vec<&'static str> {
    let scheduling = Scorer::NAMES.iter().chain(FILTERS).copied().chain(Picker::NAMES);
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
