//! The choice of the worker that fetches the next snapshot, and of the time.
//!
//! In a deployment in which nothing may connect into the gateway, its workers fetch snapshots from
//! the scraper. One worker does it for all, by a lease in shared data. The scraper answers when it
//! has something new, so a worker asks again as soon as it has its answer, and a clock is only
//! needed where that fails.

use std::time::Duration;

use crate::model::{Instant, WorkerId};

/// The first wait after a failure.
const WAIT_MIN: Duration = Duration::from_millis(100);

/// The longest: a scraper that returns is found within this and a tick.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// The time that an answer may take beyond the time-out that Envoy was given. Such an answer is
/// lost with the plugin instance that asked.
const GRACE: Duration = Duration::from_secs(1);

/// An answer without anything new that comes sooner than this was not waited for by its sender: a
/// cache, or a server of another kind. Asking it again at once would never end.
const HELD_MIN: Duration = Duration::from_millis(50);

/// The right to ask, and its end. The default holder while there was no lease yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PullLease {
    /// The worker that has the lease, or had it last.
    pub holder: WorkerId,
    /// Time at which the lease lapses.
    pub until: Instant,
}

/// The part of one worker in fetching.
#[derive(Clone, Debug)]
pub struct Puller {
    me: WorkerId,
    timeout: Duration,
    phase: Phase,
    /// The next wait, if that is how it goes on.
    wait: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Not before then.
    Resting { until: Instant },
    /// An answer is awaited since then.
    Asked { since: Instant },
}

/// The outcome of a request for a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchOutcome {
    /// With a snapshot that was stored.
    Stored,
    /// With nothing new.
    Nothing,
    /// Not as it should.
    Failed,
}

impl Puller {
    /// Makes the part of worker `me`, which gives up on an answer after `timeout`.
    #[must_use]
    pub fn new(me: WorkerId, timeout: Duration) -> Self {
        let phase = Phase::Resting { until: Instant::default() };
        Self { me, timeout, phase, wait: WAIT_MIN }
    }

    /// Gives up on an answer after this time, from the next request on.
    pub fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    /// Returns the lease under which this worker asks now, if it is its turn. The lease lapses soon
    /// after the answer is due, so that another worker takes over from one that is dead.
    #[must_use]
    pub fn turn(&self, now: Instant, lease: PullLease) -> Option<PullLease> {
        let due = match self.phase {
            Phase::Resting { until } => until,
            Phase::Asked { since } => since + self.timeout + GRACE,
        };
        let free = lease.holder == self.me || now >= lease.until;
        let until = now + self.timeout + GRACE;
        (free && now >= due).then_some(PullLease { holder: self.me, until })
    }

    /// Notes that the worker has asked.
    pub fn asked(&mut self, now: Instant) {
        self.phase = Phase::Asked { since: now };
    }

    /// Notes that the worker could not ask, or got its answer.
    pub fn answered(&mut self, now: Instant, answer: FetchOutcome) {
        let held = match self.phase {
            Phase::Asked { since } => now.saturating_since(since) >= HELD_MIN,
            Phase::Resting { .. } => false,
        };
        let again_at_once = match answer {
            FetchOutcome::Stored => true,
            FetchOutcome::Nothing => held,
            FetchOutcome::Failed => false,
        };
        let wait = if again_at_once { Duration::ZERO } else { self.wait };
        self.wait = if again_at_once { WAIT_MIN } else { (self.wait * 2).min(WAIT_MAX) };
        self.phase = Phase::Resting { until: now + wait };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(2);

    fn ms(ms: u64) -> Instant {
        Instant::from_nanos(1_000_000 * (1_000 + ms))
    }

    fn puller(id: u64) -> Puller {
        Puller::new(WorkerId(id), TIMEOUT)
    }

    #[test]
    fn one_asks_and_another_takes_over_when_the_lease_lapses() {
        let mut one = puller(1);
        let other = puller(2);
        let lease = one.turn(ms(0), PullLease::default()).unwrap();
        one.asked(ms(0));
        assert_eq!(one.turn(ms(1), lease), None, "it waits for its answer");
        assert_eq!(other.turn(ms(2_999), lease), None, "the lease holds");
        assert_eq!(other.turn(ms(3_000), lease).unwrap().holder, WorkerId(2));
        assert_eq!(one.turn(ms(3_000), lease).unwrap().holder, WorkerId(1), "its answer is lost");
    }

    #[test]
    fn news_are_asked_for_at_once_and_failures_waited_out() {
        let mut puller = puller(1);
        let mut transcript = String::new();
        let lease = PullLease { holder: WorkerId(1), until: ms(0) };
        let script = [
            (0, 40, FetchOutcome::Stored),
            (40, 540, FetchOutcome::Nothing),
            (540, 541, FetchOutcome::Nothing),
            (641, 700, FetchOutcome::Failed),
            (900, 901, FetchOutcome::Failed),
            (1_301, 1_340, FetchOutcome::Stored),
            (1_340, 1_341, FetchOutcome::Failed),
        ];
        for (asked, answered, answer) in script {
            assert!(puller.turn(ms(asked), lease).is_some(), "at {asked}");
            puller.asked(ms(asked));
            puller.answered(ms(answered), answer);
            let next = (answered..).find(|at| puller.turn(ms(*at), lease).is_some()).unwrap();
            transcript.push_str(&format!("{asked} {answered} {answer:?}: next {next}\n"));
        }
        insta::assert_snapshot!(transcript, @r"
        0 40 Stored: next 40
        40 540 Nothing: next 540
        540 541 Nothing: next 641
        641 700 Failed: next 900
        900 901 Failed: next 1301
        1301 1340 Stored: next 1340
        1340 1341 Failed: next 1441
        ");
    }

    #[test]
    fn the_wait_has_an_end() {
        let mut puller = puller(1);
        (0..100).for_each(|_| puller.answered(ms(0), FetchOutcome::Failed));
        assert!(puller.turn(ms(4_999), PullLease::default()).is_none());
        assert!(puller.turn(ms(5_000), PullLease::default()).is_some());
    }
}
