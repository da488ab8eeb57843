//! Whether a peer (a pod or an Envoy) can be reached, judged from one exchange after another.
//!
//! Pure: outcomes and the time go in, notices come out. A peer that fails thousands of times, or
//! comes and goes as often, has a few lines in the log.

use std::{
    mem,
    time::{Duration, Instant},
};

use crate::fault::Kind;

/// Failures in a row after which a peer counts as down, where one alone proves nothing: a busy
/// engine answers a scrape late, a kept-alive connection is closed under a request. Two could be
/// the same hiccup seen twice.
const FAILURES_MAX: u32 = 3;

/// The first wait before a peer that is down is tried again: one scrape at the usual interval.
const WAIT_MIN: Duration = Duration::from_millis(50);

/// The longest: a peer that returns is seen within this.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// Notices in [`TOLD_WINDOW`], so that a peer that comes and goes, or is in an endless variety of
/// distress, cannot fill the log. One outage has two, and one more for each kind of trouble.
const TOLD_MAX: usize = 8;

/// What is left out is made up for in the next window, if it still holds.
const TOLD_WINDOW: Duration = Duration::from_secs(60);

/// One peer's state.
#[derive(Debug)]
pub(crate) struct Link {
    /// Whether it ever answered.
    reached: bool,
    phase: Phase,
    told: Told,
}

#[derive(Debug)]
enum Phase {
    /// The last exchange went well, or there was none.
    Steady,
    /// It failed lately, not often enough to give up on it.
    Shaky { since: Instant, failures: u32 },
    /// It is down.
    Down { since: Instant, wait: Duration },
}

/// What the log knows.
#[derive(Debug)]
struct Told {
    /// Since when it is down, by the log.
    down: Option<Instant>,
    /// For what reasons.
    kinds: Vec<Kind>,
    /// Since when notices are counted, and how many there were.
    window: Option<Instant>,
    count: usize,
}

/// Something worth a line in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// It answered for the first time.
    Reached,
    /// It went down.
    Down,
    /// It is still down, now for a reason not told of before in this outage.
    Changed,
    /// It answers again, after this long since the first failure.
    Back(Duration),
}

impl Link {
    /// A peer that was never tried, which counts as up.
    pub(crate) const fn new() -> Self {
        let told = Told { down: None, kinds: Vec::new(), window: None, count: 0 };
        Self { reached: false, phase: Phase::Steady, told }
    }

    /// An exchange went well at `now`.
    pub(crate) fn succeeded(&mut self, now: Instant) -> Option<Notice> {
        let first = !mem::replace(&mut self.reached, true);
        self.phase = Phase::Steady;
        match self.told.down {
            None => first.then_some(Notice::Reached),
            Some(since) => self.told.may(now).then(|| {
                self.told.down = None;
                Notice::Back(now.saturating_duration_since(since))
            }),
        }
    }

    /// An exchange failed at `now`.
    pub(crate) fn failed(&mut self, now: Instant, kind: Kind) -> Option<Notice> {
        let (since, failures) = match &mut self.phase {
            Phase::Down { since, wait } => {
                *wait = (*wait * 2).min(WAIT_MAX);
                let since = *since;
                return self.told.down(now, since, kind);
            }
            Phase::Steady => (now, 1),
            Phase::Shaky { since, failures } => (*since, *failures + 1),
        };
        if kind.is_certain() || failures >= FAILURES_MAX {
            self.phase = Phase::Down { since, wait: WAIT_MIN };
            return self.told.down(now, since, kind);
        }
        self.phase = Phase::Shaky { since, failures };
        None
    }

    /// Whether it is down.
    pub(crate) fn is_down(&self) -> bool {
        matches!(self.phase, Phase::Down { .. })
    }

    /// How long after the start of the last attempt the next may start; zero unless it is down.
    pub(crate) fn wait(&self) -> Duration {
        match self.phase {
            Phase::Steady | Phase::Shaky { .. } => Duration::ZERO,
            Phase::Down { wait, .. } => wait,
        }
    }
}

impl Told {
    /// It is down since `since`, and failed once more.
    fn down(&mut self, now: Instant, since: Instant, kind: Kind) -> Option<Notice> {
        if self.down.is_some() && (self.kinds.contains(&kind) || self.kinds.len() >= TOLD_MAX)
            || !self.may(now)
        {
            return None;
        }
        if self.down.is_some() {
            self.kinds.push(kind);
            return Some(Notice::Changed);
        }
        (self.down, self.kinds) = (Some(since), vec![kind]);
        Some(Notice::Down)
    }

    /// Whether one more notice may be told, which counts as told.
    fn may(&mut self, now: Instant) -> bool {
        let began = self.window.filter(|at| now.saturating_duration_since(*at) < TOLD_WINDOW);
        if began.is_none() {
            (self.window, self.count) = (Some(now), 0);
        }
        self.count += 1;
        self.count <= TOLD_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One line of script is `<ms> ok` or `<ms> <kind>`; a line is told if it brought a notice.
    fn tell_story(script: &str) -> String {
        let start = Instant::now();
        let mut link = Link::new();
        let mut transcript = String::new();
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (ms, verb) = line.split_once(' ').unwrap();
            let now = start + Duration::from_millis(ms.parse().unwrap());
            let notice = match verb {
                "ok" => link.succeeded(now),
                "refused" => link.failed(now, Kind::Refused),
                "timeout" => link.failed(now, Kind::TimedOut),
                status => link.failed(now, Kind::Status(status.parse().unwrap())),
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

    fn any_kind(u: &mut arbtest::arbitrary::Unstructured<'_>) -> arbtest::arbitrary::Result<Kind> {
        Ok(match u.int_in_range(0..=5)? {
            0 => Kind::Refused,
            1 => Kind::TimedOut,
            2 => Kind::Broken,
            3 => Kind::Garbage,
            4 => Kind::TooLarge,
            _ => Kind::Status(u.int_in_range(400..=599)?),
        })
    }

    /// No flood: whatever a peer does, the log has few lines; down and back alternate in it, within
    /// an outage no trouble is told of twice, and what it says last is so a minute later.
    #[test]
    fn a_peer_that_comes_and_goes_does_not_fill_the_log() {
        arbtest::arbtest(|u| {
            let (mut link, start) = (Link::new(), Instant::now());
            let (mut now, mut down, mut told, mut lines) = (start, false, Vec::new(), 0);
            while !u.is_empty() {
                now += Duration::from_millis(u.int_in_range(0..=2_000)?);
                let kind = any_kind(u)?;
                let notice =
                    if u.ratio(1, 3)? { link.succeeded(now) } else { link.failed(now, kind) };
                match notice {
                    Some(Notice::Down) => {
                        assert!(!mem::replace(&mut down, true) && link.is_down());
                        told = vec![kind];
                    }
                    Some(Notice::Changed) => {
                        assert!(down && !told.contains(&kind));
                        told.push(kind);
                    }
                    Some(Notice::Back(_)) => assert!(mem::take(&mut down) && !link.is_down()),
                    Some(Notice::Reached) => assert!(!down),
                    None => continue,
                }
                lines += usize::from(notice != Some(Notice::Reached));
                let windows = (now - start).as_millis() / TOLD_WINDOW.as_millis();
                assert!(lines <= TOLD_MAX * (usize::try_from(windows).unwrap() + 1), "{lines}");
            }
            now += TOLD_WINDOW;
            let notice = match link.is_down() {
                true => link.failed(now, Kind::Refused),
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
            let (mut link, start, mut before) = (Link::new(), Instant::now(), Duration::ZERO);
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
