//! What becomes of requests, and what is learnt from that.

use std::net::SocketAddr;

use super::Engine;
use crate::{
    Answer, Ask, Chain, Decision, Fault, Instant, Note, RequestId, Verdict, placements::Placement,
};

impl Engine {
    /// Learns a prompt as soon as it is on its way, so that the next request of a burst with the
    /// same prompt follows.
    pub(super) fn send(
        &mut self,
        (request, at): (RequestId, Instant),
        ask: Ask,
        decision: Decision,
    ) -> Vec<Note> {
        let bound = self.bind_sessions(at, &ask, &decision);
        let chain = ask.chain;
        let Some(placement) = Placement::new(at, chain.clone(), decision) else {
            return Vec::new();
        };
        let (endpoint, prefill) = (placement.endpoint, placement.prefill.map(|it| it.endpoint));
        let (_, sight) = placement.computing();
        self.learned.sent(sight.uncached_tokens);
        if let Some(slot) = self.slot(endpoint) {
            self.avoidance.sent(slot, at);
        }
        for endpoint in [Some(endpoint), prefill].into_iter().flatten().filter(|_| sight.cold) {
            if let Some(slot) = self.slot(endpoint) {
                self.learned.sent_cold(slot);
            }
        }
        self.placements.insert(request, placement);
        // Who computes the prompt has it as well as who was sent it.
        let computed =
            prefill.map(|prefill| self.told(at, prefill, chain.clone(), Verdict::Placed));
        let mut notes = self.told(at, endpoint, chain, Verdict::Placed);
        notes.extend(computed.unwrap_or_default());
        notes.extend(bound);
        notes
    }

    /// Moves a prompt to where it really went, and unlearns one that was not taken.
    pub(super) fn answer(
        &mut self,
        (request, at): (RequestId, Instant),
        served_by: Option<SocketAddr>,
        answer: Answer,
    ) -> Vec<Note> {
        let Some(placement) = self.placements.get_mut(request) else { return Vec::new() };
        let first = placement.endpoint;
        let Some(chain) = placement.answered() else { return Vec::new() };
        let is_taken = matches!(answer, Answer::Taken | Answer::Broken(_));
        let prefill = placement.prefill.filter(|_| !is_taken);
        let server = served_by.unwrap_or(first);
        let mut notes = Vec::new();
        if server != first {
            // Envoy got there by failures alone. Where the last one failed as well, it is the
            // request that fails everywhere.
            let verdict = match answer {
                Answer::Failed(_) => Verdict::Withdrawn,
                Answer::Taken | Answer::Broken(_) | Answer::Refused => {
                    Verdict::Failed(Fault::Endpoint)
                }
            };
            let passed = placement.fallbacks.iter().take_while(|other| **other != server);
            let passed: Vec<SocketAddr> = passed.copied().collect();
            placement.endpoint = server;
            notes = self.told(at, first, chain.clone(), verdict);
            for other in passed {
                notes.extend(self.told(at, other, Chain::default(), verdict));
            }
        }
        if let Some(prefill) = prefill {
            // Perhaps it was asked, but that is not known, and it is blamed for nothing.
            notes.extend(self.told(at, prefill.endpoint, chain.clone(), Verdict::Withdrawn));
        }
        let (chain, verdict) = match answer {
            Answer::Taken | Answer::Broken(_) if server != first => (chain, Verdict::Placed),
            Answer::Taken => (Chain::default(), Verdict::Served),
            Answer::Broken(fault) => (Chain::default(), Verdict::Failed(fault)),
            Answer::Refused if server == first => (chain, Verdict::Withdrawn),
            Answer::Failed(fault) if server == first => (chain, Verdict::Failed(fault)),
            Answer::Refused | Answer::Failed(_) => return notes,
        };
        if verdict == Verdict::Placed {
            let more = if let Answer::Broken(fault) = answer {
                Some(Verdict::Failed(fault))
            } else {
                self.has_failed(server).then_some(Verdict::Served)
            };
            let told = more.map(|more| self.told(at, server, Chain::default(), more));
            notes.extend(told.unwrap_or_default());
        }
        if verdict != Verdict::Served || self.has_failed(server) {
            notes.extend(self.told(at, server, chain, verdict));
        }
        notes
    }

    /// Learns how long a first token took. After a retry it is not known from when to count.
    pub(super) fn learn_first_token(&mut self, request: RequestId, at: Instant) {
        let Some(placement) = self.placements.get(request) else { return };
        let ((endpoint, sight), took) = (placement.computing(), at.saturating_since(placement.at));
        if let Some(slot) = self.slot(endpoint) {
            self.learned.first_token(slot, &sight, took);
        }
    }

    /// Unlearns what an unanswered request had brought.
    pub(super) fn end(&mut self, request: RequestId) -> Vec<Note> {
        let Some(mut placement) = self.placements.remove(request) else { return Vec::new() };
        let Some(chain) = placement.answered() else { return Vec::new() };
        let at = placement.at;
        let computed = placement
            .prefill
            .map(|it| self.told(at, it.endpoint, chain.clone(), Verdict::Withdrawn));
        let mut notes = self.told(at, placement.endpoint, chain, Verdict::Withdrawn);
        notes.extend(computed.unwrap_or_default());
        notes
    }
}
