//! Which endpoints a request may go to at all.
//!
//! A filter is a variant of [`Filter`] with the EPP's name for it, a file in `filter/` with what it
//! goes by, and a line in the match that calls it. It keeps the order of those that it keeps.

mod affinity;
mod attribute;
mod label;
mod topology;
mod utilization;

pub use crate::model::Role;
pub use affinity::{PrefixAffinity, TtftSource};
pub use attribute::{AttributeLimit, OnMissing, Operator};
pub use label::{LabelValues, Requirement, Selector};
pub use topology::TopologyFloor;
pub use utilization::{HeadroomTier, LoadMetric, UtilizationLimits};

use super::PickContext;
use crate::{
    model::Rng,
    pool::Candidate,
    saturation::Detector,
    schedule::score::{ContextLength, SessionAffinity},
};

/// Drops endpoints before any is scored.
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    /// Keeps those whose labels match (EPP: label-selector-filter, by-label-selector).
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

    /// The filter of that type with its default parameters.
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

    /// The plugin type in an EndpointPickerConfig.
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

    /// Whether it goes by the prompt tokens in flight.
    pub(crate) fn counts_tokens(&self) -> bool {
        let Self::Detector(detector) = self else {
            return matches!(self, Self::PrefixAffinity(_) | Self::HeadroomTier(_));
        };
        detector.counts_tokens()
    }

    /// The sessions that it keeps, if it keeps any.
    pub(crate) const fn session(&self) -> Option<&SessionAffinity> {
        if let Self::SessionAffinity(session) = self { Some(session) } else { None }
    }

    /// Drops what it does not keep.
    pub(crate) fn apply(
        &self,
        scene: &PickContext<'_>,
        candidates: &mut Vec<Candidate<'_>>,
        rng: &mut Rng,
    ) {
        match self {
            Self::LabelSelector(selector) => candidates.retain(|it| selector.matches(it.member)),
            Self::ByLabel(values) => candidates.retain(|it| values.keeps(it.member)),
            Self::Role(role) => candidates.retain(|it| it.member.roles.contains(*role)),
            Self::PrefixAffinity(affinity) => affinity.apply(scene, candidates, rng),
            Self::SessionAffinity(session) => {
                let pinned = session.endpoint(scene);
                let is_it = |it: &Candidate<'_>| Some(it.member.address) == pinned;
                if candidates.iter().any(is_it) {
                    candidates.retain(is_it);
                }
            }
            Self::Utilization(limits) => limits.apply(candidates),
            Self::Attribute(limit) => limit.apply(candidates),
            Self::Topology(floor) => floor.apply(scene.peer, candidates),
            Self::HeadroomTier(tier) => tier.apply(scene, candidates, rng),
            Self::Detector(detector) => {
                let has_room = |it: &Candidate<'_>| {
                    detector.has_headroom(&it.load(scene.now, scene.quiet_for))
                };
                if candidates.iter().any(has_room) {
                    candidates.retain(has_room);
                }
            }
            Self::ContextLength(length) => {
                candidates.retain(|it| length.keeps(it.member, scene.ask.tokens()));
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

    #[test]
    fn names_are_read_as_written() {
        for name in Filter::NAMES {
            let canonical =
                if *name == "by-label-selector" { "label-selector-filter" } else { name };
            assert_eq!(Filter::named(name).map(|filter| filter.name()), Some(canonical));
        }
        assert_eq!(Filter::named("label"), None);
    }
}
