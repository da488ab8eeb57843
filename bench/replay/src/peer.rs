//! The peers: a policy by its published formula, over what its gateway knows.
//!
//! All of them need the counts of requests in flight, an index of the placements and the last
//! metrics; these are here once. A policy is then a function from that to a pod. The policies are
//! formulas at their defaults, not the products.

mod book;
mod lru;
mod view;

mod staged;

use std::time::Duration;

pub(crate) use book::Load;
pub(crate) use lru::Lru;
pub(crate) use staged::Staged;
pub(crate) use view::View;

use crate::{
    fleet::{Fleet, Pod, Reading},
    router::{Arrival, Route, Router, Usage},
    trace::BLOCK_TOKENS,
};
use book::{Book, PromptTokens};

/// A way to choose a pod.
pub(crate) trait Policy {
    /// Returns the pod for a request.
    fn pick(&mut self, view: &mut View<'_>) -> usize;

    /// Returns the source of the policy's knowledge of prefixes.
    fn knows(&self) -> Knows {
        Knows::Placements { blocks_per_pod: None }
    }

    /// Returns the time between two readings of the metrics; `None` if the policy reads none.
    fn scrapes_every(&self) -> Option<Duration> {
        None
    }
}

/// Source of a policy's knowledge of the pods' caches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Knows {
    /// Placements of its own: so many blocks per pod, least recently used first out; as many as the
    /// pod's cache if not said.
    Placements { blocks_per_pod: Option<usize> },
    /// The pods' KV events, taken as exact and immediate.
    Events,
    /// Nothing is known.
    Nothing,
}

/// A gateway with such a policy.
pub(crate) struct Peer {
    policy: Box<dyn Policy>,
    /// Number of the first of its pods in the fleet.
    first: usize,
    book: Book,
    index: Vec<Lru>,
    readings: Vec<Reading>,
    /// Time of the readings.
    read_at: Duration,
    chance: fastrand::Rng,
}

impl Peer {
    /// Returns an idle gateway over these pods.
    pub(crate) fn new(policy: Box<dyn Policy>, pods: &[Pod], seed: u64) -> Self {
        let own = |pod: &Pod| match policy.knows() {
            Knows::Placements { blocks_per_pod } => blocks_per_pod.unwrap_or_else(|| pod.blocks()),
            Knows::Events | Knows::Nothing => 0,
        };
        Self {
            index: pods.iter().map(|pod| Lru::new(own(pod))).collect(),
            policy,
            first: 0,
            book: Book::new(pods.len()),
            readings: vec![Reading::default(); pods.len()],
            read_at: Duration::ZERO,
            chance: fastrand::Rng::with_seed(seed),
        }
    }

    /// Has the gateway's pods begin at this one of the fleet.
    pub(crate) fn beginning_at(self, first: usize) -> Self {
        Self { first, ..self }
    }

    fn matched(&self, arrival: Arrival<'_>, fleet: &Fleet) -> Vec<usize> {
        let blocks = arrival.request.cacheable_blocks();
        let of = |pod: usize, lru: &Lru| match self.policy.knows() {
            Knows::Placements { .. } => lru.matched(blocks),
            Knows::Events => fleet.cached(self.first + pod, blocks),
            Knows::Nothing => 0,
        };
        self.index.iter().enumerate().map(|(pod, lru)| of(pod, lru) * BLOCK_TOKENS).collect()
    }
}

impl Router for Peer {
    fn scrapes_every(&self) -> Option<Duration> {
        self.policy.scrapes_every()
    }

    fn scraped(&mut self, now: Duration, readings: &[Reading], age: Duration) {
        let own = readings.iter().skip(self.first).take(self.readings.len());
        self.readings = own.cloned().collect();
        self.read_at = now.saturating_sub(age);
        self.book.seen(self.read_at);
    }

    fn place(&mut self, now: Duration, arrival: Arrival<'_>, fleet: &Fleet) -> Route {
        let matched = self.matched(arrival, fleet);
        let index_sizes: Vec<usize> = self.index.iter().map(Lru::len).collect();
        let pod = self.policy.pick(&mut View {
            request: arrival.request,
            matched: &matched,
            loads: self.book.loads(),
            readings: &self.readings,
            index_sizes: &index_sizes,
            chance: &mut self.chance,
        });
        let cached = matched.get(pod).copied().unwrap_or(0);
        let tokens = PromptTokens { all: arrival.request.prompt, cached };
        self.book.open(now, arrival.number, pod, tokens);
        if let Some(lru) = self.index.get_mut(pod) {
            lru.learn(arrival.request.full_blocks());
        }
        (self.first + pod).into()
    }

    fn answered(&mut self, _now: Duration, request: usize) {
        self.book.answered(request);
    }

    fn ended(&mut self, _now: Duration, request: usize, _usage: Usage) {
        self.book.close(request);
    }
}
