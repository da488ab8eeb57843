//! Which endpoints a request may go to at all.
//!
//! A filter is a variant of [`Filter`] with the EPP's name for it, a file in `filter/` with what it
//! goes by, and a line in the match that calls it. It keeps the order of those that it keeps.

mod label;

pub use label::{LabelValues, Requirement, Role, Selector};

use crate::{candidate::Candidate, rng::Rng, scene::Scene};

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
}

impl Filter {
    /// The plugin type in an EndpointPickerConfig.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::LabelSelector(_) => "label-selector-filter",
            Self::ByLabel(_) => "by-label",
            Self::Role(role) => role.filter_name(),
        }
    }

    /// Drops what it does not keep.
    pub(crate) fn apply(
        &self,
        _scene: &Scene<'_>,
        candidates: &mut Vec<Candidate<'_>>,
        _rng: &mut Rng,
    ) {
        match self {
            Self::LabelSelector(selector) => {
                candidates.retain(|candidate| selector.matches(candidate.member));
            }
            Self::ByLabel(values) => candidates.retain(|candidate| values.keeps(candidate.member)),
            Self::Role(role) => candidates.retain(|candidate| role.keeps(candidate.member)),
        }
    }
}
