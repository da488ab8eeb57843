//! The tenant and the flow that a request belongs to.

use std::fmt;

use crate::model::Priority;

/// Names a tenant (`x-llm-d-inference-fairness-id`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FairnessId(String);

/// A tenant's requests of one priority: the unit of fairness.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowKey {
    /// The tenant.
    pub id: FairnessId,
    /// The priority of the request's objective.
    pub priority: Priority,
}

impl FairnessId {
    /// The id comes from a header: what thousands of flows keep of it must have a limit, and no
    /// UUID, e-mail address or host name is longer.
    pub const LEN_MAX: usize = 256;

    /// Returns the tenant of that name. Ids that agree on their first 256 bytes are one tenant.
    #[must_use]
    pub fn new(id: &str) -> Self {
        Self(id.get(..id.floor_char_boundary(Self::LEN_MAX)).unwrap_or(id).to_owned())
    }

    /// Returns the id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the tenant under which metrics add up the flows that get no label of their own (EPP:
    /// "other").
    pub(super) fn other() -> Self {
        Self("other".to_owned())
    }
}

impl Default for FairnessId {
    /// Returns the tenant of requests that name none (EPP: `default-flow`).
    fn default() -> Self {
        Self("default-flow".to_owned())
    }
}

impl fmt::Display for FairnessId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_id_is_cut_between_characters() {
        let id = FairnessId::new(&"é".repeat(200));
        assert_eq!(id.as_str(), "é".repeat(128));
        let odd = FairnessId::new(&format!("x{}", "é".repeat(200)));
        assert_eq!(odd.as_str().len(), 255);
    }
}
