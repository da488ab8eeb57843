//! The error of a configuration that is refused.

use std::fmt;

/// Error of a configuration that is refused: where, what was found and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Path from the root, as in `plugins[2].type`; empty for the whole.
    pub path: String,
    /// Value that was found there, as far as it helps.
    pub found: Option<String>,
    /// Rule that is broken, and the allowed values unless they are names.
    pub problem: String,
    /// Names that are allowed, where the rule is to be one of them; `None` where it is another.
    pub names: Option<Vec<String>>,
    /// True if another error is the cause, and mending that mends this one.
    pub(super) is_consequence: bool,
}

impl ConfigError {
    pub(super) fn new(path: impl Into<String>, problem: impl Into<String>) -> Self {
        let (path, problem) = (path.into(), problem.into());
        Self { path, found: None, problem, names: None, is_consequence: false }
    }

    /// Marks an error that another one is the cause of.
    pub(super) fn consequence(self) -> Self {
        Self { is_consequence: true, ..self }
    }

    /// Adds the names that are allowed.
    pub(super) fn allowing(self, names: &[&str]) -> Self {
        Self { names: Some(names.iter().map(|name| (*name).to_owned()).collect()), ..self }
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
        write!(f, ": {}", self.problem)?;
        match &self.names {
            None => Ok(()),
            Some(names) if names.is_empty() => write!(f, "; allowed: none"),
            Some(names) => write!(f, "; allowed: {}", names.join(", ")),
        }
    }
}
