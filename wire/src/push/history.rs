//! The pushes that a gateway has taken, by which it knows a new one from a recorded one.
//!
//! Two machines compare their wall clocks, and either may be set at any moment. Therefore a gateway
//! that has taken one push of a scraper process measures the next ones by uptimes: how much later
//! one comes than the earliest did. The wall clock is needed for the first push of a process, and
//! serves as well afterwards.

use picker_core::Instant;

use super::{CLOCK_SKEW_MAX_MS, Refused, Stamp};

/// Scraper processes that are remembered, the latest ones: several scrapers, each with some restarts
/// within the time that a recorded push is good for.
const STARTS_MAX: usize = 16;

/// Uptime by which the clocks of two machines drift apart at most, as its part: 200 millionths.
const DRIFT: u64 = 5_000;

/// The clocks of a gateway at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Clocks {
    /// Unix milliseconds by the wall clock, which may be set.
    pub wall_ms: u64,
    /// Time by the clock that is never set.
    pub steady: Instant,
}

/// The pushes of one pool that were taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PushHistory {
    /// Stamp of the last one.
    pub last: Option<Stamp>,
    /// Processes that they came from, the one of the last push at the end.
    pub starts: Vec<KnownStart>,
}

/// A scraper process of which a push was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownStart {
    /// Name of the process.
    pub start: u32,
    /// Uptime of its last push, in milliseconds.
    pub uptime_ms: u64,
    /// Steady time, in milliseconds, at which a push of that uptime comes that is not delayed.
    pub due_ms: u64,
}

impl PushHistory {
    /// Checks that a push is not recorded: it comes in time, and after those that were taken. Returns the
    /// history with it.
    ///
    /// # Errors
    /// [`Refused::Clock`] for one that is too far off, [`Refused::Replayed`] for one that is not newer.
    pub fn take(&self, now: Clocks, stamp: Stamp) -> Result<Self, Refused> {
        let known = stamp.start().and_then(|start| self.find(start)).copied();
        let late = known.map(|known| known.delay_ms(now.steady, stamp));
        let is_in_time = is_near(now.wall_ms, stamp.time_ms)
            || late.is_some_and(|late| late <= CLOCK_SKEW_MAX_MS);
        let replayed = |last| Err(Refused::Replayed { stamp, last });
        if let (Some(known), Some(last)) = (known, self.last)
            && stamp.uptime_ms() <= known.uptime_ms
        {
            return replayed(last);
        }
        if !is_in_time {
            return Err(Refused::Clock { now_ms: now.wall_ms, stamp });
        }
        match self.last {
            Some(last) if !self.follows(now, stamp, last) => replayed(last),
            Some(_) | None => Ok(self.with(now, stamp, known)),
        }
    }

    /// True if a push goes on after the last one. Of one process that is so by its uptime; another one's
    /// has a later time, unless the last one is in the future: then the clocks were set back since.
    fn follows(&self, now: Clocks, stamp: Stamp, last: Stamp) -> bool {
        match stamp.start() {
            None => stamp > last,
            start if start == last.start() => true,
            Some(_) => stamp > last || last.time_ms > now.wall_ms + CLOCK_SKEW_MAX_MS,
        }
    }

    fn with(&self, now: Clocks, stamp: Stamp, known: Option<KnownStart>) -> Self {
        let mut starts = self.starts.clone();
        if let Some(start) = stamp.start() {
            starts.retain(|it| it.start != start);
            let surplus = (starts.len() + 1).saturating_sub(STARTS_MAX);
            starts.drain(..surplus);
            let uptime_ms = stamp.uptime_ms();
            let now_ms = ms(now.steady);
            let due = known.map(|known| known.due_ms(uptime_ms));
            // The earliest counts: a row of pushes that are each held up a little more stays late.
            let due_ms = due.map_or(now_ms, |due| due.min(now_ms));
            starts.push(KnownStart { start, uptime_ms, due_ms });
        }
        Self { last: Some(stamp), starts }
    }

