//! The limit of requests in flight on one endpoint.

use std::time::Duration;

use crate::{model::Instant, saturation::load::whole};

/// Pages that must all show waiting requests before the limit falls, 0.4 s at the scraper's rhythm: the
/// number that runs falls by those that ended in the last step, which the most of eight pages hides.
const PAGES: usize = 8;

/// Part of the limit by which it grows at once while the engine shows no queue. A cold start overshoots by
/// this part at most, and once. Doubling was as fast, with twice as many waiting at most.
const GROWTH_PART: u32 = 4;

/// First and longest time from "full" to the next try of one place more: a try is one waiting request until
/// another ends, and so costs 1 to 4 % of the time once settled.
const BACKOFF_FIRST: Duration = Duration::from_secs(1);
const BACKOFF_LAST: Duration = Duration::from_secs(16);

/// Way of an end to the gateway and of the next request to the engine, beside the step that it waits for.
const WAY: f64 = 0.002;

/// The limit of one endpoint: the requests that were seen to run at once (`capacity`), those that end while
/// the next ones are on their way (`turnover`), and those that are tried beyond (`boost`).
///
/// If `S` places exist, a queue implies that `S` ran less those that ended in the last step, so that the
/// capacity is `S` within the turnover whatever a page's age is, and the limit stays within `1.25 S` and the
/// turnover. The length of a queue is never used.
#[derive(Clone, Copy, Debug)]
pub struct EndpointLimit {
    capacity: u32,
    turnover: u32,
    boost: u32,
    /// True once the engine has said that it is full.
    is_known: bool,
    /// Time until which the last "full" counts.
    full_until: Instant,
    backoff: Duration,
    /// Capacity at the last try of one place more.
    tried: u32,
    /// Requests that ran on each of the last pages; `None` where none waited for a place.
    full_pages: [Option<u32>; PAGES],
    next: usize,
}

/// The numbers that one page of an endpoint showed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Requests in the batch.
    pub running: u32,
    /// Requests that wait for a place in it.
    pub waiting: u32,
    /// True if prompts in the batch are computed in parts: the tokens of a step are full then, and its
    /// places are not.
    pub is_cut: bool,
    /// Requests in flight there now.
    pub in_flight: u32,
}

/// The times of requests on one endpoint, as far as answers told; zero where nothing did.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RequestTimes {
    /// Seconds from sending a request to its end.
    pub stay: f64,
    /// Seconds of a step.
    pub step: f64,
}

impl Default for EndpointLimit {
    /// Makes the limit of an endpoint of which nothing is known: two requests.
    fn default() -> Self {
        Self {
            capacity: 0,
            turnover: 0,
            boost: 1,
            is_known: false,
            full_until: Instant::default(),
            backoff: BACKOFF_FIRST,
            tried: 0,
            full_pages: [None; PAGES],
            next: 0,
        }
    }
}

impl EndpointLimit {
    /// Learns from a page.
    pub fn see(&mut self, now: Instant, page: Page, pace: RequestTimes) {
        let Page { running, waiting, is_cut, in_flight } = page;
        let is_full = waiting > 0 && !is_cut;
        if let Some(place) = self.full_pages.get_mut(self.next) {
            *place = is_full.then_some(running);
        }
        self.next = (self.next + 1) % PAGES;
        if running > self.capacity {
            self.capacity = running;
            if waiting == 0 {
                self.boost = self.boost.saturating_mul(2).clamp(1, self.growth());
            }
        }
        if is_full {
            self.take_full(now, running);
        } else if self.is_known && !self.is_full(now) {
            self.boost = self.boost.max(1);
            if running >= self.capacity && running > self.tried {
                self.backoff = BACKOFF_FIRST;
            }
            self.tried = self.capacity;
        }
        self.turnover = self.ends_on_the_way(in_flight, pace);
    }

    fn take_full(&mut self, now: Instant, running: u32) {
        self.is_known = true;
        self.boost = 0;
        let all = self.full_pages.iter().flatten();
        if running < self.capacity && all.clone().count() == PAGES {
            self.capacity = all.copied().max().unwrap_or(running).max(1);
        }
        if !self.is_full(now) {
            self.backoff = (self.backoff * 2).min(BACKOFF_LAST);
        }
        self.full_until = self.full_until.max(now + self.backoff);
    }

    /// Returns the requests that end while others are on their way to take their places: ends a second, by
    /// what is in flight over the time for which each is, in one step and the way. Mostly 0 to 3; one more
    /// would wait in the engine, where no band goes before another.
    fn ends_on_the_way(&self, in_flight: u32, pace: RequestTimes) -> u32 {
        if pace.stay <= 0.0 {
            return 0;
        }
        let ends = f64::from(in_flight) / pace.stay * (pace.step + WAY);
        whole(ends.round()).min(self.growth())
    }

    /// Returns the most requests by which the limit may be ahead of what was seen.
    fn growth(&self) -> u32 {
        (self.capacity / GROWTH_PART).max(1)
    }

    /// Returns the limit.
    #[must_use]
    pub fn places(&self) -> u32 {
        self.capacity().saturating_add(self.turnover).saturating_add(self.boost)
    }

    /// Returns the requests that were seen to run at once, at least 1.
    #[must_use]
    pub fn capacity(&self) -> u32 {
        self.capacity.max(1)
    }

