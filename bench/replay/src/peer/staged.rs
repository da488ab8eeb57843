//! Disaggregated serving: some pods compute prompts, others write the answers.

use std::time::Duration;

use super::{Peer, Policy};
use crate::{
    fleet::{Fleet, Pod, Reading, Role},
    router::{Arrival, Route, Router, Usage},
};

/// A gateway that chooses a pod for each stage, each by a policy of its own.
pub(crate) struct Staged {
    prefill: Peer,
    decode: Peer,
}

impl Staged {
    /// Returns an idle gateway over pods of which those that compute prompts come first.
    pub(crate) fn new(
        prefill: Box<dyn Policy>,
        decode: Box<dyn Policy>,
        pods: &[Pod],
        seed: u64,
    ) -> Self {
        let first = pods.iter().take_while(|pod| pod.role == Role::Prefill).count();
        let (computing, answering) = pods.split_at(first);
        Self {
            prefill: Peer::new(prefill, computing, seed),
            decode: Peer::new(decode, answering, !seed).beginning_at(first),
        }
    }
}

impl Router for Staged {
    fn scrapes_every(&self) -> Option<Duration> {
        self.prefill.scrapes_every().or_else(|| self.decode.scrapes_every())
    }

    fn scraped(&mut self, now: Duration, readings: &[Reading], age: Duration) {
        self.prefill.scraped(now, readings, age);
        self.decode.scraped(now, readings, age);
    }

    fn place(&mut self, now: Duration, arrival: Arrival<'_>, fleet: &Fleet) -> Route {
        let prefill = self.prefill.place(now, arrival, fleet).pod;
        Route { prefill: Some(prefill), ..self.decode.place(now, arrival, fleet) }
    }

    fn answered(&mut self, now: Duration, request: usize) {
        // The prompt left the pod that computed it.
        self.prefill.answered(now, request);
        self.prefill.ended(now, request, Usage::default());
        self.decode.answered(now, request);
    }

    fn ended(&mut self, now: Duration, request: usize, usage: Usage) {
        self.decode.ended(now, request, usage);
    }
}
