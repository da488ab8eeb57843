//! The clients' requests: three kinds of traffic, which differ in how much of a prompt an engine
//! may have cached.

use fastrand::Rng;
use serde_json::{Value, json};

/// Number of prefixes that are shared: as many as make it matter which engine has which.
const PREFIXES: u64 = 6;

/// Number of words of a prefix; with the engines' vocabularies some 600 to 1,000 tokens.
const PREFIX_WORDS: usize = 500;

/// Number of words of a question of its own.
const QUESTION_WORDS: usize = 30;

/// Number of words that a client adds in each turn of a conversation.
const TURN_WORDS: usize = 120;

/// Number of turns of a conversation. The client then begins another one.
const TURNS: usize = 5;

/// Number of conversations that a client holds in turn: a turn comes when its engine has done
/// something else.
const CONVERSATIONS: usize = 2;

/// Number of words of a prompt that is like no other.
const LONE_WORDS: usize = 300;

const WORDS: [&str; 32] = [
    "river", "stone", "green", "seven", "light", "paper", "house", "under", "train", "cloud",
    "bread", "night", "glass", "field", "voice", "table", "north", "spoon", "metal", "apple",
    "ocean", "chair", "brick", "smoke", "plant", "watch", "quiet", "round", "sharp", "early",
    "large", "blind",
];

/// A kind of traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Traffic {
    SharedPrefixes,
    Conversations,
    NoReuse,
}

impl Traffic {
    pub(super) const ALL: [Self; 3] = [Self::SharedPrefixes, Self::Conversations, Self::NoReuse];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::SharedPrefixes => "shared prefixes",
            Self::Conversations => "conversations",
            Self::NoReuse => "no reuse",
        }
    }
}

/// A client's part in a run of a traffic.
#[derive(Debug)]
pub(super) struct Client {
    traffic: Traffic,
    /// Number of the run: no two runs have a prefix in common, so none finds what another left in
    /// the caches.
    run: u64,
    /// Chance of the choices, alike in each run.
    choice: Rng,
    /// Chance of the words.
    words: Rng,
    conversations: [Vec<Value>; CONVERSATIONS],
    asked: usize,
}

impl Client {
    /// Returns the client of that number. In another run it asks the same in other words.
    pub(super) fn new(traffic: Traffic, run: u64, number: u64) -> Self {
        let words = Rng::with_seed(run.wrapping_mul(1_000).wrapping_add(number));
        let choice = Rng::with_seed(number);
        let conversations = [const { Vec::new() }; 2];
        Self { traffic, run, choice, words, conversations, asked: 0 }
    }

    /// Returns the messages of the client's next request.
    pub(super) fn ask(&mut self) -> Vec<Value> {
        match self.traffic {
            Traffic::SharedPrefixes => {
                let prefix = self.choice.u64(..PREFIXES);
                let mut words =
                    Rng::with_seed(self.run.wrapping_mul(PREFIXES).wrapping_add(prefix));
                let system = json!({"role": "system", "content": text(&mut words, PREFIX_WORDS)});
                vec![system, self.says(QUESTION_WORDS)]
            }
            Traffic::NoReuse => vec![self.says(LONE_WORDS)],
            Traffic::Conversations => {
                let turn = self.says(TURN_WORDS);
                let Some(conversation) = self.conversations.get_mut(self.asked % CONVERSATIONS)
                else {
                    return vec![turn];
                };
                if conversation.len() >= 2 * TURNS {
                    conversation.clear();
                }
                conversation.push(turn);
                conversation.clone()
            }
        }
    }

    /// Takes the answer to the last request.
    pub(super) fn hear(&mut self, answer: &str) {
        if self.traffic == Traffic::Conversations
            && let Some(conversation) = self.conversations.get_mut(self.asked % CONVERSATIONS)
        {
            conversation.push(json!({"role": "assistant", "content": answer}));
        }
        self.asked += 1;
    }

    fn says(&mut self, words: usize) -> Value {
        json!({"role": "user", "content": text(&mut self.words, words)})
    }
}

fn text(chance: &mut Rng, words: usize) -> String {
    let mut text = String::new();
    for _ in 0..words {
        text += chance.choice(WORDS).unwrap_or_default();
        text.push(' ');
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn prefixes_are_shared_within_a_run_and_with_no_other() {
        let prefixes = |run| -> BTreeSet<String> {
            let mut clients = [0, 1].map(|it| Client::new(Traffic::SharedPrefixes, run, it));
            let asks = (0..80).map(|ask| clients[ask % 2].ask()[0].to_string());
            asks.collect()
        };
        let (one, other) = (prefixes(1), prefixes(2));
        assert_eq!((one.len(), other.len()), (6, 6));
        assert!(one.is_disjoint(&other));
    }

    #[test]
    fn a_conversation_goes_on_with_what_was_answered_and_ends() {
        let mut client = Client::new(Traffic::Conversations, 1, 0);
        let lengths: Vec<_> = (0..12)
            .map(|_| {
                let length = client.ask().len();
                client.hear("yes");
                length
            })
            .collect();
        assert_eq!(lengths, [1, 1, 3, 3, 5, 5, 7, 7, 9, 9, 1, 1], "two by turns");
    }

    #[test]
    fn each_client_and_each_run_has_its_own_words() {
        for traffic in Traffic::ALL {
            let ask = |run, number| Client::new(traffic, run, number).ask();
            assert_eq!(ask(7, 3), ask(7, 3));
            assert_ne!(ask(7, 3), ask(7, 4));
            assert_ne!(ask(7, 3), ask(8, 3));
        }
    }
}
