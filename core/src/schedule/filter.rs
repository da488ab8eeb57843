//! Filters: the endpoints that a request may go to at all.
//!
//! A filter is a variant of [`Filter`] with the EPP's name for it, a file in `filter/` with what it
//! goes by, and a line in each match of this file. A filter keeps the order of the endpoints that
//! it keeps.

mod affinity;
mod attribute;
mod headroom;
mod label;
mod topology;
mod utilization;

pub use crate::model::Role;
pub use affinity::{PrefixAffinity, TtftSource};
pub use attribute::{AttributeLimit, OnMissing, Operator};
pub use label::{LabelValues, Requirement, Selector};
pub use topology::TopologyFloor;
pub use utilization::{HeadroomTier, LoadMetric, UtilizationLimits};

use super::{Needs, PickContext, SessionAffinity};
use crate::{model::Rng, pool::Candidate, saturation::Detector, schedule::score::ContextLength};

/// Drops endpoints before any is scored.
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    /// Keeps those with matching labels (EPP: label-selector-filter, by-label-selector).
    LabelSelector(Selector),
    /// Keeps those with one of some values of one label (EPP: by-label).
    ByLabel(LabelValues),
    /// Keeps those of a role in disaggregated serving (EPP: decode-filter, prefill-filter,
    /// encode-filter).
    Role(Role),
    /// Keeps those that hold the prompt.
    PrefixAffinity(PrefixAffinity),
    /// Keeps the session's own, if it is there (EPP: session-affinity-filter).
    SessionAffinity(SessionAffinity),
    /// Keeps those within limits on load.
    Utilization(UtilizationLimits),
    /// Keeps those of which a custom metric is within a limit.
    Attribute(AttributeLimit),
    /// Keeps those that are near the endpoint of the stage before.
    Topology(TopologyFloor),
    /// Keeps those that are predicted to meet the objective.
    HeadroomTier(HeadroomTier),
    /// Keeps those that should be sent more, or all if none should (EPP: utilization-detector and
    /// concurrency-detector, of which the latter would keep none).
    Detector(Detector),
    /// Keeps those for prompts of this length (EPP: context-length-aware, enableFiltering).
    ContextLength(ContextLength),
}

impl Filter {
    /// All plugin types that are filters and nothing else.
    pub const NAMES: &[&str] = &[
        "label-selector-filter",
        "by-label-selector",
        "by-label",
        "decode-filter",
        "prefill-filter",
        "encode-filter",
        "prefix-cache-affinity-filter",
        "session-affinity-filter",
        "utilization-filter",
        "endpoint-attribute-filter",
        "topology-affinity-filter",
        "slo-headroom-tier-filter",
    ];

