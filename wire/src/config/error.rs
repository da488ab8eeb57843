//! The error of a configuration that is refused.

use std::fmt;

/// Error of a configuration that is refused: where, what was found and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Path from the root, as in `plugins[2].type`; empty for the whole.
    pub path: String,
    /// Value that was found there, as far as it helps.
    pub found: Option<String>,
    /// Rule that is broken, and the allowed values.
    pub problem: String,
}

impl ConfigError {
    pub(super) fn new(path: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { path: path.into(), found: None, problem: problem.into() }
    }

    /// Adds the value that was found.
    pub(super) fn having(self, found: impl Into<String>) -> Self {
        Self { found: Some(found.into()), ..self }
    }
}

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.is_empty() { "configuration" } else { &self.path };
        write!(f, "invalid {path}")?;
        if let Some(found) = &self.found {
            write!(f, " {found}")?;
        }
        write!(f, ": {}", self.problem)
    }
}
