//! The two classes of clients.

/// A class of clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Priority 100.
    High,
    /// Priority 10.
    Low,
}

impl Class {
    /// All classes, the high one first.
    pub(super) const ALL: [Self; 2] = [Self::High, Self::Low];

    /// Returns the objective's name.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Low => "low",
        }
    }
}
