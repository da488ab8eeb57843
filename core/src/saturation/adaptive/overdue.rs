//! The requests that wait in an endpoint, by its first tokens alone.

use std::{collections::VecDeque, time::Duration};

use crate::model::{Instant, RequestId};

/// Requests of one worker on one endpoint with a first token to come; more are not followed, and an
/// endpoint with so many is full by those.
const AWAITED_MAX: usize = 1_024;

/// Classes of prompts, by the power of two of their uncached tokens: 8 million tokens are no prompt.
const CLASSES: usize = 24;

/// Patience with a first token, as a multiple of what is expected and beyond it: the jitter of a real
/// engine. Without it, throughput falls by 1 %; with twice the time, interactive requests wait longer.
const PATIENCE: f64 = 1.3;
const JITTER: f64 = 0.01;

/// Part of the difference by which the shortest time of a class rises with each longer one: an engine that
/// became slower is believed to be after some hundred requests, and a queue does not pass for that.
const RISE: f64 = 0.002;

/// Part of a request in the mean of those that told their first token, which the last ten make up.
const TOLD_PART: f64 = 0.1;

/// Share of the requests that must tell their first token: without streams nothing is known of them.
const TOLD_MIN: f64 = 0.5;

/// The first tokens that one worker awaits of one endpoint, and the times that they take at least.
#[derive(Clone, Debug)]
pub struct Overdue {
    /// Requests in the order of sending, with the time at which the first token is overdue.
    awaited: VecDeque<(RequestId, Instant)>,
    /// Seconds to the first token at least, by class; zero where nothing was seen.
    shortest: [f64; CLASSES],
    /// Share of the last requests that showed a first token before their end, 0 to 1.
    told: f64,
}

impl Default for Overdue {
    fn default() -> Self {
        Self { awaited: VecDeque::new(), shortest: [0.0; CLASSES], told: 1.0 }
    }
}

impl Overdue {
    /// Awaits the first token of a request that is sent with so many uncached tokens, behind `ahead` seconds
    /// of other prompts, to an endpoint that computes `rate` tokens a second in steps of `step` seconds.
    pub fn sent(&mut self, request: RequestId, at: Instant, tokens: u32, expected: Expected) {
        if self.awaited.len() >= AWAITED_MAX {
            return;
        }
        let Expected { ahead, rate, step } = expected;
        let known = self.shortest.get(class(tokens)).copied().filter(|known| *known > 0.0);
        let takes = known.unwrap_or_else(|| 2.0 * (f64::from(tokens) / rate + step));
        let seconds = PATIENCE * (ahead + takes + step) + JITTER;
        let patience = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        self.awaited.push_back((request, at + patience));
    }

    /// Learns that the first token of a request came, `took` after it was sent.
    pub fn began(&mut self, request: RequestId, tokens: u32, took: Duration) {
        self.told += (1.0 - self.told) * TOLD_PART;
        self.forget(request);
        let took = took.as_secs_f64();
        if let Some(shortest) = self.shortest.get_mut(class(tokens)) {
            let is_shorter = *shortest <= 0.0 || took < *shortest;
            *shortest = if is_shorter { took } else { *shortest + (took - *shortest) * RISE };
        }
    }

    /// Learns that a request ended. One of which no first token was seen was no stream, or failed.
    pub fn ended(&mut self, request: RequestId) {
        if self.forget(request) {
            self.told -= self.told * TOLD_PART;
        }
    }

    /// Forgets a request; false if it was not awaited.
    fn forget(&mut self, request: RequestId) -> bool {
        let found = self.awaited.iter().position(|(awaited, _)| *awaited == request);
        found.and_then(|index| self.awaited.remove(index)).is_some()
    }

    /// Returns the number of requests with an overdue first token; `None` if first tokens tell nothing here.
    #[must_use]
    pub fn count(&self, now: Instant) -> Option<u32> {
        let overdue = self.awaited.iter().filter(|(_, due)| *due < now).count();
        (self.told >= TOLD_MIN).then_some(u32::try_from(overdue).unwrap_or(u32::MAX))
    }
}

/// The circumstances from which a first token is expected.
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    /// Seconds of prompts that the endpoint has to compute before.
    pub ahead: f64,
    /// Tokens that it computes a second.
    pub rate: f64,
    /// Seconds of a step.
    pub step: f64,
}

fn class(tokens: u32) -> usize {
    usize::try_from(tokens.max(1).ilog2()).unwrap_or(CLASSES).min(CLASSES - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPECTED: Expected = Expected { ahead: 0.0, rate: 10_000.0, step: 0.02 };

    fn at(ms: u64) -> Instant {
        Instant::from_nanos((1_000 + ms) * 1_000_000)
    }

    #[test]
    fn a_first_token_is_overdue_beyond_what_such_prompts_took_at_least() {
        let mut overdue = Overdue::default();
        overdue.sent(RequestId(1), at(0), 1_000, EXPECTED);
        overdue.began(RequestId(1), 1_000, Duration::from_millis(80));
        overdue.sent(RequestId(2), at(100), 1_000, EXPECTED);
        overdue.sent(RequestId(3), at(100), 1_000, Expected { ahead: 0.1, ..EXPECTED });
        let count = |overdue: &Overdue, ms| overdue.count(at(ms)).unwrap();
        assert_eq!([239, 241, 369, 371].map(|ms| count(&overdue, ms)), [0, 1, 1, 2]);
        overdue.ended(RequestId(2));
        assert_eq!(count(&overdue, 241), 0);
    }

    #[test]
    fn answers_that_come_as_a_whole_tell_nothing() {
        let mut overdue = Overdue::default();
        for request in 0..10 {
            overdue.sent(RequestId(request), at(0), 1_000, EXPECTED);
            overdue.ended(RequestId(request));
        }
        overdue.sent(RequestId(99), at(0), 1_000, EXPECTED);
        assert_eq!(overdue.count(at(60_000)), None);
        (0..10).for_each(|_| overdue.began(RequestId(0), 9, Duration::from_millis(9)));
        assert_eq!(overdue.count(at(60_000)), Some(1));
    }

    #[test]
    fn the_awaited_are_bounded() {
        let mut overdue = Overdue::default();
        (0..5_000).for_each(|it| overdue.sent(RequestId(it), at(0), 1, EXPECTED));
        assert_eq!(overdue.count(at(60_000)), Some(1_024));
    }
}
