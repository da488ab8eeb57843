//! The lives of one pod's engine, as its pages and faults show them.

use std::time::{Duration, Instant};

use wire::metrics::{PrefixUse, Reading};

use crate::{peer::Fault, pool::EngineLife};

/// Time by which a pod's clock may be ahead of the scraper's. A start that is later than this is nonsense,
/// and would have all later lives look earlier.
const CLOCK_AHEAD_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// A moment by both clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) at: Instant,
    pub(super) unix_ms: u64,
}

impl Moment {
    /// Returns an earlier moment by its Unix time; of a later one this moment.
    pub(super) fn back_at(self, unix_ms: u64) -> Self {
        let age = Duration::from_millis(self.unix_ms.saturating_sub(unix_ms));
        Self { at: self.at.checked_sub(age).unwrap_or(self.at), unix_ms }
    }
}

/// The follower of one pod's engine from life to life.
#[derive(Debug)]
pub(super) struct LifeFollower {
    life: EngineLife,
    /// Start of the process by its last page.
    started_ms: Option<u64>,
    prefixes: Option<PrefixUse>,
    /// Name of the model by its last page.
    model: Option<String>,
    /// Fault since the last page that says that the process may be another.
    gap: Gap,
    was_read: bool,
}

/// Change between two pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gap {
    None,
    /// No process listened.
    Refused,
    /// The engine slept, and has dropped its cache.
    Asleep,
}

impl LifeFollower {
    /// Follows a pod that was made or found at `found`; none for one that was there when the scraper began,
    /// and may have been known long before.
    pub(super) fn new(found: Option<Moment>) -> Self {
        let life = found.map_or_else(EngineLife::default, |found| EngineLife {
            number: found.unix_ms,
            began: Some(found.at),
        });
        Self {
            life,
            started_ms: None,
            prefixes: None,
            model: None,
            gap: Gap::None,
            was_read: false,
        }
    }

    pub(super) const fn life(&self) -> EngineLife {
        self.life
    }

    /// Takes in a scrape that failed.
    pub(super) const fn failed(&mut self, fault: &Fault) {
        if matches!(fault, Fault::Asleep) {
            self.gap = Gap::Asleep;
        } else if matches!((fault, self.gap), (Fault::Refused, Gap::None)) {
            self.gap = Gap::Refused;
        }
    }

    /// Takes in a page that was asked for at this moment.
    pub(super) fn read(&mut self, now: Moment, reading: &Reading) {
        let latest = now.unix_ms.saturating_add(millis(CLOCK_AHEAD_MAX));
        let started_ms = reading.started_ms.filter(|started| *started <= latest);
        if !self.was_read {
            self.meet(now, started_ms);
        } else if self.is_another(started_ms, reading) {
            self.begin(now, started_ms);
        }
        (self.was_read, self.gap) = (true, Gap::None);
        self.started_ms = started_ms.or(self.started_ms);
        self.prefixes = reading.prefixes.or(self.prefixes);
        if reading.model.is_some() && self.model != reading.model {
            self.model.clone_from(&reading.model);
        }
    }

    /// True if a page is of another life than the one before. LoRA adapters have no part in it: a page names
    /// those that have requests, which come and go, and each prompt's chain begins with its adapter's name.
    fn is_another(&self, started_ms: Option<u64>, reading: &Reading) -> bool {
        let fell = match (self.prefixes, reading.prefixes) {
            (Some(before), Some(now)) => now.queried < before.queried || now.cached < before.cached,
            _ => false,
        };
        let restarted = match (self.started_ms, started_ms) {
            (Some(before), Some(now)) => now != before,
            // Nothing but the fault tells, and to forget a cache costs less than to trust one that is gone.
            _ => self.gap == Gap::Refused,
        };
        let renamed = match (&self.model, &reading.model) {
            (Some(before), Some(now)) => now != before,
            _ => false,
        };
        fell || restarted || renamed || self.gap == Gap::Asleep
    }

    /// Meets an engine that was there before. Its start has the same number whichever scraper reads it, so
    /// that a scraper's restart ends no life, and misses none that began meanwhile.
    fn meet(&mut self, now: Moment, started_ms: Option<u64>) {
        let Some(started_ms) = started_ms.filter(|started| *started > self.life.number) else {
            return;
        };
        self.life.began = Some(now.back_at(started_ms).at);
        self.life.number = started_ms;
    }

