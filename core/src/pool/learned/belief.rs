//! A yes-or-no belief that answers vote on.

use std::time::Duration;

use crate::model::Instant;

/// A belief, and the votes of the latest answers for and against it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Belief {
    is: bool,
    yes: f64,
    no: f64,
    /// Time of the last change; zero for none.
    changed: Instant,
}

impl Belief {
    /// Share that a vote leaves of those before: the last sixteen make up two thirds.
    const MEMORY: f64 = 0.9375;

    /// Weight of the votes that change a belief: eight in a row.
    const VOTES_MIN: f64 = 6.0;

    /// Votes against the belief for each one for it, at the least. Votes that are as often wrong as right
    /// change nothing, however many come.
    const MAJORITY: f64 = 5.0;

    /// Shortest time between two changes. With each, prompts lose the prefixes that they were known by.
    const PAUSE: Duration = Duration::from_secs(60);

    /// Returns what is believed.
    pub(crate) fn is(&self) -> bool {
        self.is
    }

    /// Takes a vote in, and changes the belief if most of the latest are against it.
    pub(crate) fn vote(&mut self, yes: bool, now: Instant) {
        self.yes *= Self::MEMORY;
        self.no *= Self::MEMORY;
        *(if yes { &mut self.yes } else { &mut self.no }) += 1.0;
        let (own, other) = if self.is { (self.yes, self.no) } else { (self.no, self.yes) };
        let is_young =
            self.changed != Instant::default() && now.saturating_since(self.changed) < Self::PAUSE;
        if other >= Self::VOTES_MIN && other >= Self::MAJORITY * own && !is_young {
            *self = Self { is: yes, changed: now, ..Self::default() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(1) + Duration::from_secs(seconds)
    }

    /// Returns the belief after each vote, a second apart: `+` for and `-` against.
    fn story(votes: &str) -> String {
        let mut belief = Belief::default();
        let seen = (0..).zip(votes.chars()).map(|(second, vote)| {
            belief.vote(vote == '+', at(second));
            if belief.is() { '+' } else { '-' }
        });
        seen.collect()
    }

    #[test]
    fn eight_votes_in_a_row_change_a_belief() {
        assert_eq!(story("+++++++"), "-------");
        assert_eq!(story("++++++++-"), "-------++");
        assert_eq!(story("-++++-++++-++++"), "---------------", "five to one is not reached");
    }

    #[test]
    fn votes_that_contradict_each_other_change_nothing() {
        for pattern in ["+-", "++-", "+++-"] {
            assert!(!story(&pattern.repeat(200)).contains('+'), "{pattern}");
        }
    }

    #[test]
    fn a_belief_stays_for_a_minute() {
        let votes = ["+".repeat(8), "-".repeat(70)].concat();
        let seen = story(&votes);
        assert_eq!(seen.matches('+').count(), 60, "{seen}");
        assert!(seen.ends_with('-'), "{seen}");
    }
}
