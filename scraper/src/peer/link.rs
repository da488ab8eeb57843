//! The link to a peer (a pod or an Envoy), judged from one exchange after another: up or down?
//!
//! Pure: outcomes and the time go in, notices come out. A peer that fails thousands of times, or
//! comes and goes as often, has a few lines in the log.

use std::{
    mem,
    time::{Duration, Instant},
};

use super::fault::FaultKind;

/// Failures in a row after which a peer counts as down, where one alone proves nothing: a busy
/// engine answers a scrape late, a kept-alive connection is closed under a request. Two could be
/// the same hiccup seen twice.
const FAILURES_MAX: u32 = 3;

/// The first wait before a peer that is down is tried again: one scrape at the usual interval.
const WAIT_MIN: Duration = Duration::from_millis(50);

/// The longest wait: a peer that returns is seen within this time.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// Notices in [`NOTICES_WINDOW`], so that a peer that comes and goes, or is in an endless variety
/// of distress, cannot fill the log. One outage has two, and one more for each kind of trouble.
const NOTICES_MAX: usize = 8;

/// Time in which notices are counted. A notice left out is made up for in the next window, if it
/// still holds.
const NOTICES_WINDOW: Duration = Duration::from_secs(60);

/// The state of one peer.
#[derive(Debug)]
pub(crate) struct Link {
    /// True if the peer ever answered.
    reached: bool,
    phase: Phase,
    log: LogThrottle,
}

#[derive(Debug)]
enum Phase {
    /// The last exchange went well, or there was none.
    Steady,
    /// The last exchanges failed, not often enough to give up on the peer.
    Shaky { since: Instant, failures: u32 },
    /// The peer is down.
    Down { since: Instant, wait: Duration },
}

/// The log's knowledge of a peer, which keeps the log from repeating itself.
#[derive(Debug)]
struct LogThrottle {
    /// Time since when the peer is down, according to the log.
    down: Option<Instant>,
    /// Reasons of this outage that were logged.
    kinds: Vec<FaultKind>,
    /// Start of the window in which notices are counted.
    window: Option<Instant>,
    /// Number of notices in the window.
    count: usize,
}

/// An event that is worth a line in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// The peer answered for the first time.
    Reached,
    /// The peer went down.
    Down,
    /// The peer is still down, now for a reason not logged before in this outage.
    Changed,
    /// The peer answers again, after this long since the first failure.
    Back(Duration),
}

impl Link {
    /// Creates the link to a peer that was never tried, which counts as up.
    pub(crate) const fn new() -> Self {
        let log = LogThrottle { down: None, kinds: Vec::new(), window: None, count: 0 };
        Self { reached: false, phase: Phase::Steady, log }
    }

    /// Records an exchange that went well at `now`.
    pub(crate) fn succeeded(&mut self, now: Instant) -> Option<Notice> {
        let first = !mem::replace(&mut self.reached, true);
        self.phase = Phase::Steady;
        match self.log.down {
            None => first.then_some(Notice::Reached),
            Some(since) => self.log.may_write(now).then(|| {
                self.log.down = None;
                Notice::Back(now.saturating_duration_since(since))
            }),
        }
    }

    /// Records an exchange that failed at `now`.
    pub(crate) fn failed(&mut self, now: Instant, kind: FaultKind) -> Option<Notice> {
        let (since, failures) = match &mut self.phase {
            Phase::Down { since, wait } => {
                *wait = (*wait * 2).min(WAIT_MAX);
                let since = *since;
                return self.log.down(now, since, kind);
            }
            Phase::Steady => (now, 1),
            Phase::Shaky { since, failures } => (*since, *failures + 1),
        };
        if kind.is_certain() || failures >= FAILURES_MAX {
            self.phase = Phase::Down { since, wait: WAIT_MIN };
            return self.log.down(now, since, kind);
        }
        self.phase = Phase::Shaky { since, failures };
        None
    }

    /// True if the peer is down.
    pub(crate) fn is_down(&self) -> bool {
        matches!(self.phase, Phase::Down { .. })
    }

    /// Returns the time from the start of the last attempt to that of the next; zero unless the
    /// peer is down.
    pub(crate) fn wait(&self) -> Duration {
        match self.phase {
            Phase::Steady | Phase::Shaky { .. } => Duration::ZERO,
            Phase::Down { wait, .. } => wait,
        }
    }
}

impl LogThrottle {
    /// Records one more failure of a peer that is down since `since`.
    fn down(&mut self, now: Instant, since: Instant, kind: FaultKind) -> Option<Notice> {
        // The kinds are looked at first: a notice that is withheld anyway must not use up the
        // window.
        let is_known = self.kinds.contains(&kind) || self.kinds.len() >= NOTICES_MAX;
        if (self.down.is_some() && is_known) || !self.may_write(now) {
            return None;
        }
        if self.down.is_some() {
            self.kinds.push(kind);
            return Some(Notice::Changed);
        }
        self.down = Some(since);
        self.kinds = vec![kind];
        Some(Notice::Down)
    }

