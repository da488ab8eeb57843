//! The lengths of answers, by tenant, model and limit.
//!
//! A limit on output says much of an answer's length: clients that want a word ask for few tokens. So
//! lengths are learnt apart by the limit's power of two. A tenant of which little is known is expected to be
//! like all that ask its model for as much, and those like all that ask the model.

use std::time::Duration;

use crate::model::{ClientId, InferenceRequest, Instant, digest_all, mix};

/// Sets of places, of which a kind of request has one: a power of two.
const SETS: usize = 256;
/// Places of a set.
const SET_PLACES: usize = 4;
/// Places for kinds of requests: a hundred tenants with as many kinds as clients of one tenant have, 32 kB.
const KINDS_MAX: usize = SETS * SET_PLACES;

/// Time for which a kind keeps its place without an answer: names that a client makes up do not drive out
/// those in use.
const KIND_IDLE: Duration = Duration::from_secs(10);

/// Tokens that an answer has before any was seen: a paragraph or two.
const TOKENS_DEFAULT: f64 = 256.0;

/// Answers of a wider kind that weigh as much as the kind's own, so that one answer says little.
const WIDER_ANSWERS: f64 = 8.0;

/// Answers in the mean: later ones count as one of so many.
const ANSWERS_MEANT: f64 = 64.0;

/// Most tokens that are believed of one answer: the longest context of most models. An endpoint's sum over
/// 16,384 requests then stays within 32 bits.
pub(crate) const OUTPUT_MAX: u32 = 131_072;

/// The lengths of the answers of one pool.
#[derive(Clone, Debug, Default)]
pub(crate) struct OutputLengths {
    /// Secret by which kinds are placed.
    seed: u64,
    kinds: Vec<Length>,
    all: MeanLength,
}

/// The kinds of requests that one request is of, from its own to the widest, and its limit.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct OutputKinds {
    keys: [u64; 3],
    limit: Option<u32>,
}

/// The length of one kind's answers.
#[derive(Clone, Copy, Debug, Default)]
struct Length {
    key: u64,
    at: Instant,
    mean: MeanLength,
}

#[derive(Clone, Copy, Debug, Default)]
struct MeanLength {
    tokens: f64,
    /// Answers in the mean, up to [`ANSWERS_MEANT`].
    answers: f64,
}

impl MeanLength {
    fn add(&mut self, tokens: f64) {
        self.answers = (self.answers + 1.0).min(ANSWERS_MEANT);
        self.tokens += (tokens - self.tokens) / self.answers;
    }

    /// Returns the mean, where `wider` is that of a wider kind.
    fn within(&self, wider: f64) -> f64 {
        (self.tokens * self.answers + wider * WIDER_ANSWERS) / (self.answers + WIDER_ANSWERS)
    }
}

impl OutputLengths {
    /// Makes a table that strangers cannot aim at without the seed.
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    /// Returns the kinds that a request is of.
    pub(crate) fn kinds(&self, request: &InferenceRequest) -> OutputKinds {
        let model = digest_all(self.seed, request.model.as_bytes());
        let limit = request.output_max;
        let class = limit.map_or(0, |limit| 1 + u64::from(limit.max(1).ilog2()));
        let limited = mix(model, class);
        let ClientId(tenant) = request.tenant;
        OutputKinds { keys: [mix(limited, tenant), mix(limited, 0), mix(model, u64::MAX)], limit }
    }

    /// Returns the tokens that the answer to a request of these kinds is expected to have, at most its
    /// limit.
    pub(crate) fn expected(&self, kinds: &OutputKinds) -> u32 {
        let OutputKinds { keys, limit } = kinds;
        let widest = self.all.within(TOKENS_DEFAULT);
        let mean = keys.iter().rev().fold(widest, |wider, key| {
            self.known(*key).map_or(wider, |length| length.mean.within(wider))
        });
        let limit = limit.unwrap_or(OUTPUT_MAX).min(OUTPUT_MAX);
        tokens(mean).min(limit)
    }

    /// Learns the length of an answer to a request of these kinds.
    pub(crate) fn ended(&mut self, kinds: &OutputKinds, output: u32, now: Instant) {
        let output = output.min(OUTPUT_MAX);
        // What the limit cut off would have been longer: it says nothing of what is expected to be so.
        let is_cut = kinds.limit.is_some_and(|limit| output >= limit);
        let length = f64::from(output);
        let [own, limited, model] = kinds.keys;
        self.learn(own, length, now);
        if limited != own {
            self.learn(limited, length, now);
        }
        if !is_cut || self.known(model).is_none_or(|it| it.mean.tokens < length) {
            self.learn(model, length, now);
            self.all.add(length);
        }
    }

