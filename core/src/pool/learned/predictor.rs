//! A predictor of the time of a first token, or of a further one: recursive least squares over what
//! was known when the request was sent (in place of the EPP's predicted-latency-producer, of which
//! the models run beside it).

use crate::model::EndpointObservation;

/// Number of quantities that the time is explained by.
const FEATURES: usize = 6;

/// A constant, KV-cache usage, queue, batch, tokens to compute, prompt length; scaled so that each
/// is of the order of one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Features([f64; FEATURES]);

impl Features {
    /// Most that is believed of one: 100,000 requests that run. The squares of pages that lie would leave nothing of the
    /// other features in the 53 bits of a number.
    const MAX: f64 = 1_000.0;

    pub(crate) fn from_observation(sight: &EndpointObservation) -> Self {
        let (waiting, running) = sight.load.unwrap_or_default();
        let ahead = f64::from(sight.in_flight_tokens) + f64::from(sight.uncached_tokens);
        let features = [
            1.0,
            f64::from(sight.kv_usage),
            f64::from(waiting) / 10.0,
            f64::from(running) / 100.0,
            ahead / 10_000.0,
            f64::from(sight.prompt_tokens) / 10_000.0,
        ];
        Self(features.map(|it| if it.is_finite() { it.min(Self::MAX) } else { 0.0 }))
    }
}

/// Linear in its features, learnt one observation at a time.
#[derive(Clone, Debug)]
pub(crate) struct Predictor {
    weights: [f64; FEATURES],
    /// The inverse of the features' covariance, as far as it is remembered.
    inverse: [[f64; FEATURES]; FEATURES],
    seen: u32,
}

impl Default for Predictor {
    fn default() -> Self {
        let mut inverse = [[0.0; FEATURES]; FEATURES];
        for (row, line) in inverse.iter_mut().enumerate() {
            if let Some(cell) = line.get_mut(row) {
                *cell = Self::IGNORANCE;
            }
        }
        Self { weights: [0.0; FEATURES], inverse, seen: 0 }
    }
}

impl Predictor {
    /// Variance that is assumed of a weight at first: nothing, give or take 10.
    const IGNORANCE: f64 = 100.0;

    /// Of what was learnt, the share that the next observation leaves: half after 700 of them.
    const MEMORY: f64 = 0.999;

    /// Observations before it says anything: several for each weight.
    const SEEN_MIN: u32 = 20;

    /// Observed seconds above this are a client that reads slowly or an engine that hangs.
    const SECONDS_MAX: f64 = 600.0;

    /// Multiple of what was predicted that is believed at most: clients choose their prompts, and read as slowly as they
    /// like.
    const FAR: f64 = 4.0;

    /// Returns the seconds that are believed of an observation, with so many to spare for what the features do not tell.
    pub(crate) fn believed(&self, features: &Features, seconds: f64, spare: f64) -> f64 {
        let usual = self.predict(features);
        usual.map_or(seconds, |usual| seconds.min(Self::FAR * usual + spare))
    }

    /// Learns that it took `seconds`.
    pub(crate) fn observe(&mut self, features: &Features, seconds: f64) {
        if !(0.0..=Self::SECONDS_MAX).contains(&seconds) {
            return;
        }
        let Features(x) = features;
        let px = self.inverse.map(|row| dot(&row, x));
        // The uncertainty of a feature that never varies would grow without end: then nothing is
        // forgotten until it varies again.
        let memory = if self.uncertainty() > Self::IGNORANCE { 1.0 } else { Self::MEMORY };
        let scale = memory + dot(&px, x);
        let error = seconds - dot(&self.weights, x);
        for (weight, gain) in self.weights.iter_mut().zip(px) {
            *weight += gain / scale * error;
        }
        for (row, left) in self.inverse.iter_mut().zip(px) {
            for (cell, right) in row.iter_mut().zip(px) {
                *cell = (*cell - left * right / scale) / memory;
            }
        }
        self.seen = self.seen.saturating_add(1);
    }

    /// Returns the uncertainty of the weight that is known least.
    fn uncertainty(&self) -> f64 {
        let of_each = self.inverse.iter().enumerate().filter_map(|(at, row)| row.get(at));
        of_each.copied().fold(0.0, f64::max)
    }

    /// Returns the seconds that it will take; `None` while too little was seen.
    pub(crate) fn predict(&self, features: &Features) -> Option<f64> {
        let seconds = dot(&self.weights, &features.0);
        (self.seen >= Self::SEEN_MIN && seconds.is_finite()).then_some(seconds.max(0.0))
    }
}

