//! Parts of a configuration that are taken and have no effect.

use std::fmt;

/// Part of a configuration that is taken and has no effect, or another one than it has in the EPP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigNote {
    /// Path from the root, as in `plugins[2].parameters.lruSize`.
    pub path: String,
    /// Value that was found there.
    pub found: String,
    /// Reason, and what happens instead.
    pub why: String,
}

impl fmt::Display for ConfigNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, found, why } = self;
        write!(f, "{path} {found}: {why}")
    }
}
