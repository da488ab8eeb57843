//! All that is wrong with a configuration, gathered while it is read on.

use std::{cell::RefCell, fmt};

use super::{ConfigError, ConfigNote};

/// Faults that are listed of one configuration. A file of another kind could have one for each of its
/// lines, and every line of the log is read by a human.
const FAULTS_MAX: usize = 32;

/// Notes that are kept of one configuration: one for each of 256 plugins, which a list has at most.
const NOTES_MAX: usize = 256;

/// Faults and notes that were found so far. Where a value is faulty, the default is read on with in its
/// place.
#[derive(Debug, Default)]
pub(super) struct Faults {
    faults: RefCell<Vec<ConfigError>>,
    notes: RefCell<Vec<ConfigNote>>,
}

/// Result of a reading, with notes of what has no effect.
#[derive(Clone, Debug, PartialEq)]
pub struct Noted<T> {
    /// Value that was read, or all faults.
    pub read: Result<T, RefusedConfig>,
    /// Notes, at most 256, in the order in which they were found.
    pub notes: Vec<ConfigNote>,
}

/// Refusal of a configuration: all its faults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedConfig {
    faults: Vec<ConfigError>,
}

impl Faults {
    pub(super) fn add(&self, fault: ConfigError) {
        let mut faults = self.faults.borrow_mut();
        // Keys may be read twice, once for each of two that stand for the same.
        if faults.len() < FAULTS_MAX && !fault.is_consequence && !faults.contains(&fault) {
            faults.push(fault);
        }
    }

    pub(super) fn note(&self, note: ConfigNote) {
        let mut notes = self.notes.borrow_mut();
        if notes.len() < NOTES_MAX && !notes.contains(&note) {
            notes.push(note);
        }
    }

    /// True if nothing was wrong so far, so that parts can be held against each other.
    pub(super) fn is_empty(&self) -> bool {
        self.faults.borrow().is_empty()
    }

    /// Returns what was read, unless there were faults, and the notes.
    pub(super) fn finish<T>(self, read: Result<T, ConfigError>) -> Noted<T> {
        let read = read.map_err(|fault| self.add(fault));
        let is_sound = self.is_empty();
        let Self { faults, notes } = self;
        let read = match read {
            Ok(read) if is_sound => Ok(read),
            Ok(_) | Err(()) => Err(RefusedConfig { faults: faults.into_inner() }),
        };
        Noted { read, notes: notes.into_inner() }
    }
}

/// Puts a fault to the others, or returns it where none are gathered.
pub(super) fn gather(faults: Option<&Faults>, fault: ConfigError) -> Result<(), ConfigError> {
    match faults {
        Some(faults) => {
            faults.add(fault);
            Ok(())
        }
        None => Err(fault),
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