fn dot(a: &[f64; FEATURES], b: &[f64; FEATURES]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Rng;

    fn sight(rng: &mut Rng) -> EndpointObservation {
        let mut below = |limit: u64| u32::try_from(rng.draw() % limit).unwrap();
        EndpointObservation {
            prompt_tokens: below(8_000),
            uncached_tokens: below(4_000),
            in_flight_tokens: below(20_000),
            load: Some((below(8), below(100))),
            kv_usage: f32::from(u8::try_from(below(100)).unwrap()) / 100.0,
            ..EndpointObservation::default()
        }
    }

    /// Returns 0.02 s, 5 ms per request in the batch, and 10,000 tokens a second.
    fn truth(sight: &EndpointObservation) -> f64 {
        let (_, running) = sight.load.unwrap();
        let ahead = f64::from(sight.in_flight_tokens) + f64::from(sight.uncached_tokens);
        0.02 + 0.005 * f64::from(running) + ahead / 10_000.0
    }

    #[test]
    fn a_linear_truth_is_found_and_followed() {
        let mut rng = Rng::new(1);
        let mut predictor = Predictor::default();
        let worst = |predictor: &Predictor, rng: &mut Rng, factor: f64| {
            (0..100).fold(0.0, |worst: f64, _| {
                let sight = sight(rng);
                let said = predictor.predict(&Features::from_observation(&sight)).unwrap();
                worst.max((said - factor * truth(&sight)).abs())
            })
        };
        assert_eq!(predictor.predict(&Features::from_observation(&sight(&mut rng))), None);
        for _ in 0..300 {
            let sight = sight(&mut rng);
            predictor.observe(&Features::from_observation(&sight), truth(&sight));
        }
        assert!(worst(&predictor, &mut rng, 1.0) < 0.02);
        // The engines become half as fast.
        for _ in 0..5_000 {
            let sight = sight(&mut rng);
            predictor.observe(&Features::from_observation(&sight), 2.0 * truth(&sight));
        }
        assert!(worst(&predictor, &mut rng, 2.0) < 0.05);
    }

    /// One request in fifty is of a client that waits for a grammar, or reads for a minute.
    #[test]
    fn one_client_does_not_decide_what_is_predicted() {
        let mut rng = Rng::new(1);
        let mut predictor = Predictor::default();
        for request in 0..5_000 {
            let seen = sight(&mut rng);
            let seconds = if request % 50 == 49 { 60.0 } else { truth(&seen) };
            let features = Features::from_observation(&seen);
            predictor.observe(&features, predictor.believed(&features, seconds, 0.25));
        }
        for _ in 0..100 {
            let seen = sight(&mut rng);
            let said = predictor.predict(&Features::from_observation(&seen)).unwrap();
            assert!(said < 1.3 * truth(&seen) + 0.1, "{said}, of {}", truth(&seen));
        }
    }

    #[test]
    fn pages_that_lie_leave_what_was_learnt() {
        let mut rng = Rng::new(1);
        let mut predictor = Predictor::default();
        for request in 0..20_000 {
            let mut seen = sight(&mut rng);
            if request % 100 == 99 && request < 15_000 {
                seen.load = Some((4_000_000_000, 4_000_000_000));
                seen.kv_usage = f32::NAN;
            }
            let seconds = truth(&EndpointObservation { load: Some((0, 50)), ..seen });
            predictor.observe(&Features::from_observation(&seen), seconds);
        }
        for _ in 0..100 {
            let seen = sight(&mut rng);
            let said = predictor.predict(&Features::from_observation(&seen)).unwrap();
            let seconds = truth(&EndpointObservation { load: Some((0, 50)), ..seen });
            assert!((said - seconds).abs() < 0.1, "{said}, of {seconds}");
        }
    }

    #[test]
    fn nonsense_is_not_learnt_and_nothing_breaks() {
        let mut predictor = Predictor::default();
        for seconds in [f64::NAN, -1.0, f64::INFINITY, 1e9] {
            predictor.observe(&Features([1.0; FEATURES]), seconds);
        }
        assert_eq!(predictor.seen, 0);
        for _ in 0..100_000 {
            predictor.observe(&Features([1.0; FEATURES]), 1.0);
        }
        let said = predictor.predict(&Features([1.0; FEATURES])).unwrap();
        assert!((said - 1.0).abs() < 1e-3, "{said}");
    }
}
