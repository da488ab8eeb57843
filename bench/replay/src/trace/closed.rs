//! Clients that wait for each answer before they ask again: closed loops.
//!
//! An open load keeps coming however slow the pods are. Clients that wait send less to slow pods, so
//! that a bad choice shows in the number of requests served as well as in their times.

use std::{ops::RangeInclusive, time::Duration};

use super::{BLOCK_TOKENS, Claims, FIRST_AT, FollowUp, Numbering, Request, Trace, Window};

/// Clients that each send one request after the other.
#[derive(Clone, Debug)]
pub(crate) struct Clients {
    pub(crate) count: usize,
    /// Number of blocks that all prompts begin with.
    pub(crate) shared_blocks: usize,
    /// Tokens of a prompt after what it shares, each time new.
    pub(crate) own: Sizes,
    /// Tokens of an answer.
    pub(crate) answer: Sizes,
    /// Number of turns of a conversation: each turn begins with the prompt of the one before it.
    pub(crate) turns: usize,
    /// Number of full blocks that each turn adds, beside its own tokens.
    pub(crate) turn_blocks: usize,
    /// Time over which the clients begin, one after the other: none begins at the same moment as another.
    pub(crate) begin_within: Duration,
    /// Time between an answer and the client's next request.
    pub(crate) pause: Pause,
    /// Number of LoRA adapters, which clients use in turn; 0 for the model itself.
    pub(crate) adapters: u8,
    /// Number of clients that all use the first adapter.
    pub(crate) alike: usize,
    /// Time that passes before anything is counted.
    pub(crate) warm_up: Duration,
    /// Time over which requests are counted.
    pub(crate) counted: Duration,
    /// The most requests of one client: more than it can send in that time.
    pub(crate) requests_max: usize,
}

/// Time between an answer and the next request: a person's, or a tool's, which is mostly short.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Pause {
    pub(crate) usual: Duration,
    pub(crate) rare: Option<RarePause>,
}

/// A pause that a share of the answers is followed by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct RarePause {
    /// Share of the answers, 0 to 1.
    pub(crate) share: f64,
    pub(crate) length: Duration,
}

impl From<Duration> for Pause {
    fn from(usual: Duration) -> Self {
        Self { usual, rare: None }
    }
}

impl Pause {
    pub(super) fn draw(self, chance: &mut fastrand::Rng) -> Duration {
        match self.rare {
            Some(RarePause { share, length }) if chance.f64() < share => length,
            _ => self.usual,
        }
    }
}

/// Sizes in tokens: most from a range, each as likely, and a share of one other size.
#[derive(Clone, Debug)]
pub(crate) struct Sizes {
    pub(crate) usual: RangeInclusive<usize>,
    pub(crate) rare: Option<RareSize>,
}

/// A size that a share of the requests has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RareSize {
    /// Share of the requests, 0 to 1.
    pub(crate) share: f64,
    pub(crate) tokens: usize,
}

impl From<RangeInclusive<usize>> for Sizes {
    fn from(usual: RangeInclusive<usize>) -> Self {
        Self { usual, rare: None }
    }
}

impl Sizes {
    /// Adds a size that a share of the requests has.
    pub(crate) fn with_rare(self, share: f64, tokens: usize) -> Self {
        Self { rare: Some(RareSize { share, tokens }), ..self }
    }

    pub(super) fn draw(&self, chance: &mut fastrand::Rng) -> usize {
        match self.rare {
            Some(RareSize { share, tokens }) if chance.f64() < share => tokens,
            _ => chance.usize(self.usual.clone()),
        }
    }
}

impl Default for Clients {
    /// Returns 48 clients with short prompts and answers, for 40 s.
    fn default() -> Self {
        Self {
            count: 48,
            shared_blocks: 0,
            own: (40..=80).into(),
            answer: (24..=40).into(),
            turns: 1,
            turn_blocks: 0,
            begin_within: Duration::from_millis(500),
            pause: Pause::default(),
            adapters: 0,
            alike: 0,
            warm_up: Duration::ZERO,
            counted: Duration::from_secs(40),
            requests_max: 800,
        }
    }
}

