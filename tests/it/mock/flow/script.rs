//! Scripts that carry their own outcome, for requests that wait.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic, and says where it was")]

use std::{collections::BTreeMap, time::Duration};

use host_mock::{HeaderMap, Stream};

use super::world::counts;
use crate::mock::{
    push::Pod,
    world::{CHAT, World, about, chat_body},
};

/// A story as it is told: what its streams are at is compared after each line.
pub(in crate::mock) struct Script<'a> {
    world: &'a World,
    streams: BTreeMap<String, Stream>,
    seen: BTreeMap<String, String>,
    /// Whether workers hear of each other at once.
    heard: bool,
}

/// Plays each line of the script and writes behind `=>` whom it changed anything for. The result
/// must be the script itself.
///
/// | line | does |
/// |---|---|
/// | `2 pods` | a push of pods 1 and 2, which are idle |
/// | `0 asks a b as high by ann within 2s about rivers` | requests a and b reach worker 0, a millisecond after each other |
/// | `a ends`, `a leaves`, `a is refused` | the pod answers; the client goes; nobody answers |
/// | `20 ms pass` | by Envoy's clock, with all that ticks |
/// | `3 dies` | worker 3's VM |
/// | `nobody hears`, `one hears`, `all hear` | messages between workers are late; the oldest arrives; all do |
/// | `count` | what the ledger says: waiting, granted, in flight |
#[track_caller]
pub(super) fn tell(world: &World, script: &str) {
    let mut told = String::new();
    let mut meant = String::new();
    let mut player = Script::new(world);
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let action = line.split("=>").next().unwrap().trim();
        let outcome = player.play(action);
        let arrow = if outcome.is_empty() { "" } else { " => " };
        told.push_str(&format!("{action}{arrow}{outcome}\n"));
        meant.push_str(&format!("{line}\n"));
    }
    assert!(told == meant, "it was told:\n{meant}\nand this happened:\n{told}");
}

impl<'a> Script<'a> {
    /// With nobody there yet.
    pub(in crate::mock) fn new(world: &'a World) -> Self {
        Self { world, streams: BTreeMap::new(), seen: BTreeMap::new(), heard: true }
    }

    /// Plays one line; returns what changed.
    pub(in crate::mock) fn play(&mut self, action: &str) -> String {
        let words: Vec<&str> = action.split_whitespace().collect();
        match words.as_slice() {
            [count, "pods"] => self.world.pods(&Pod::idles(count.parse().unwrap())),
            [worker, "asks", rest @ ..] => self.arrive(worker.parse().unwrap(), rest),
            [name, "ends"] => self.stream(name).respond(200, NONE, b"{}"),
            [name, "leaves"] => self.stream(name).disconnect(),
            [name, "is", "refused"] => self.stream(name).refuse(),
            [time, "ms", "pass"] => self.pass(Duration::from_millis(time.parse().unwrap())),
            [time, "s", "pass"] => self.pass(Duration::from_secs(time.parse().unwrap())),
            [worker, "dies"] => self.world.envoy.worker(worker.parse().unwrap()).kill(),
            ["nobody", "hears"] => self.heard = false,
            ["all", "hear"] => self.heard = true,
            ["one", "hears"] => assert!(self.world.envoy.deliver(0), "nobody said anything"),
            ["count"] => return format!("{:?}", counts(self.world)),
            _ => panic!("no such line: {action:?}"),
        }
        if self.heard {
            self.world.envoy.pump();
        }
        self.news()
    }

    /// The stream of that name.
    pub(super) fn stream(&self, name: &str) -> &Stream {
        self.streams.get(name).unwrap_or_else(|| panic!("nobody asked {name:?}"))
    }

    fn arrive(&mut self, worker: usize, words: &[&str]) {
        let named = words.iter().take_while(|word| !OPTIONS.contains(word)).count();
        let (names, options) = words.split_at(named);
        let mut headers = HeaderMap::new();
        let mut prompt = "hello".to_owned();
        for option in options.chunks(2) {
            match *option {
                ["as", objective] => headers.add("x-llm-d-inference-objective", objective),
                ["by", tenant] => headers.add("x-llm-d-inference-fairness-id", tenant),
                ["within", ttl] => headers.add("x-llm-d-inference-ttl", ttl),
                ["about", topic] => prompt = about(topic),
                _ => panic!("no such option: {option:?}"),
            }
        }
        for name in names {
            let to = self.world.envoy.worker(worker);
            let stream = to.post(CHAT, headers.clone(), &chat_body(&prompt));
            assert!(self.streams.insert((*name).to_owned(), stream).is_none(), "{name} asks twice");
            // Who comes later is later by the clock, too: order never hangs on a worker's name.
            self.pass(Duration::from_millis(1));
        }
    }

    fn pass(&self, time: Duration) {
        if self.heard {
            self.world.envoy.run_for(time);
        } else {
            self.world.envoy.advance(time);
        }
    }

    fn news(&mut self) -> String {
        let mut news = Vec::new();
        for (name, stream) in &self.streams {
            let state = state(stream);
            if self.seen.get(name) != Some(&state) {
                let begins = !self.seen.contains_key(name);
                // Who asks and waits, and whose end the script itself tells, are no news.
                if !matches!((begins, state.as_str()), (true, "waits") | (false, "200" | "gone")) {
                    news.push(format!("{name} {state}"));
                }
                self.seen.insert(name.clone(), state);
            }
        }
        news.join(", ")
    }
}

const NONE: &[(&str, &str)] = &[];
const OPTIONS: [&str; 4] = ["as", "by", "within", "about"];

/// What a stream is at, in a word or two.
fn state(stream: &Stream) -> String {
    match (stream.response(), stream.sent()) {
        (Some(response), _) => {
            let reason = response.headers.text("x-llm-d-request-dropped-reason");
            reason.map_or_else(|| response.status.to_string(), str::to_owned)
        }
        (None, _) if stream.is_over() => "gone".to_owned(),
        (None, Some(_)) => "goes".to_owned(),
        (None, None) => "waits".to_owned(),
    }
}
