//! The limits that the endpoints show by themselves, for the detector without thresholds.

use std::time::Duration;

use crate::{
    model::{Instant, RequestId},
    pool::{PageSight, Slot},
    saturation::{
        Allowance, BandShares, EndpointLimit, Expected, LatencyGoals, LearntLimit, Overdue, Page,
        Pressure, RequestTimes,
    },
};

/// Age from which on a page says nothing, and first tokens are gone by in its place. Pages that were 0.5
/// to 1 s late did as well as fresh ones.
const STALE_AFTER: Duration = Duration::from_secs(2);

/// Least time between two pages of one endpoint: one that is shown again, with its age rounded otherwise,
/// counts once.
const APART: Duration = Duration::from_millis(5);

/// Time between two looks at the first tokens of an endpoint without pages: of the requests that got their
/// first token in the same step, each is a look otherwise.
const LOOKS_APART: Duration = Duration::from_millis(10);

/// Part of an observation in the mean of stays, of which the last 32 make up two thirds: ends a second are
/// known within a fifth then.
const STAY_PART: f64 = 1.0 / 32.0;

/// Part of an observation in the mean of steps.
const STEP_PART: f64 = 0.1;

/// Longest step that is believed. An engine that takes longer for a token meets no goal.
const STEP_MAX: f64 = 1.0;

/// Multiple of the mean that one stream's step counts for at most. Once Envoy's buffers for a client are full, the time
/// between tokens is the client's, which may read as slowly as it likes; no client has them sooner than its engine.
const SLOWER_MAX: f64 = 2.0;

/// Part of an observation in the prompts' share of what requests take of a cache.
const PROMPT_PART: f64 = 0.02;

/// The limits of all endpoints as one worker knows them, and what they are learnt from.
///
/// Pages are the same for all workers of a gateway, so that their limits are the same as soon as they have
/// seen the same pages. A worker that slept knows less of late pages, and its limit is within the same bounds.
#[derive(Clone, Debug)]
pub(crate) struct LearntLimits {
    by_slot: Vec<EndpointLessons>,
    /// Shares of the bands in what this worker placed.
    pub(crate) bands: BandShares,
    /// Share of prompts in what requests take of a cache by their ends, 0 to 1.
    prompt_share: f64,
}

/// The lessons of one endpoint.
#[derive(Clone, Debug, Default)]
struct EndpointLessons {
    limit: EndpointLimit,
    allowance: Allowance,
    pace: RequestTimes,
    /// Mean number of requests that ran beside those of which the steps are known; zero before the first.
    company: f64,
    /// Requests that ran at the last look.
    running: u32,
    overdue: Overdue,
    /// Requests of others there, by the last pages.
    strangers: u32,
    /// Time at which the last page was read; zero for none.
    read_at: Instant,
    /// Time of the last look at the first tokens.
    looked_at: Instant,
}

/// The prompt of a request that is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SentPrompt {
    pub(crate) request: RequestId,
    pub(crate) at: Instant,
    /// Uncached tokens.
    pub(crate) tokens: u32,
    /// Seconds of other prompts that are computed before; endless where that is not known.
    pub(crate) ahead: f64,
    /// Tokens that the endpoint computes a second.
    pub(crate) rate: f64,
}

impl Default for LearntLimits {
    fn default() -> Self {
        // Half: what is expected of a cache is then three quarters of the ends, before anything is known.
        Self { by_slot: Vec::new(), bands: BandShares::default(), prompt_share: 0.5 }
    }
}

/// The circumstances of a look at an endpoint.
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "two circumstances, in any mix")]
pub(crate) struct Look {
    /// Requests of others there, by the last pages.
    pub(crate) strangers: u32,
    /// True while requests wait for room in the pool.
    pub(crate) is_queued: bool,
    /// True while the endpoint computes prompts.
    pub(crate) is_computing: bool,
}

/// The requests in flight on one endpoint.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Occupants {
    /// Those of all known gateways.
    pub(crate) all: u32,
    /// Those of this worker.
    pub(crate) own: u32,
}

impl EndpointLessons {
    fn is_blind(&self, now: Instant) -> bool {
        let is_read =
            self.read_at != Instant::default() && now.saturating_since(self.read_at) <= STALE_AFTER;
        !is_read && now >= self.looked_at + LOOKS_APART
    }