    fn find(&self, start: u32) -> Option<&KnownStart> {
        self.starts.iter().find(|known| known.start == start)
    }
}

/// Checks, before anything else is known of a push, that its time is not far off. Of a scraper that names its
/// start the clocks do not matter: [`PushHistory`] judges it.
///
/// # Errors
/// [`Refused::Clock`] for a push of an older scraper with a clock that is apart.
pub fn check_wall(now_ms: u64, stamp: Stamp) -> Result<(), Refused> {
    if is_near(now_ms, stamp.time_ms) || stamp.start().is_some() {
        return Ok(());
    }
    Err(Refused::Clock { now_ms, stamp })
}

impl KnownStart {
    /// Returns the steady time at which a push of this uptime comes that is not delayed, if the scraper's
    /// clock is as slow as it may be.
    const fn due_ms(&self, uptime_ms: u64) -> u64 {
        let passed = uptime_ms.saturating_sub(self.uptime_ms);
        self.due_ms.saturating_add(passed).saturating_add(passed / DRIFT)
    }

    /// Returns the milliseconds by which a push comes later than others of the process did.
    fn delay_ms(&self, now: Instant, stamp: Stamp) -> u64 {
        ms(now).saturating_sub(self.due_ms(stamp.uptime_ms()))
    }
}

fn is_near(one_ms: u64, other_ms: u64) -> bool {
    one_ms.abs_diff(other_ms) <= CLOCK_SKEW_MAX_MS
}

