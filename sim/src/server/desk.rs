//! The desk between engine and clients: it brings each request's tokens to the client that waits
//! for them.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use serde::Serialize;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::engine_core::{Config, Effect, EngineCore, Finish, Request, RequestId, Usage, words};

/// Number of prompts remembered for `GET /admin/state`: enough for a test, nothing for the memory.
const LOG_MAX: usize = 256;

/// News for one request.
#[derive(Debug)]
pub(super) enum News {
    /// The next word of a stream, the last one if there is a finish.
    Word([char; 4], Option<Finish>),
    /// The end: for a request that isn't streamed, with the whole text.
    End(String, Finish, Usage),
}

/// Channel to a client. A sender holds at most one message per token of its request, so the
/// channels are bounded by the model's length.
#[derive(Debug)]
enum Sink {
    Whole(String, UnboundedSender<News>),
    Stream(UnboundedSender<News>),
}

/// An ended prompt.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Entry {
    id: u64,
    prompt_tokens: usize,
    cached_tokens: usize,
    completion_tokens: usize,
    finish: &'static str,
}

/// The engine with its clients.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) core: EngineCore,
    /// Number of requests taken in since the process began.
    pub(super) seen: u64,
    /// The last ended prompts, oldest first.
    pub(super) log: VecDeque<Entry>,
    sinks: HashMap<RequestId, Sink>,
    effects: Vec<Effect>,
}

impl Desk {
    pub(super) fn new(config: Config) -> Self {
        Self {
            core: EngineCore::new(config),
            seen: 0,
            log: VecDeque::new(),
            sinks: HashMap::new(),
            effects: Vec::new(),
        }
    }

    /// Hands a request in; its news come over the channel.
    pub(super) fn submit(
        &mut self,
        now: Duration,
        request: Request,
        stream: bool,
    ) -> (RequestId, UnboundedReceiver<News>) {
        let (sender, receiver) = unbounded_channel();
        self.seen += 1;
        let id = RequestId(self.seen);
        let sink = if stream { Sink::Stream(sender) } else { Sink::Whole(String::new(), sender) };
        self.sinks.insert(id, sink);
        self.core.arrive(now, id, request, &mut self.effects);
        self.deliver();
        (id, receiver)
    }

    /// Tells the engine that the client of `id` is gone.
    pub(super) fn leave(&mut self, now: Duration, id: RequestId) {
        if self.sinks.remove(&id).is_some() {
            self.core.leave(now, id, &mut self.effects);
            self.deliver();
        }
    }

    /// Lets the engine do what is due.
    pub(super) fn advance(&mut self, now: Duration) {
        self.core.advance(now, &mut self.effects);
        self.deliver();
    }

    /// Stops or allows further steps.
    pub(super) fn pause(&mut self, now: Duration, paused: bool) {
        self.core.pause(now, paused, &mut self.effects);
        self.deliver();
    }

    /// Starts a new engine; the clients of the old one hear that it is gone.
    pub(super) fn restart(&mut self, config: Config) {
        self.core = EngineCore::new(config);
        self.sinks.clear();
        self.log.clear();
    }

    fn deliver(&mut self) {
        for effect in self.effects.drain(..) {
            // A failed send means that the client left in this moment; its ticket says so next.
            match effect {
                Effect::Token { id, token, finish } => match self.sinks.get_mut(&id) {
                    Some(Sink::Whole(text, _)) => text.extend(words::text(token)),
                    Some(Sink::Stream(sender)) => {
                        let _ = sender.send(News::Word(words::text(token), finish));
                    }
                    None => {}
                },
                Effect::End(id, finish, usage) => {
                    if self.log.len() == LOG_MAX {
                        self.log.pop_front();
                    }
                    self.log.push_back(entry(id, finish, usage));
                    let (text, sender) = match self.sinks.remove(&id) {
                        Some(Sink::Whole(text, sender)) => (text, sender),
                        Some(Sink::Stream(sender)) => (String::new(), sender),
                        None => continue,
                    };
                    let _ = sender.send(News::End(text, finish, usage));
                }
            }
        }
    }
}

fn entry(id: RequestId, finish: Finish, usage: Usage) -> Entry {
    Entry {
        id: id.0,
        prompt_tokens: usage.prompt,
        cached_tokens: usage.cached,
        completion_tokens: usage.generated,
        finish: finish.name(),
    }
}