    fn see(&mut self, now: Instant, page: Page, look: Look) {
        self.running = page.running;
        self.limit.see(now, page, self.pace);
        let is_full =
            self.limit.is_full(now) && page.in_flight.saturating_add(1) >= self.limit.capacity();
        let pressure = if is_full || page.waiting > 0 || !look.is_queued {
            Pressure::Free
        } else if look.is_computing {
            Pressure::Held
        } else {
            Pressure::Neither
        };
        self.allowance.see(now, pressure, self.pace.step);
    }
}

impl LearntLimits {
    /// Returns the limit of an endpoint, by which it keeps to these goals.
    pub(crate) fn limit(&self, slot: Slot, now: Instant, goals: LatencyGoals) -> LearntLimit {
        let lessons = self.by_slot.get(slot.index());
        let (limit, allowance, strangers) =
            lessons.map_or_else(Default::default, |it| (it.limit, it.allowance, it.strangers));
        let most = lessons.and_then(|it| goals.places(it.company, it.pace.step));
        let most = most.unwrap_or(u32::MAX);
        LearntLimit {
            places: limit.places().min(most).saturating_sub(strangers),
            capacity: limit.capacity().min(most).saturating_sub(strangers),
            is_full: limit.is_full(now),
            allowance: goals.allowance(allowance.seconds()),
            prompt_share: self.prompt_share,
        }
    }

    /// Learns from a page, if it was not seen before.
    pub(crate) fn page(&mut self, now: Instant, sight: PageSight, look: Look) {
        let PageSight { slot, read_at, page, .. } = sight;
        let Some(lessons) = self.lessons(slot) else { return };
        let is_old = now.saturating_since(read_at) > STALE_AFTER;
        if is_old || read_at < lessons.read_at + APART {
            return;
        }
        lessons.read_at = read_at;
        lessons.strangers = look.strangers;
        // Where others send too, prompts that run may be theirs.
        let is_cut = page.is_cut && look.strangers == 0;
        let in_flight = page.in_flight.saturating_add(look.strangers);
        lessons.see(now, Page { is_cut, in_flight, ..page }, look);
    }

    /// True if an endpoint has no fresh page, and was not looked at just now.
    pub(crate) fn is_blind(&self, slot: Slot, now: Instant) -> bool {
        self.by_slot.get(slot.index()).is_some_and(|lessons| lessons.is_blind(now))
    }

    /// Learns from the first tokens of an endpoint without a fresh page.
    pub(crate) fn look(&mut self, now: Instant, slot: Slot, counts: Occupants, look: Look) {
        let Some(lessons) = self.lessons(slot).filter(|it| it.is_blind(now)) else { return };
        lessons.looked_at = now;
        lessons.strangers = 0;
        let Occupants { all: in_flight, own } = counts;
        let Some(overdue) = lessons.overdue.count(now) else { return };
        // This worker's requests stand for those of the others, which it does not see.
        let waiting = u64::from(overdue) * u64::from(in_flight) / u64::from(own.max(1));
        let waiting = u32::try_from(waiting).unwrap_or(u32::MAX).min(in_flight);
        let page = Page { running: in_flight - waiting, waiting, is_cut: false, in_flight };
        lessons.see(now, page, look);
    }

    /// Notes a request that is sent to an endpoint.
    pub(crate) fn sent(&mut self, slot: Slot, prompt: SentPrompt) {
        let SentPrompt { request, at, tokens, ahead, rate } = prompt;
        let Some(lessons) = self.lessons(slot) else { return };
        let ahead = if ahead.is_finite() { ahead } else { 0.0 };
        let expected = Expected { ahead, rate, step: lessons.pace.step };
        lessons.overdue.sent(request, at, tokens, expected);
    }

    /// Learns the prompt's share in what a request is expected to take of a cache.
    pub(crate) fn holds(&mut self, prompt: u32, output: u32) {
        let all = f64::from(prompt) + f64::from(output);
        if all > 0.0 {
            self.prompt_share += (f64::from(prompt) / all - self.prompt_share) * PROMPT_PART;
        }
    }

    /// Learns that the first token of a request with so many uncached tokens took this time.
    pub(crate) fn began(&mut self, slot: Slot, request: RequestId, tokens: u32, took: Duration) {
        if let Some(lessons) = self.lessons(slot) {
            lessons.overdue.began(request, tokens, took);
        }
    }

