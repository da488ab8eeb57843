//! Some decisions of a gateway's workers, in the words of the decision header, on their way to the scraper's
//! status page: from a worker into its head in shared data, and from there into the reply to a push.

use std::time::Duration;

use picker_core::Instant;
use serde::{Deserialize, Serialize};

use crate::names::clip;

/// Decisions that a worker keeps: those of the last two seconds, at four a second, of which a reply is made
/// every half second.
pub const NOTED_MAX: usize = 8;

/// Decisions in one reply: more than 100 a second scroll by too fast. With [`TEXT_BYTES_MAX`] they
/// take 48 kB at most, and usually 25 kB.
pub const TOLD_MAX: usize = 64;

/// Bytes of one decision's text. A usual one has 380.
pub const TEXT_BYTES_MAX: usize = 768;

/// Decision that a worker remembers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotedDecision {
    /// Place among all that the worker has noted, from 1.
    pub number: u64,
    /// Time when the request was over.
    pub ended_at: Instant,
    /// Names and values, `endpoint=…;score=…;…`. At most [`TEXT_BYTES_MAX`] bytes.
    pub text: String,
}

/// Decision that the scraper is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToldDecision {
    /// Epoch of the worker's counts.
    pub worker: u64,
    /// Place among all that the worker has noted.
    pub number: u64,
    /// Time since the request was over.
    pub age: Duration,
    /// Names and values.
    pub text: String,
}

/// Layout of a [`NotedDecision`].
#[derive(Serialize, Deserialize)]
pub(crate) struct NotedRecord<'a> {
    number: u64,
    ended_at: u64,
    text: &'a str,
}

/// Layout of a [`ToldDecision`], with its age in milliseconds.
#[derive(Serialize, Deserialize)]
pub(crate) struct ToldRecord<'a> {
    worker: u64,
    number: u64,
    age_ms: u64,
    text: &'a str,
}

impl<'a> NotedRecord<'a> {
    pub(crate) fn from_decision(decision: &'a NotedDecision) -> Self {
        let NotedDecision { number, ended_at, text } = decision;
        Self { number: *number, ended_at: ended_at.as_nanos(), text: clip(text, TEXT_BYTES_MAX) }
    }

    pub(crate) fn into_decision(self) -> NotedDecision {
        let Self { number, ended_at, text } = self;
        let (ended_at, text) =
            (Instant::from_nanos(ended_at), clip(text, TEXT_BYTES_MAX).to_owned());
        NotedDecision { number, ended_at, text }
    }
}

impl<'a> ToldRecord<'a> {
    pub(crate) fn from_decision(decision: &'a ToldDecision) -> Self {
        let ToldDecision { worker, number, age, text } = decision;
        let age_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        Self { worker: *worker, number: *number, age_ms, text: clip(text, TEXT_BYTES_MAX) }
    }

    pub(crate) fn into_decision(self) -> ToldDecision {
        let Self { worker, number, age_ms, text } = self;
        let (age, text) = (Duration::from_millis(age_ms), clip(text, TEXT_BYTES_MAX).to_owned());
        ToldDecision { worker, number, age, text }
    }
}

/// Returns the newest of some decisions, as many as are told.
#[must_use]
pub fn newest(mut all: Vec<ToldDecision>) -> Vec<ToldDecision> {
    all.sort_by_key(|it| it.age);
    all.truncate(TOLD_MAX);
    all
}