const fn ms(time: Instant) -> u64 {
    time.as_nanos() / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    /// A scraper and a gateway with clocks of their own, in milliseconds.
    struct Machines {
        time: u64,
        booted: u64,
        scraper_ahead: i64,
        gateway_ahead: i64,
        start: u32,
        started: u64,
        history: PushHistory,
        taken_at: u64,
        recorded: Vec<Stamp>,
        taken: Vec<Stamp>,
    }

    impl Machines {
        fn new() -> Self {
            Self {
                time: 100 * HOUR as u64,
                booted: 90 * HOUR as u64,
                scraper_ahead: 0,
                gateway_ahead: 0,
                start: 1,
                started: 100 * HOUR as u64,
                history: PushHistory::default(),
                taken_at: 100 * HOUR as u64,
                recorded: Vec::new(),
                taken: Vec::new(),
            }
        }

        fn restart(&mut self) {
            self.start += 1;
            self.started = self.time;
        }

        fn stamp(&self) -> Stamp {
            let wall = self.time.saturating_add_signed(self.scraper_ahead);
            Stamp::new(wall, self.start, self.time - self.started + 1)
        }

        fn clocks(&self) -> Clocks {
            let steady = Instant::from_nanos((self.time - self.booted) * 1_000_000);
            Clocks { wall_ms: self.time.saturating_add_signed(self.gateway_ahead), steady }
        }

        fn arrives(&mut self, stamp: Stamp) -> Result<(), Refused> {
            self.history = self.history.take(self.clocks(), stamp)?;
            self.taken_at = self.time;
            self.taken.push(stamp);
            Ok(())
        }

        /// True if a push of the process was taken that is at least as new.
        fn has_taken_as_new(&self, stamp: Stamp) -> bool {
            let of_process = self.taken.iter().filter(|it| it.start() == stamp.start());
            of_process.map(|it| it.uptime_ms()).max() >= Some(stamp.uptime_ms())
        }

        fn push(&mut self) -> Result<(), Refused> {
            self.time += 50;
            let stamp = self.stamp();
            self.recorded.push(stamp);
            self.arrives(stamp)
        }
    }

    #[test]
    fn a_clock_that_is_set_stops_nothing_whichever_it_is() {
        for step in [-HOUR, -60_000, -20_000, 11_000, 60_000, HOUR] {
            for (scraper, gateway) in [(step, step), (step, 0), (0, step)] {
                let mut machines = Machines::new();
                assert_eq!(machines.push(), Ok(()));
                (machines.scraper_ahead, machines.gateway_ahead) = (scraper, gateway);
                for _ in 0..100 {
                    assert_eq!(machines.push(), Ok(()), "{scraper} {gateway}");
                }
            }
        }
    }

    #[test]
    fn a_scraper_that_starts_again_after_both_clocks_were_set_back_is_heard_within_the_skew() {
        for step in [-HOUR, -60_000, -29_000, -1_000] {
            let mut machines = Machines::new();
            assert_eq!(machines.push(), Ok(()));
            (machines.scraper_ahead, machines.gateway_ahead) = (step, step);
            machines.restart();
            let since = machines.time;
            while machines.push().is_err() {}
            assert!(machines.time - since <= CLOCK_SKEW_MAX_MS, "{step}");
        }
    }

    #[test]
    fn pushes_that_are_held_up_a_little_more_each_do_not_get_old_unseen() {
        let mut machines = Machines::new();
        assert_eq!(machines.push(), Ok(()));
        machines.gateway_ahead = HOUR;
        let mut stamps = Vec::new();
        for _ in 0..100 {
            machines.time += 50;
            stamps.push(machines.stamp());
        }
        let refused = stamps.into_iter().find(|stamp| {
            machines.time += 1_000;
            machines.arrives(*stamp).is_err()
        });
        assert!(refused.is_some());
        let delay = machines.time - machines.started - refused.unwrap().uptime_ms();
        assert!(delay <= CLOCK_SKEW_MAX_MS + 1_500, "{delay}");
    }

    #[test]
    fn an_older_scraper_is_taken_by_its_time_alone() {
        let mut machines = Machines::new();
        let at = |machines: &Machines, sequence| Stamp { time_ms: machines.time, sequence };
        let first = at(&machines, 7);
        assert_eq!(machines.arrives(first), Ok(()));
        machines.time += 50;
        let restarted = at(&machines, 1);
        assert_eq!(machines.arrives(restarted), Ok(()));
        assert_eq!(machines.arrives(first).unwrap_err().status(), 409);
        machines.gateway_ahead = -HOUR;
        let future = at(&machines, 2);
        assert_eq!(machines.arrives(future).unwrap_err().status(), 401);
    }

    /// Law: whatever the clocks do, a recorded push that was taken, or that is older than one of its process
    /// that was, is refused; and a new one of a process that was taken before is taken. A push that was
    /// refused may still be taken in time, if no later one was.
    #[test]
    fn a_recorded_push_is_never_taken() {
        arbtest::arbtest(|u| {
            let mut machines = Machines::new();
            while !u.is_empty() {
                match u.int_in_range(0..=5)? {
                    0 => machines.scraper_ahead = u.int_in_range(-2 * HOUR..=2 * HOUR)?,
                    1 => machines.gateway_ahead = u.int_in_range(-2 * HOUR..=2 * HOUR)?,
                    2 => machines.time += u.int_in_range(0..=HOUR as u64)?,
                    3 if !machines.recorded.is_empty() => {
                        let stamp = *u.choose(&machines.recorded)?;
                        let before = machines.history.clone();
                        let is_known =
                            before.starts.iter().any(|it| Some(it.start) == stamp.start());
                        let is_taken = is_known && machines.has_taken_as_new(stamp);
                        let result = machines.arrives(stamp);
                        assert!(result.is_err() || !is_taken, "{stamp:?} after {before:?}");
                    }
                    4 if u.ratio(1, 4)? => machines.restart(),
                    _ => {
                        let known = machines.history.find(machines.start).is_some();
                        let is_last = machines.history.last.and_then(Stamp::start);
                        let result = machines.push();
                        let goes_on = known && is_last == Some(machines.start);
                        assert!(result.is_ok() || !goes_on, "{result:?}");
                    }
                }
            }
            Ok(())
        });
    }
}
