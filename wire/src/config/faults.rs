//! All that is wrong with a configuration, gathered while it is read on.

use std::{cell::RefCell, fmt};

use super::ConfigError;

/// Faults that are listed of one configuration. A file of another kind could have one for each of its
/// lines, and every line of the log is read by a human.
const FAULTS_MAX: usize = 32;

/// Faults that were found so far. Where a value is faulty, the default is read on with in its place.
#[derive(Debug, Default)]
pub(super) struct Faults(RefCell<Vec<ConfigError>>);

/// Refusal of a configuration: all its faults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedConfig {
    faults: Vec<ConfigError>,
}

impl Faults {
    pub(super) fn add(&self, fault: ConfigError) {
        let mut faults = self.0.borrow_mut();
        // Keys may be read twice, once for each of two that stand for the same.
        if faults.len() < FAULTS_MAX && !fault.is_consequence && !faults.contains(&fault) {
            faults.push(fault);
        }
    }

    /// True if nothing was wrong so far, so that parts can be held against each other.
    pub(super) fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// Returns what was read, unless there were faults.
    pub(super) fn finish<T>(self, read: Result<T, ConfigError>) -> Result<T, RefusedConfig> {
        let read = read.map_err(|fault| self.add(fault));
        match read {
            Ok(read) if self.is_empty() => Ok(read),
            Ok(_) | Err(()) => Err(RefusedConfig { faults: self.0.into_inner() }),
        }
    }
}

impl RefusedConfig {
    /// Refuses bytes that are no JSON, or too many: nothing of them is read.
    pub(super) fn unreadable(fault: ConfigError) -> Self {
        Self { faults: vec![fault] }
    }

    /// Returns the faults, at least one and at most 32, in the order in which they were found.
    #[must_use]
    pub fn faults(&self) -> &[ConfigError] {
        &self.faults
    }
}

impl std::error::Error for RefusedConfig {}

impl fmt::Display for RefusedConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.faults.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{fault}")?;
        }
        Ok(())
    }
}