    fn begin(&mut self, now: Moment, started_ms: Option<u64>) {
        let began = started_ms.filter(|_| started_ms != self.started_ms).unwrap_or(now.unix_ms);
        self.life = EngineLife {
            number: began.max(self.life.number.saturating_add(1)),
            // The start by the pod's clock may be off; what was sent there before this page is few.
            began: Some(now.at),
        };
        self.started_ms = None;
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use picker_core::Adapters;

    use super::*;

    const HOUR: u64 = 3_600_000;

    /// A pod with a page to change, and what its follower says of it.
    struct Story {
        start: Instant,
        now_ms: u64,
        follower: LifeFollower,
        reading: Reading,
    }

    impl Story {
        fn new(found: bool, page: &[u8]) -> Self {
            let start = Instant::now() + Duration::from_millis(HOUR);
            let found = found.then_some(Moment { at: start, unix_ms: 10 * HOUR });
            let reading = wire::metrics::scan(page).unwrap();
            Self { start, now_ms: 0, follower: LifeFollower::new(found), reading }
        }

        fn now(&self) -> Moment {
            let at = self.start + Duration::from_millis(self.now_ms);
            Moment { at, unix_ms: 10 * HOUR + self.now_ms }
        }

        /// Reads the page 50 ms later; the number of the life and how long ago it began.
        fn read(&mut self) -> (u64, Option<u64>) {
            self.now_ms += 50;
            self.follower.read(self.now(), &self.reading);
            let life = self.follower.life();
            (life.number, life.began.map(|began| millis(self.now().at - began)))
        }

        fn counts(&mut self, queried: u64) {
            self.reading.prefixes = Some(PrefixUse { queried, cached: queried / 2 });
        }
    }

    const PAGE: &[u8] = b"vllm:num_requests_waiting 0\nvllm:num_requests_running 0\n\
        vllm:kv_cache_usage_perc 0\n";

    #[test]
    fn a_start_that_the_page_tells_is_the_number_for_every_scraper() {
        let mut story = Story::new(false, PAGE);
        story.reading.started_ms = Some(9 * HOUR);
        assert_eq!(story.read(), (9 * HOUR, Some(HOUR + 50)));
        story.follower.failed(&Fault::Refused);
        assert_eq!(story.read(), (9 * HOUR, Some(HOUR + 100)), "the same process after all");
        story.reading.started_ms = Some(10 * HOUR + 60);
        assert_eq!(story.read(), (10 * HOUR + 60, Some(0)), "it restarted within one interval");
        story.follower.failed(&Fault::Asleep);
        assert_eq!(story.read(), (10 * HOUR + 200, Some(0)), "it slept, and its cache is empty");
        assert_eq!(story.read(), (10 * HOUR + 200, Some(50)));
        story.reading.started_ms = Some(u64::MAX);
        assert_eq!(story.read(), (10 * HOUR + 200, Some(100)), "no clock is as wrong as that");
    }

    #[test]
    fn without_a_start_counters_that_fall_and_refused_connections_tell() {
        let mut story = Story::new(false, PAGE);
        story.counts(100);
        assert_eq!(story.read(), (0, None), "known for as long as the gateways remember");
        story.counts(300);
        assert_eq!(story.read(), (0, None));
        story.counts(299);
        assert_eq!(story.read(), (10 * HOUR + 150, Some(0)));
        story.follower.failed(&Fault::TimedOut(Duration::ZERO));
        assert_eq!(story.read().1, Some(50));
        story.follower.failed(&Fault::Refused);
        story.counts(900);
        assert_eq!(story.read().1, Some(0), "more was counted since than before");
    }

    #[test]
    fn another_model_is_another_life_and_other_adapters_are_not() {
        let mut story = Story::new(false, PAGE);
        let mut model = |name: Option<&str>, adapter: &str| {
            story.reading.model = name.map(str::to_owned);
            let running = vec![adapter.to_owned()];
            story.reading.adapters = Some(Adapters { max: 2, running, waiting: Vec::new() });
            story.read()
        };
        assert_eq!(model(None, "a"), (0, None));
        assert_eq!(model(Some("one"), "b"), (0, None), "its name is news, and no other one");
        assert_eq!(model(Some("one"), "c"), (0, None));
        assert_eq!(model(None, "a"), (0, None));
        assert_eq!(model(Some("two"), "a"), (10 * HOUR + 250, Some(0)));
        assert_eq!(model(Some("two"), "b"), (10 * HOUR + 250, Some(50)));
    }

    #[test]
    fn a_pod_that_is_found_later_begins_when_it_is_found() {
        let mut story = Story::new(true, PAGE);
        story.reading.started_ms = Some(9 * HOUR);
        assert_eq!(story.read(), (10 * HOUR, Some(50)));
        // A clock that is set back makes no later life look earlier.
        story.now_ms = 0;
        story.follower.failed(&Fault::Asleep);
        story.follower.read(Moment { unix_ms: HOUR, ..story.now() }, &story.reading);
        assert_eq!(story.follower.life().number, 10 * HOUR + 1);
    }
}