    /// Returns the filter of that type with its default parameters.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "label-selector-filter" | "by-label-selector" => {
                Self::LabelSelector(Selector::default())
            }
            "by-label" => Self::ByLabel(LabelValues::default()),
            "prefix-cache-affinity-filter" => Self::PrefixAffinity(PrefixAffinity::default()),
            "session-affinity-filter" => Self::SessionAffinity(SessionAffinity::default()),
            "utilization-filter" => Self::Utilization(UtilizationLimits::default()),
            "endpoint-attribute-filter" => Self::Attribute(AttributeLimit::default()),
            "topology-affinity-filter" => Self::Topology(TopologyFloor::default()),
            "slo-headroom-tier-filter" => Self::HeadroomTier(HeadroomTier::default()),
            _ => Self::Role(Role::ALL.into_iter().find(|role| role_filter_name(*role) == name)?),
        })
    }

    /// Returns the plugin type in an EndpointPickerConfig.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::LabelSelector(_) => "label-selector-filter",
            Self::ByLabel(_) => "by-label",
            Self::Role(role) => role_filter_name(*role),
            Self::PrefixAffinity(_) => "prefix-cache-affinity-filter",
            Self::SessionAffinity(_) => "session-affinity-filter",
            Self::Utilization(_) => "utilization-filter",
            Self::Attribute(_) => "endpoint-attribute-filter",
            Self::Topology(_) => "topology-affinity-filter",
            Self::HeadroomTier(_) => "slo-headroom-tier-filter",
            Self::Detector(detector) => detector.name(),
            Self::ContextLength(_) => "context-length-aware",
        }
    }

    /// Returns what the filter reads beside the prompt and the candidates.
    pub(crate) fn needs(&self) -> Needs<'_> {
        match self {
            Self::LabelSelector(_)
            | Self::ByLabel(_)
            | Self::Role(_)
            | Self::Utilization(_)
            | Self::Attribute(_)
            | Self::Topology(_)
            | Self::ContextLength(_) => Needs::NOTHING,
            Self::PrefixAffinity(_) | Self::HeadroomTier(_) => Needs::TOKENS,
            Self::SessionAffinity(session) => Needs::session(session),
            Self::Detector(detector) => {
                Needs { tokens: detector.counts_tokens(), ..Needs::NOTHING }
            }
        }
    }

    /// Drops what it does not keep.
    pub(crate) fn apply(
        &self,
        context: &PickContext<'_>,
        candidates: &mut Vec<Candidate<'_>>,
        rng: &mut Rng,
    ) {
        match self {
            Self::LabelSelector(selector) => candidates.retain(|it| selector.matches(it.member)),
            Self::ByLabel(values) => candidates.retain(|it| values.keeps(it.member)),
            Self::Role(role) => candidates.retain(|it| it.member.roles.contains(*role)),
            Self::PrefixAffinity(affinity) => affinity.apply(context, candidates, rng),
            Self::SessionAffinity(session) => {
                let pinned = session.endpoint(context);
                let is_it = |it: &Candidate<'_>| Some(it.member.address) == pinned;
                if candidates.iter().any(is_it) {
                    candidates.retain(is_it);
                }
            }
            Self::Utilization(limits) => limits.apply(candidates),
            Self::Attribute(limit) => limit.apply(candidates),
            Self::Topology(floor) => floor.apply(context.peer, candidates),
            Self::HeadroomTier(tier) => tier.apply(context, candidates, rng),
            Self::Detector(detector) => headroom::apply(detector, context, candidates),
            Self::ContextLength(length) => {
                candidates.retain(|it| length.keeps(it.member, context.request.tokens()));
            }
        }
    }
}

/// Returns the type of the filter that keeps a role.
const fn role_filter_name(role: Role) -> &'static str {
    match role {
        Role::Encode => "encode-filter",
        Role::Prefill => "prefill-filter",
        Role::Decode => "decode-filter",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{saturation::DetectorKind, schedule::score::Scorer};

    #[test]
    fn names_are_read_as_written() {
        for name in Filter::NAMES {
            let canonical =
                if *name == "by-label-selector" { "label-selector-filter" } else { name };
            assert_eq!(Filter::named(name).map(|filter| filter.name()), Some(canonical));
        }
        assert_eq!(Filter::named("label"), None);
    }

    /// Returns the variant after this one: a new one does not compile until it is in the walk
    /// below.
    fn next(filter: &Filter) -> Option<Filter> {
        Some(match filter {
            Filter::LabelSelector(_) => Filter::ByLabel(LabelValues::default()),
            Filter::ByLabel(_) => Filter::Role(Role::Decode),
            Filter::Role(Role::Decode) => Filter::Role(Role::Prefill),
            Filter::Role(Role::Prefill) => Filter::Role(Role::Encode),
            Filter::Role(Role::Encode) => Filter::PrefixAffinity(PrefixAffinity::default()),
            Filter::PrefixAffinity(_) => Filter::SessionAffinity(SessionAffinity::default()),
            Filter::SessionAffinity(_) => Filter::Utilization(UtilizationLimits::default()),
            Filter::Utilization(_) => Filter::Attribute(AttributeLimit::default()),
            Filter::Attribute(_) => Filter::Topology(TopologyFloor::default()),
            Filter::Topology(_) => Filter::HeadroomTier(HeadroomTier::default()),
            Filter::HeadroomTier(_) => Filter::Detector(Detector::default()),
            Filter::Detector(_) => Filter::ContextLength(ContextLength::default()),
            Filter::ContextLength(_) => return None,
        })
    }

    #[test]
    fn every_filter_has_a_name_that_is_read() {
        let first = Filter::LabelSelector(Selector::default());
        for filter in std::iter::successors(Some(first), next) {
            let name = filter.name();
            // Plugins of two kinds have their name in the other one's list.
            let is_also_other =
                DetectorKind::NAMES.contains(&name) || Scorer::NAMES.contains(&name);
            assert!(Filter::NAMES.contains(&name) || is_also_other, "{name}");
            assert_eq!(Filter::named(name).is_some(), !is_also_other, "{name}");
        }
    }
}
