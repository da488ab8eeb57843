//! The last decisions of a VM in one pool, some of them, for the scraper's status page.

use std::{collections::VecDeque, time::Duration};

use picker_core::Instant;
use wire::decisions::{NOTED_MAX, NotedDecision};

/// Time between two decisions that are noted: a page of 100 shows the last seconds, and a note of 380 bytes
/// costs as much as a decision header.
const NOTE_EVERY: Duration = Duration::from_millis(250);

/// The last decisions that were noted.
#[derive(Debug, Default)]
pub(crate) struct DecisionNotes {
    /// The newest last.
    kept: VecDeque<NotedDecision>,
    /// Number of those that were ever noted.
    noted: u64,
}

impl DecisionNotes {
    /// Notes the decision of a request that is over, if none was noted lately.
    pub(crate) fn note(&mut self, ended_at: Instant, text: impl FnOnce() -> String) {
        let last = self.kept.back().map(|last| last.ended_at);
        if last.is_some_and(|last| ended_at.saturating_since(last) < NOTE_EVERY) {
            return;
        }
        if self.kept.len() >= NOTED_MAX {
            self.kept.pop_front();
        }
        self.noted += 1;
        self.kept.push_back(NotedDecision { number: self.noted, ended_at, text: text() });
    }

    /// Returns the decisions, the newest last.
    pub(crate) fn list(&self) -> Vec<NotedDecision> {
        self.kept.iter().cloned().collect()
    }
}
