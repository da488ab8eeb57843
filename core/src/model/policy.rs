//! The error that all policies looked up by name share.

use std::{error::Error, fmt};

/// A name that no policy of its kind has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownPolicy {
    /// The kind, such as "fairness policy".
    pub kind: &'static str,
    /// The name that was found.
    pub found: String,
    /// The names that are allowed.
    pub allowed: &'static [&'static str],
}

impl UnknownPolicy {
    pub(crate) fn new(kind: &'static str, found: &str, allowed: &'static [&'static str]) -> Self {
        Self { kind, found: found.to_owned(), allowed }
    }
}

impl fmt::Display for UnknownPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, found, allowed } = self;
        write!(f, "unknown {kind} {found:?}: allowed are {}", allowed.join(", "))
    }
}

impl Error for UnknownPolicy {}
