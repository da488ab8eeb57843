//! The rates at which endpoints compute prompts.

use std::time::Duration;

use crate::{model::EndpointObservation, pool::Slot};

/// A rate for the pool, by what first tokens showed, and of an endpoint its own where it is far
/// slower. A rate for each would feed back: an endpoint that had short prompts looks slow, as the
/// engine's steps take their time for few tokens too, so it gets none and stays so.
#[derive(Clone, Debug)]
pub(crate) struct Rates {
    pool: Pace,
    by_slot: Vec<Pace>,
}

/// Tokens that were waited for, and how long; both fade.
#[derive(Clone, Copy, Debug, Default)]
struct Pace {
    tokens: f64,
    seconds: f64,
}

impl Default for Rates {
    fn default() -> Self {
        let seconds = Self::DEFAULT_SECONDS;
        let pool = Pace { tokens: Self::DEFAULT * seconds, seconds };
        Self { pool, by_slot: Vec::new() }
    }
}

impl Rates {
    /// Until something was seen (EPP: prefix-cache-affinity-filter, peakPrefillThroughput).
    pub(crate) const DEFAULT: f64 = 15_928.0;

    /// Below this share of the pool's rate an endpoint is believed to be slow: half the speed is
    /// noticed, and other prompts than the others had explain the rest.
    const SLOW: f64 = 0.6;

    /// Weight of that, as seconds of observation: a few first tokens outweigh it. Each worker learns by
    /// itself, and where prompts are short, a whole second of computing is hundreds of requests.
    const DEFAULT_SECONDS: f64 = 0.05;

    /// The fewest tokens waited for that the pool's rate is learnt from. With short prompts, a rate
    /// that leaves out the engine's step would be ten times what they get.
    const TOKENS_MIN: f64 = 16.0;

    /// The same for an endpoint's own rate. With fewer tokens, the time says more of the engine's step
    /// than of the endpoint's speed, and an endpoint that had short prompts would look slow.
    const OWN_TOKENS_MIN: f64 = 256.0;

    /// Bounds of what is believed: a CPU, and a rack. A proxy that answers from a cache of its own
    /// is no engine.
    const RANGE: std::ops::RangeInclusive<f64> = 10.0..=10_000_000.0;

    /// Factor of slowness beyond which an observation is believed only in part, as clients choose the prompts: one that
    /// waits for a grammar to be compiled looks slow. More than what makes an endpoint slow, so that one that is slow is
    /// found.
    const SLOWER: f64 = 4.0;

    /// The same of speed, as a prompt that is cached unknown to the picker looks fast. More, as it weighs little: by its
    /// seconds, and a pool may have endpoints ten times as fast as others.
    const FASTER: f64 = 16.0;

    /// Seconds beside that which an engine may take for its steps and a burst that it took in before.
    const SLACK: f64 = 0.25;

    /// Learns that a first token came `ttft` after its request was sent to an endpoint that was
    /// seen like this: meanwhile it computed that prompt and what was left of those ahead.
    pub(super) fn first_token(&mut self, slot: Slot, sight: &EndpointObservation, ttft: Duration) {
        let pool = self.of_pool();
        let left = sight.busy_for * self.of_slow(slot, pool).unwrap_or(pool);
        let ahead = left.min(f64::from(sight.in_flight_tokens));
        self.add(slot, ahead + f64::from(sight.uncached_tokens), ttft);
    }

    /// Learns that `tokens` were computed within `time`.
    #[cfg(test)]
    pub(crate) fn observe(&mut self, slot: Slot, tokens: u32, time: Duration) {
        self.add(slot, f64::from(tokens), time);
    }

    fn add(&mut self, slot: Slot, tokens: f64, time: Duration) {
        let seen = Pace { tokens, seconds: time.as_secs_f64() };
        if tokens < Self::TOKENS_MIN || !Self::RANGE.contains(&(seen.tokens / seen.seconds)) {
            return;
        }
        let seen = seen.near(self.of_pool());
        self.pool.add(seen);
        if tokens < Self::OWN_TOKENS_MIN {
            return;
        }
        if self.by_slot.len() <= slot.index() {
            self.by_slot.resize(slot.index() + 1, Pace::default());
        }
        if let Some(own) = self.by_slot.get_mut(slot.index()) {
            own.add(seen);
        }
    }

    /// Returns the tokens a second of an endpoint that is far slower than the `pool`; of the others
    /// the rate is the pool's.
    pub(crate) fn of_slow(&self, slot: Slot, pool: f64) -> Option<f64> {
        let own = self.by_slot.get(slot.index())?;
        // An endpoint is taken to be like the pool until it was seen for longer than a second.
        let tokens = own.tokens + pool;
        let seconds = own.seconds + 1.0;
        (tokens < Self::SLOW * pool * seconds).then(|| tokens / seconds)
    }