    /// True if the engine said of late that it is full.
    #[must_use]
    pub fn is_full(&self, now: Instant) -> bool {
        self.is_known && now < self.full_until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_nanos((1_000 + ms) * 1_000_000)
    }

    fn page(running: u32, waiting: u32) -> Page {
        Page { running, waiting, is_cut: false, in_flight: running + waiting }
    }

    /// An engine of so many places behind a gate that always has requests to send.
    struct Engine {
        limit: EndpointLimit,
        places: u32,
        ms: u64,
        /// Most that were in flight.
        most: u32,
    }

    impl Engine {
        fn new(places: u32) -> Self {
            Self { limit: EndpointLimit::default(), places, ms: 0, most: 0 }
        }

        /// Shows so many pages, 50 ms apart.
        fn show(&mut self, pages: u32) {
            for _ in 0..pages {
                let in_flight = self.limit.places();
                self.most = self.most.max(in_flight);
                let running = in_flight.min(self.places);
                self.limit.see(
                    at(self.ms),
                    page(running, in_flight - running),
                    RequestTimes::default(),
                );
                self.ms += 50;
            }
        }
    }

    #[test]
    fn a_cold_start_doubles_and_overshoots_by_a_quarter_at_most() {
        for places in [1, 2, 7, 8, 64, 100, 256, 1_000] {
            let mut engine = Engine::new(places);
            engine.show(60);
            assert!(engine.most <= places + (places / 4).max(1), "{places}: {}", engine.most);
            assert_eq!(engine.limit.capacity(), places);
            assert!(engine.limit.places() <= places + 1, "one more is tried, and no other");
        }
    }

    #[test]
    fn a_settled_limit_tries_one_place_more_now_and_then() {
        let mut engine = Engine::new(64);
        engine.show(60);
        let mut tries = 0;
        for _ in 0..2_000 {
            engine.show(1);
            tries += u32::from(engine.limit.places() > 64);
            assert!(engine.limit.places() <= 65);
        }
        assert!((4..20).contains(&tries), "{tries} in 100 s");
        engine.places = 80;
        engine.show(800);
        assert_eq!(engine.limit.capacity(), 80, "found within 40 s");
    }

    #[test]
    fn places_that_are_gone_are_noticed_by_eight_pages_and_by_no_less() {
        let mut engine = Engine::new(64);
        engine.show(60);
        let mut limit = engine.limit;
        for shown in 0..7 {
            limit.see(at(4_000 + 50 * shown), page(40, 24), RequestTimes::default());
            assert_eq!(limit.capacity(), 64);
        }
        let mut broken = limit;
        broken.see(at(4_400), page(40, 0), RequestTimes::default());
        broken.see(at(4_450), page(40, 24), RequestTimes::default());
        assert_eq!(broken.capacity(), 64, "one page without a queue: it was no lack of places");
        limit.see(at(4_400), page(39, 24), RequestTimes::default());
        assert_eq!(limit.capacity(), 40, "the most that ran meanwhile");
    }

    #[test]
    fn a_queue_behind_prompts_in_parts_says_nothing_of_places() {
        let mut engine = Engine::new(64);
        engine.show(60);
        let mut limit = engine.limit;
        let cut = Page { is_cut: true, ..page(9, 30) };
        (0..100).for_each(|shown| limit.see(at(4_000 + 50 * shown), cut, RequestTimes::default()));
        assert_eq!(limit.capacity(), 64);
    }

    /// Any pages, of any age and in any order, leave the limit within what ever ran and a quarter of it.
    #[test]
    fn the_limit_is_bounded_by_what_was_seen_to_run() {
        arbtest::arbtest(|u| {
            let mut limit = EndpointLimit::default();
            let (mut ms, mut seen) = (0, 1);
            for _ in 0..u.int_in_range(1..=200)? {
                ms += u.int_in_range(0..=3_000)?;
                let page = Page {
                    running: u.int_in_range(0..=300)?,
                    waiting: u.int_in_range(0..=5)?,
                    is_cut: u.arbitrary()?,
                    in_flight: u.int_in_range(0..=400)?,
                };
                let pace = RequestTimes {
                    stay: f64::from(u.int_in_range(0..=1_000_u32)?) / 100.0,
                    step: f64::from(u.int_in_range(0..=500_u32)?) / 1_000.0,
                };
                limit.see(at(ms), page, pace);
                seen = seen.max(page.running);
                let quarter = (seen / 4).max(1);
                assert!(limit.capacity() <= seen);
                assert!(limit.turnover <= quarter);
                assert!(limit.places() - limit.turnover <= seen + quarter);
            }
            Ok(())
        })
        .seed(0x0ada_97e0_0000_0100);
    }

    #[test]
    fn what_ends_within_a_step_is_replaced_ahead() {
        let mut limit = EndpointLimit::default();
        let turnover = |limit: &mut EndpointLimit, stay, step| {
            limit.see(at(0), page(128, 0), RequestTimes { stay, step });
            limit.turnover
        };
        assert_eq!(turnover(&mut limit, 0.0, 0.02), 0, "nothing is known");
        assert_eq!(turnover(&mut limit, 10.0, 0.02), 0);
        assert_eq!(turnover(&mut limit, 1.0, 0.028), 4);
        assert_eq!(turnover(&mut limit, 0.01, 1.0), 32, "never more than a quarter");
    }
}
