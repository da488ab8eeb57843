//! Objectives: what a request is for, by name, and how much it matters.

use std::fmt;

/// The most objectives that a snapshot brings. A pool has some ten; the names of 1,024 stay within
/// 260 kB, which every worker keeps.
pub const OBJECTIVES_MAX: usize = 1_024;

/// A name that requests give themselves, and what it is worth (EPP: InferenceObjective).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Objective {
    /// The name in the request's header.
    pub name: String,
    /// Priority of its requests.
    pub priority: Priority,
}

/// The weight of a request: higher goes first, below zero may be shed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Priority(pub i32);

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