impl Clients {
    /// Makes all requests that the clients may send; the time of each but a client's first depends on
    /// the end of the one before it.
    pub(crate) fn trace(&self, seed: u64) -> Trace {
        let mut chance = fastrand::Rng::with_seed(seed);
        let mut numbering = Numbering::default();
        let shared = numbering.continue_from(Vec::new(), self.shared_blocks * BLOCK_TOKENS);
        let from = FIRST_AT + self.warm_up;
        let window = Some(Window { from, until: from + self.counted });
        let mut trace = Trace { window, ..Trace::default() };
        let mut session = 0;
        for client in 0..self.count {
            let at = FIRST_AT + self.begin_within.mul_f64(client as f64 / self.count as f64);
            let mut history = shared.clone();
            for number in 0..self.requests_max {
                if number % self.turns == 0 {
                    history.clone_from(&shared);
                    session += 1;
                }
                if number > 0 {
                    let request = trace.requests.len();
                    let pause = self.pause.draw(&mut chance);
                    trace.follow(request - 1, FollowUp { request, pause });
                }
                let mut request = self.request(at, history, &mut numbering, &mut chance);
                request.claims.session = Some(session);
                request.claims.adapter = self.adapter(client);
                history = request.full_blocks().to_vec();
                trace.requests.push(request);
            }
        }
        trace
    }

    /// Returns the adapter that a client asks for.
    fn adapter(&self, client: usize) -> Option<u8> {
        let adapter = client.saturating_sub(self.alike).checked_rem(usize::from(self.adapters))?;
        u8::try_from(adapter).ok()
    }

    fn request(
        &self,
        at: Duration,
        history: Vec<u64>,
        numbering: &mut Numbering,
        chance: &mut fastrand::Rng,
    ) -> Request {
        let before = (history.len() + self.turn_blocks) * BLOCK_TOKENS;
        let prompt = before + self.own.draw(chance);
        let answer = self.answer.draw(chance);
        // As clients do: a round number above what they expect.
        let claims =
            Claims { max_tokens: Some((2 * answer).next_power_of_two()), ..Claims::default() };
        Request { at, prompt, answer, blocks: numbering.continue_from(history, prompt), claims }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_begins_with_the_prompt_before_it_and_a_conversation_with_what_all_share() {
        let clients = Clients {
            count: 2,
            shared_blocks: 1,
            own: (1..=100).into(),
            turns: 2,
            turn_blocks: 1,
            requests_max: 3,
            ..Clients::default()
        };
        let trace = clients.trace(1);
        let [first, second, third, other, ..] = trace.requests.as_slice() else { panic!() };
        assert_eq!(second.full_blocks()[..2], *first.full_blocks());
        assert_eq!(third.full_blocks()[..1], first.full_blocks()[..1]);
        assert_ne!(third.full_blocks()[1], first.full_blocks()[1]);
        assert_eq!(other.full_blocks()[0], first.full_blocks()[0]);
        let follows: Vec<_> =
            trace.follow_ups.iter().map(|(it, next)| (*it, next[0].request)).collect();
        assert_eq!(follows, [(0, 1), (1, 2), (3, 4), (4, 5)], "no client follows another");
    }

    #[test]
    fn a_rare_size_has_its_share() {
        let sizes = Sizes::from(1..=9).with_rare(0.2, 400);
        let mut chance = fastrand::Rng::with_seed(1);
        let drawn: Vec<usize> = (0..1_000).map(|_| sizes.draw(&mut chance)).collect();
        let rare = drawn.iter().filter(|size| **size == 400).count();
        assert!((150..250).contains(&rare), "{rare}");
        assert!(drawn.iter().all(|size| *size == 400 || (1..=9).contains(size)));
    }
}