    /// Returns the tokens a second of any endpoint.
    pub(crate) fn of_pool(&self) -> f64 {
        self.pool.tokens / self.pool.seconds
    }

    pub(super) fn forget(&mut self, slot: Slot) {
        if let Some(known) = self.by_slot.get_mut(slot.index()) {
            *known = Pace::default();
        }
    }
}

impl Pace {
    /// Share that an observation leaves of those before: the last fifty make up two thirds.
    const MEMORY: f64 = 0.98;

    /// Returns what is believed of it where `rate` is usual: not more seconds than a slow endpoint takes for its tokens,
    /// and not more tokens than a fast one computes in its seconds, so that what is far off weighs less.
    fn near(self, rate: f64) -> Self {
        let slow = self.tokens / rate * Rates::SLOWER + Rates::SLACK;
        let fast = self.seconds * rate * Rates::FASTER;
        Self { tokens: self.tokens.min(fast), seconds: self.seconds.min(slow) }
    }

    fn add(&mut self, seen: Self) {
        self.tokens = self.tokens * Self::MEMORY + seen.tokens;
        self.seconds = self.seconds * Self::MEMORY + seen.seconds;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn rate(rates: &Rates, slot: u16) -> f64 {
        let pool = rates.of_pool();
        rates.of_slow(Slot(slot), pool).unwrap_or(pool)
    }

    fn observe(rates: &mut Rates, slot: u16, tokens: u32) {
        (0..500).for_each(|_| rates.observe(Slot(slot), tokens, SECOND));
    }

    #[test]
    fn the_pool_has_one_rate() {
        let mut rates = Rates::default();
        let is = |rates: &Rates, slot, expected: f64| {
            (rate(rates, slot) - expected).abs() < 0.01 * expected
        };
        assert!(is(&rates, 3, Rates::DEFAULT));
        rates.observe(Slot(3), 15, SECOND);
        rates.observe(Slot(3), 1_000, Duration::ZERO);
        assert!(is(&rates, 3, Rates::DEFAULT), "too little, and too fast");
        observe(&mut rates, 3, 4_000);
        assert!(is(&rates, 3, 4_000.0));
        assert!(is(&rates, 7, 4_000.0), "also of those that nothing is known of");
    }

    #[test]
    fn short_prompts_teach_the_pool_soon_and_make_no_endpoint_look_slow() {
        let mut rates = Rates::default();
        observe(&mut rates, 1, 4_000);
        (0..10).for_each(|_| rates.observe(Slot(3), 60, Duration::from_millis(20)));
        assert!((rates.of_slow(Slot(3), 9_000.0)).is_none());
        let mut rates = Rates::default();
        (0..10).for_each(|_| rates.observe(Slot(3), 60, Duration::from_millis(20)));
        let found = rates.of_pool();
        assert!((3_000.0..6_200.0).contains(&found), "{found} after ten, of 3,000");
    }

    /// One request in fifty waits 20 s for a grammar to be compiled, or has a prompt that was cached unknown to all.
    #[test]
    fn one_client_does_not_decide_the_rate() {
        for (tokens, millis) in [(300, 20_000), (100_000, 50)] {
            let mut rates = Rates::default();
            for request in 0..1_000_u16 {
                rates.observe(Slot(request % 10), 1_000, Duration::from_millis(200));
                if request % 50 == 0 {
                    rates.observe(Slot(3), tokens, Duration::from_millis(millis));
                }
            }
            let found = rates.of_pool();
            assert!((4_000.0..6_250.0).contains(&found), "{found}, of 5,000");
            assert!(rates.of_slow(Slot(3), found).is_none());
        }
    }

    #[test]
    fn a_first_token_tells_of_what_was_left_ahead() {
        for (busy_for, computed) in [(f64::INFINITY, 9_000.0), (0.0, 1_000.0)] {
            let mut rates = Rates::default();
            let sight = EndpointObservation {
                uncached_tokens: 1_000,
                in_flight_tokens: 8_000,
                busy_for,
                ..EndpointObservation::default()
            };
            (0..500).for_each(|_| rates.first_token(Slot(0), &sight, SECOND));
            assert!((rates.of_pool() - computed).abs() < 10.0, "{busy_for}: {}", rates.of_pool());
        }
    }

    #[test]
    fn only_the_far_slower_have_their_own_until_they_leave() {
        for (tokens, is_slow) in [(2_000, true), (3_000, false), (9_000, false)] {
            let mut rates = Rates::default();
            observe(&mut rates, 1, tokens);
            observe(&mut rates, 2, 4_000);
            let own = rate(&rates, 1);
            let pool = rates.of_pool();
            assert!((pool - 4_000.0).abs() < 40.0);
            assert_eq!(own < 0.99 * pool, is_slow, "{tokens}: {own} of {pool}");
            rates.forget(Slot(1));
            assert!((rate(&rates, 1) - pool).abs() < 1e-9);
        }
    }
}