    /// True if one more notice may be written, which then counts as written.
    fn may_write(&mut self, now: Instant) -> bool {
        let began = self.window.filter(|at| now.saturating_duration_since(*at) < NOTICES_WINDOW);
        if began.is_none() {
            self.window = Some(now);
            self.count = 0;
        }
        self.count += 1;
        self.count <= NOTICES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a script with lines `<ms> ok` or `<ms> <kind>`, and returns the notice of each line.
    fn tell_story(script: &str) -> String {
        let start = Instant::now();
        let mut link = Link::new();
        let mut transcript = String::new();
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (ms, verb) = line.split_once(' ').unwrap();
            let now = start + Duration::from_millis(ms.parse().unwrap());
            let notice = match verb {
                "ok" => link.succeeded(now),
                "refused" => link.failed(now, FaultKind::Refused),
                "timeout" => link.failed(now, FaultKind::TimedOut),
                status => link.failed(now, FaultKind::Status(status.parse().unwrap())),
            };
            transcript.push_str(&format!("{line} => {notice:?}, wait {:?}\n", link.wait()));
        }
        transcript
    }

    #[test]
    fn a_refused_connection_is_down_at_once() {
        insta::assert_snapshot!(tell_story("
            0 ok
            50 ok
            100 refused
            150 refused
            250 refused
            450 refused
            900 ok
            950 ok
        "), @"
        0 ok => Some(Reached), wait 0ns
        50 ok => None, wait 0ns
        100 refused => Some(Down), wait 50ms
        150 refused => None, wait 100ms
        250 refused => None, wait 200ms
        450 refused => None, wait 400ms
        900 ok => Some(Back(800ms)), wait 0ns
        950 ok => None, wait 0ns
        ");
    }

    #[test]
    fn a_late_answer_proves_nothing_until_the_third() {
        insta::assert_snapshot!(tell_story("
            0 timeout
            50 timeout
            100 ok
            150 timeout
            200 500
            250 timeout
            300 timeout
            350 500
            400 401
            450 ok
        "), @"
        0 timeout => None, wait 0ns
        50 timeout => None, wait 0ns
        100 ok => Some(Reached), wait 0ns
        150 timeout => None, wait 0ns
        200 500 => None, wait 0ns
        250 timeout => Some(Down), wait 50ms
        300 timeout => None, wait 100ms
        350 500 => Some(Changed), wait 200ms
        400 401 => Some(Changed), wait 400ms
        450 ok => Some(Back(300ms)), wait 0ns
        ");
    }

    fn any_kind(
        u: &mut arbtest::arbitrary::Unstructured<'_>,
    ) -> arbtest::arbitrary::Result<FaultKind> {
        Ok(match u.int_in_range(0..=5)? {
            0 => FaultKind::Refused,
            1 => FaultKind::TimedOut,
            2 => FaultKind::Broken,
            3 => FaultKind::Garbage,
            4 => FaultKind::TooLarge,
            _ => FaultKind::Status(u.int_in_range(400..=599)?),
        })
    }

    /// No flood: whatever a peer does, the log has few lines; down and back alternate in it, within
    /// an outage no trouble is told of twice, and what it says last is so a minute later.
    #[test]
    fn a_peer_that_comes_and_goes_does_not_fill_the_log() {
        arbtest::arbtest(|u| {
            let start = Instant::now();
            let mut link = Link::new();
            let mut now = start;
            let mut down = false;
            let mut logged = Vec::new();
            let mut lines = 0;
            while !u.is_empty() {
                now += Duration::from_millis(u.int_in_range(0..=2_000)?);
                let kind = any_kind(u)?;
                let notice =
                    if u.ratio(1, 3)? { link.succeeded(now) } else { link.failed(now, kind) };
                match notice {
                    Some(Notice::Down) => {
                        assert!(!mem::replace(&mut down, true) && link.is_down());
                        logged = vec![kind];
                    }
                    Some(Notice::Changed) => {
                        assert!(down && !logged.contains(&kind));
                        logged.push(kind);
                    }
                    Some(Notice::Back(_)) => assert!(mem::take(&mut down) && !link.is_down()),
                    Some(Notice::Reached) => assert!(!down),
                    None => continue,
                }
                lines += usize::from(notice != Some(Notice::Reached));
                let windows = (now - start).as_millis() / NOTICES_WINDOW.as_millis();
                assert!(lines <= NOTICES_MAX * (usize::try_from(windows).unwrap() + 1), "{lines}");
            }
            now += NOTICES_WINDOW;
            let notice = match link.is_down() {
                true => link.failed(now, FaultKind::Refused),
                false => link.succeeded(now),
            };
            match notice {
                Some(Notice::Down) => assert!(!down),
                Some(Notice::Back(_)) => assert!(down),
                Some(Notice::Changed | Notice::Reached) | None => assert_eq!(down, link.is_down()),
            }
            Ok(())
        });
    }

    /// A returning peer is seen within [`WAIT_MAX`]; one that is up is never made to wait; the
    /// waits of one outage never shrink.
    #[test]
    fn the_wait_is_bounded_and_only_grows_while_down() {
        arbtest::arbtest(|u| {
            let start = Instant::now();
            let mut link = Link::new();
            let mut before = Duration::ZERO;
            while !u.is_empty() {
                if u.ratio(1, 8)? {
                    link.succeeded(start);
                    before = Duration::ZERO;
                } else {
                    link.failed(start, any_kind(u)?);
                }
                assert_eq!(link.is_down(), link.wait() > Duration::ZERO);
                assert!(link.wait() >= before && link.wait() <= WAIT_MAX);
                before = link.wait();
            }
            Ok(())
        });
    }
}
