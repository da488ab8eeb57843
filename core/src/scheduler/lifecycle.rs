//! What becomes of requests, and what is learnt from that.

use std::net::SocketAddr;

use super::Scheduler;
use crate::{
    model::{
        Chain, End, EventKind, Fault, InferenceRequest, Instant, PlacementEvent, RequestId,
        ResponseClass, SchedulingResult,
    },
    pool::{OutlierDetector, Placement},
};

impl Scheduler {
    /// Learns a prompt as soon as it is on its way, so that the next request of a burst with the
    /// same prompt follows.
    pub(super) fn send(
        &mut self,
        (request, at): (RequestId, Instant),
        ask: InferenceRequest,
        decision: SchedulingResult,
    ) -> Vec<PlacementEvent> {
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
            prefill.map(|prefill| self.told(at, prefill, chain.clone(), EventKind::Placed));
        let placed = self.told(at, endpoint, chain, EventKind::Placed);
        // What ended did so before this one was placed. Without a place of its own it waits.
        let mut notes: Vec<PlacementEvent> =
            if placed.is_empty() { Vec::new() } else { self.ended.take().collect() };
        notes.extend(placed);
        notes.extend(computed.unwrap_or_default());
        notes.extend(bound);
        notes
    }

    /// Moves a prompt to where it really went, and unlearns one that was not taken.
    pub(super) fn answer(
        &mut self,
        (request, at): (RequestId, Instant),
        served_by: Option<SocketAddr>,
        answer: ResponseClass,
    ) -> Vec<PlacementEvent> {
        let Some(placement) = self.placements.get_mut(request) else { return Vec::new() };
        let first = placement.endpoint;
        let Some(chain) = placement.answered() else { return Vec::new() };
        let prefill = placement.prefill.filter(|_| answer != ResponseClass::Taken);
        let server = served_by.unwrap_or(first);
        let mut notes = Vec::new();
        if server != first {
            // Envoy got there by failures alone. Where the last one failed as well, it is the
            // request that fails everywhere.
            let verdict = match answer {
                ResponseClass::Failed(_) => EventKind::Withdrawn,
                ResponseClass::Taken | ResponseClass::Refused => EventKind::Failed(Fault::Endpoint),
            };
            let passed = placement.fallbacks.iter().take_while(|other| **other != server);
            let passed: Vec<SocketAddr> = passed.copied().collect();
            (placement.endpoint, placement.is_moved) = (server, true);
            notes = self.told(at, first, chain.clone(), verdict);
            for other in passed {
                notes.extend(self.told(at, other, Chain::default(), verdict));
            }
        }
        if let Some(prefill) = prefill {
            // Perhaps it was asked, but that is not known, and it is blamed for nothing.
            notes.extend(self.told(at, prefill.endpoint, chain.clone(), EventKind::Withdrawn));
        }
        let of_server = match answer {
            ResponseClass::Taken => self.taken((request, at), (first, server), chain),
            ResponseClass::Refused if server == first => {
                self.told(at, server, chain, EventKind::Withdrawn)
            }
            ResponseClass::Failed(fault) if server == first => {
                self.told(at, server, chain, EventKind::Failed(fault))
            }
            ResponseClass::Refused | ResponseClass::Failed(_) => Vec::new(),
        };
        notes.extend(of_server);
        notes
    }

    /// The server has computed the prompt.
    fn taken(
        &mut self,
        (request, at): (RequestId, Instant),
        (first, server): (SocketAddr, SocketAddr),
        chain: Chain,
    ) -> Vec<PlacementEvent> {
        let mut notes = if self.of(server, OutlierDetector::ends_with_a_beginning) {
            self.told(at, server, Chain::default(), EventKind::Served)
        } else {
            Vec::new()
        };
        if server != first {
            notes.extend(self.told(at, server, chain.clone(), EventKind::Placed));
        }
        if let Some(placement) = self.placements.get_mut(request) {
            placement.served = Some(chain);
        }
        notes
    }

    /// Learns how long a first token took. After a retry it is not known from when to count.
    pub(super) fn learn_first_token(&mut self, request: RequestId, at: Instant) {
        let Some(placement) = self.placements.get(request).filter(|it| !it.is_moved) else {
            return;
        };
        let ((endpoint, sight), took) = (placement.computing(), at.saturating_since(placement.at));
        if let Some(slot) = self.slot(endpoint) {
            self.learned.first_token(slot, &sight, took);
        }
    }

    /// Unlearns what an unanswered request had brought. An answered one's blocks were in use until now,
    /// and an endpoint evicts what was in use least recently. The others may hear of that late, so it
    /// brings nothing that was evicted or taken back since.
    pub(super) fn end(
        &mut self,
        (request, now): (RequestId, Instant),
        end: End,
    ) -> Vec<PlacementEvent> {
        let Some(mut placement) = self.placements.remove(request) else { return Vec::new() };
        let verdict = self.verdict(&placement, end);
        let at = placement.at;
        if let Some(chain) = placement.served.take() {
            let told = self.told(at, placement.endpoint, chain, EventKind::Used);
            self.ended.push(told);
        }
        if let Some(verdict) = verdict {
            return self.told(now, placement.endpoint, Chain::default(), verdict);
        }
        let Some(chain) = placement.answered() else { return Vec::new() };
        let computed = placement
            .prefill
            .map(|it| self.told(at, it.endpoint, chain.clone(), EventKind::Withdrawn));
        let mut notes = self.told(at, placement.endpoint, chain, EventKind::Withdrawn);
        notes.extend(computed.unwrap_or_default());
        notes
    }

    /// What the end of a request says of the endpoint that had taken it.
    pub(super) fn verdict(&self, placement: &Placement, end: End) -> Option<EventKind> {
        placement.served.as_ref()?;
        match end {
            End::Whole => self
                .of(placement.endpoint, OutlierDetector::has_failed)
                .then_some(EventKind::Served),
            End::Broken(fault) => Some(EventKind::Broke(fault)),
            End::Gone => None,
        }
    }
}
