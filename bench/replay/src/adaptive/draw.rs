//! Requests, drawn by a scenario's ranges.

use std::time::Duration;

use super::scenario::{GateScenario, Kind, Range};

/// A request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drawn {
    pub(super) is_interactive: bool,
    /// Tokens of the prompt.
    pub(super) prompt: usize,
    /// Tokens of the answer.
    pub(super) answer: usize,
}

/// The dice of a run.
#[derive(Debug)]
pub(super) struct Dice(fastrand::Rng);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    /// Returns a share, 0 to 1.
    pub(super) fn share(&mut self) -> f64 {
        self.0.f64()
    }

    pub(super) fn below(&mut self, limit: usize) -> usize {
        self.0.usize(..limit.max(1))
    }

    pub(super) fn seed(&mut self) -> u64 {
        self.0.u64(..)
    }

    /// Returns the time to the next of events that come by chance, so many a second.
    pub(super) fn pause(&mut self, rate: f64) -> Duration {
        let mean = 1.0 / rate.max(1e-3);
        Duration::from_secs_f64((-(1.0 - self.share()).ln() * mean).min(5.0))
    }

    /// Returns a time within a range.
    pub(super) fn between(&mut self, (from, until): (Duration, Duration)) -> Duration {
        from + (until - from).mul_f64(self.share())
    }

    fn tokens(&mut self, Range(from, until): Range) -> usize {
        let log = from.ln() + (until.ln() - from.ln()) * self.share();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "within the ranges of the scenarios"
        )]
        let tokens = log.exp() as usize;
        tokens.max(1)
    }

    /// Draws a request: one in five is interactive.
    pub(super) fn request(&mut self, scenario: &GateScenario) -> Drawn {
        let is_interactive = self.share() < 0.2;
        let is_giant = self.share() < scenario.giants && !is_interactive;
        let kind = if is_interactive { scenario.interactive } else { scenario.batch };
        let drawn = self.of_kind(kind, is_interactive);
        if is_giant { Drawn { prompt: 200_000, ..drawn } } else { drawn }
    }

    /// Draws an interactive request.
    pub(super) fn interactive(&mut self, scenario: &GateScenario) -> Drawn {
        self.of_kind(scenario.interactive, true)
    }

    fn of_kind(&mut self, kind: Kind, is_interactive: bool) -> Drawn {
        let Kind { prompt, answer } = kind;
        Drawn { is_interactive, prompt: self.tokens(prompt), answer: self.tokens(answer) }
    }
}