    fn learn(&mut self, key: u64, tokens: f64, now: Instant) {
        if self.kinds.is_empty() {
            self.kinds = vec![Length::default(); KINDS_MAX];
        }
        let Some(set) = self.kinds.get_mut(set(key)) else { return };
        let own = set.iter().position(|it| it.key == key);
        let idle = || {
            let (index, oldest) = set.iter().enumerate().min_by_key(|(_, it)| it.at)?;
            let is_idle = oldest.key == 0 || now.saturating_since(oldest.at) >= KIND_IDLE;
            is_idle.then_some(index)
        };
        let Some(place) = own.or_else(idle).and_then(|index| set.get_mut(index)) else { return };
        if place.key != key {
            *place = Length { key, ..Length::default() };
        }
        place.at = now;
        place.mean.add(tokens);
    }

    fn known(&self, key: u64) -> Option<&Length> {
        self.kinds.get(set(key))?.iter().find(|it| it.key == key)
    }
}

/// Returns the places that a kind may have, by the upper bits of its key.
fn set(key: u64) -> std::ops::Range<usize> {
    let first = usize::try_from(key >> (u64::BITS - SETS.ilog2())).unwrap_or(0) * SET_PLACES;
    first..first + SET_PLACES
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a mean of lengths within the bounds of one"
)]
fn tokens(mean: f64) -> u32 {
    mean.round() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(1) + Duration::from_secs(seconds)
    }

    fn request(tenant: &str, limit: Option<u32>) -> InferenceRequest {
        InferenceRequest {
            model: "m".to_owned(),
            tenant: ClientId::new(tenant),
            output_max: limit,
            ..InferenceRequest::default()
        }
    }

    /// Learns so many answers of a length.
    fn learn(lengths: &mut OutputLengths, asked: &InferenceRequest, output: u32, answers: u32) {
        let kinds = lengths.kinds(asked);
        (0..answers).for_each(|_| lengths.ended(&kinds, output, at(1)));
    }

    fn expected(lengths: &OutputLengths, tenant: &str, limit: Option<u32>) -> u32 {
        lengths.expected(&lengths.kinds(&request(tenant, limit)))
    }

    #[test]
    fn nothing_known_is_a_paragraph_within_the_limit() {
        let lengths = OutputLengths::new(7);
        assert_eq!(
            [None, Some(2_000), Some(16), Some(0)].map(|limit| expected(&lengths, "t", limit)),
            [256, 256, 16, 0]
        );
    }

    #[test]
    fn a_tenant_has_its_own_lengths_and_a_new_one_those_of_all() {
        let mut lengths = OutputLengths::new(7);
        learn(&mut lengths, &request("long", None), 2_000, 100);
        learn(&mut lengths, &request("short", None), 20, 100);
        let [long, short, new] = ["long", "short", "new"].map(|it| expected(&lengths, it, None));
        assert!((1_700..=2_000).contains(&long), "{long}");
        assert!((20..300).contains(&short), "{short}");
        assert!((short..long).contains(&new), "{new}");
        assert_eq!(expected(&lengths, "long", Some(64)), 64);
    }

    #[test]
    fn a_limit_tells_what_is_wanted() {
        let mut lengths = OutputLengths::new(7);
        for (limit, output) in [(2_048, 1_000), (64, 40), (2_048, 1_400)] {
            learn(&mut lengths, &request("t", Some(limit)), output, 50);
        }
        let found = expected(&lengths, "t", Some(4_000));
        assert!(found > 1_000, "{found}: of the same class as 2,048");
        let found = [64, 100].map(|limit| expected(&lengths, "t", Some(limit)));
        assert!(found.iter().all(|found| (40..=64).contains(found)), "{found:?}");
    }

    #[test]
    fn what_a_limit_cuts_off_shortens_no_other_answer() {
        let mut lengths = OutputLengths::new(7);
        learn(&mut lengths, &request("t", None), 1_000, 100);
        learn(&mut lengths, &request("t", Some(1)), 1, 1_000);
        let found = expected(&lengths, "other", None);
        assert!(found > 800, "{found}");
        assert_eq!(expected(&lengths, "t", Some(1)), 1);
    }

    #[test]
    fn names_that_a_client_makes_up_take_no_place_in_use() {
        let mut lengths = OutputLengths::new(7);
        learn(&mut lengths, &request("t", None), 3_000, 100);
        for name in 0..20_000 {
            learn(&mut lengths, &request(&format!("made up {name}"), None), 1, 1);
        }
        assert_eq!(lengths.kinds.len(), 1_024);
        let found = expected(&lengths, "t", None);
        assert!(found > 2_500, "{found}");
    }

    #[test]
    fn no_length_is_beyond_the_longest() {
        let mut lengths = OutputLengths::new(7);
        learn(&mut lengths, &request("t", Some(u32::MAX)), u32::MAX, 1_000);
        assert!(expected(&lengths, "t", None) <= 131_072);
        assert!(expected(&lengths, "t", Some(u32::MAX)) <= 131_072);
    }
}