    /// Learns that the tokens of a stream came `step` apart.
    pub(crate) fn streamed(&mut self, slot: Slot, step: Duration) {
        if let Some(lessons) = self.lessons(slot) {
            let mean = &mut lessons.pace.step;
            let most = if *mean > 0.0 { SLOWER_MAX * *mean } else { STEP_MAX };
            learn(mean, step.as_secs_f64().min(most).min(STEP_MAX), STEP_PART);
            learn(&mut lessons.company, f64::from(lessons.running.max(1)), STEP_PART);
        }
    }

    /// Learns that a request ended, after this time if its answer was whole.
    pub(crate) fn ended(&mut self, slot: Slot, request: RequestId, stay: Option<Duration>) {
        let Some(lessons) = self.lessons(slot) else { return };
        lessons.overdue.ended(request);
        if let Some(stay) = stay {
            learn(&mut lessons.pace.stay, stay.as_secs_f64(), STAY_PART);
        }
    }

    /// Forgets what was learnt of an endpoint: another engine is there now.
    pub(super) fn forget(&mut self, slot: Slot) {
        if let Some(lessons) = self.by_slot.get_mut(slot.index()) {
            *lessons = EndpointLessons::default();
        }
    }

    fn lessons(&mut self, slot: Slot) -> Option<&mut EndpointLessons> {
        if self.by_slot.len() <= slot.index() {
            self.by_slot.resize(slot.index() + 1, EndpointLessons::default());
        }
        self.by_slot.get_mut(slot.index())
    }
}

/// Moves a mean towards an observation by a part; the first one makes the mean.
fn learn(mean: &mut f64, seen: f64, part: f64) {
    *mean = if *mean <= 0.0 { seen } else { *mean + (seen - *mean) * part };
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Slot = Slot(1);

    fn at(ms: u64) -> Instant {
        Instant::from_nanos((10_000 + ms) * 1_000_000)
    }

    fn sight(read_ms: u64, running: u32, waiting: u32) -> PageSight {
        let page = Page { running, waiting, is_cut: false, in_flight: running + waiting };
        PageSight { slot: ONE, read_at: at(read_ms), page, is_computing: false }
    }

    fn places(limits: &LearntLimits, ms: u64) -> u32 {
        limits.limit(ONE, at(ms), LatencyGoals::default()).places
    }

    /// An engine with steps of 20 ms and 1 ms a request, which streams slowly: steps are told when streams end.
    #[test]
    fn a_goal_for_steps_is_come_to_and_kept() {
        let goals = LatencyGoals { itl: Some(Duration::from_millis(40)), ttft: None };
        let mut limits = LearntLimits::default();
        let (mut running, mut ms) = (64_u64, 0);
        for _ in 0..200 {
            ms += 50;
            let page = u32::try_from(running).unwrap();
            limits.page(at(ms + 10), sight(ms, page, 0), Look::default());
            limits.streamed(ONE, Duration::from_millis(20 + running));
            let places = limits.limit(ONE, at(ms + 10), goals).places;
            running = u64::from(places.min(64));
        }
        assert!((18..=20).contains(&running), "{running}, and 20 would be right");
    }

    #[test]
    fn a_page_counts_once_and_an_old_one_never() {
        let mut limits = LearntLimits::default();
        assert_eq!(places(&limits, 0), 2, "nothing is known: one, and one to try");
        limits.page(at(60), sight(10, 40, 0), Look::default());
        assert_eq!(places(&limits, 60), 42);
        limits.page(at(70), sight(12, 90, 0), Look::default());
        limits.page(at(4_000), sight(1_000, 90, 0), Look::default());
        assert_eq!(places(&limits, 4_000), 42, "the same page, and one that is 3 s old");
        limits.page(at(4_000), sight(3_950, 90, 0), Look::default());
        assert_eq!(places(&limits, 4_000), 94);
    }

    #[test]
    fn strangers_take_of_the_places_and_hide_what_prompts_tell() {
        let mut limits = LearntLimits::default();
        let look = Look { strangers: 30, ..Look::default() };
        let cut = Page { is_cut: true, ..sight(0, 64, 3).page };
        limits.page(at(60), PageSight { page: cut, ..sight(10, 0, 0) }, look);
        let limit = limits.limit(ONE, at(60), LatencyGoals::default());
        assert_eq!((limit.places, limit.capacity, limit.is_full), (34, 34, true));
    }

    /// One stream in ten is read by a client that stops for minutes; then a few end at once.
    #[test]
    fn clients_that_read_slowly_take_few_places() {
        let goals = LatencyGoals { itl: Some(Duration::from_millis(50)), ttft: None };
        let places = |limits: &LearntLimits| limits.limit(ONE, at(60), goals).places;
        let mut limits = LearntLimits::default();
        limits.streamed(ONE, Duration::from_secs(30));
        limits.page(at(60), sight(10, 64, 0), Look::default());
        for stream in 0..200 {
            let ms = if stream % 10 == 9 { 1_100 } else { 20 };
            limits.streamed(ONE, Duration::from_millis(ms));
            assert!(stream < 100 || places(&limits) >= 64, "{stream}: {}", places(&limits));
        }
        (0..5).for_each(|_| limits.streamed(ONE, Duration::from_secs(1)));
        assert!(places(&limits) > 60, "{}", places(&limits));
    }

    #[test]
    fn a_page_of_more_than_fits_in_a_number_is_full() {
        let mut limits = LearntLimits::default();
        let page = Page { in_flight: u32::MAX, ..sight(0, 64, u32::MAX - 64).page };
        limits.page(at(60), PageSight { page, ..sight(10, 0, 0) }, Look::default());
        assert!(limits.limit(ONE, at(60), LatencyGoals::default()).is_full);
    }

    #[test]
    fn a_restart_begins_anew() {
        let mut limits = LearntLimits::default();
        limits.page(at(60), sight(10, 64, 1), Look::default());
        limits.streamed(ONE, Duration::from_millis(20));
        assert_eq!(places(&limits, 60), 64);
        limits.forget(ONE);
        assert_eq!(places(&limits, 60), 2);
        limits.forget(Slot(900));
    }

    /// Requests go to an endpoint that has no page as long as there are places; of 20, those beyond ten get
    /// their first token late.
    #[test]
    fn without_a_page_first_tokens_tell_that_an_endpoint_is_full() {
        let mut limits = LearntLimits::default();
        let prompt = |request: u32, ms| SentPrompt {
            request: RequestId(request),
            at: at(ms),
            tokens: 1_000,
            ahead: 0.0,
            rate: 20_000.0,
        };
        let look = |limits: &mut LearntLimits, ms, all| {
            limits.look(at(ms), ONE, Occupants { all, own: all }, Look::default());
        };
        for request in 0..10 {
            let ms = u64::from(request) * 100;
            limits.sent(ONE, prompt(request, ms));
            limits.began(ONE, RequestId(request), 1_000, Duration::from_millis(60));
            look(&mut limits, ms + 60, request + 1);
        }
        assert!((11..=14).contains(&places(&limits, 960)), "{}", places(&limits, 960));
        assert!(!limits.limit(ONE, at(960), LatencyGoals::default()).is_full);
        (10..12).for_each(|request| limits.sent(ONE, prompt(request, 1_000)));
        look(&mut limits, 1_050, 12);
        assert!(!limits.limit(ONE, at(1_050), LatencyGoals::default()).is_full, "not late yet");
        look(&mut limits, 1_100, 12);
        assert!(limits.limit(ONE, at(1_100), LatencyGoals::default()).is_full);
        (0..9).for_each(|it| look(&mut limits, 1_200 + 20 * it, 12));
        assert_eq!(limits.limit(ONE, at(1_400), LatencyGoals::default()).capacity, 10);
    }

    #[test]
    fn a_fresh_page_is_gone_by_before_first_tokens() {
        let mut limits = LearntLimits::default();
        limits.page(at(60), sight(10, 20, 0), Look::default());
        limits.look(at(1_000), ONE, Occupants { all: 90, own: 90 }, Look::default());
        assert_eq!(limits.limit(ONE, at(1_000), LatencyGoals::default()).capacity, 20);
        limits.look(at(2_100), ONE, Occupants { all: 90, own: 90 }, Look::default());
        assert_eq!(limits.limit(ONE, at(2_100), LatencyGoals::default()).capacity, 90);
    }
}
