//! The life of requests after their decision, and the knowledge that the scheduler gains from it.

use std::net::SocketAddr;

use super::Scheduler;
use crate::{
    model::{
        Chain, End, EventKind, Fault, InferenceRequest, Instant, PlacementEvent, PromptSize,
        RequestId, ResponseClass, SchedulingResult,
    },
    pool::{OutlierDetector, Placement},
};

impl Scheduler {
    /// Learns a prompt as soon as it is on its way, so that the next request of a burst with the
    /// same prompt follows.
    pub(super) fn send(
        &mut self,
        id: RequestId,
        at: Instant,
        mut request: InferenceRequest,
        result: SchedulingResult,
    ) -> Vec<PlacementEvent> {
        let bound = self.bind_sessions(at, &request, &result);
        let kinds = self.learned.outputs.kinds(&request);
        let size = PromptSize::take(&mut request);
        let InferenceRequest { chain, head, priority, .. } = request;
        let Some(mut placement) = Placement::new(at, chain.clone(), kinds, size, result) else {
            return Vec::new();
        };
        if let Some(head) = head {
            placement.trial = self.try_order(&head, &placement, chain.blocks);
            placement.head = Some(head);
        }
        let endpoint = placement.endpoint;
        let prefill = placement.prefill.map(|it| it.endpoint);
        let (_, sight) = placement.computing();
        self.learned.sent(sight.uncached_tokens);
        for endpoint in [Some(endpoint), prefill].into_iter().flatten().filter(|_| sight.cold) {
            if let Some(slot) = self.slot(endpoint) {
                self.learned.sent_cold(slot);
            }
        }
        self.placements.insert(id, placement);
        self.note_sent(id, at, priority);
        // The prefill endpoint computes the prompt, and the decode endpoint gets its cache: both have it.
        let computed =
            prefill.map(|prefill| self.emit(at, prefill, chain.clone(), EventKind::Placed));
        let placed = self.emit(at, endpoint, chain, EventKind::Placed);
        // Completions come first, as those requests ended before this one was placed. They travel only
        // with a placement, which has a position of the event ring.
        let mut events: Vec<PlacementEvent> =
            if placed.is_empty() { Vec::new() } else { self.pending.take().collect() };
        events.extend(placed);
        events.extend(computed.unwrap_or_default());
        events.extend(bound);
        events
    }

    /// Returns the events for the other workers that the sending of a request will make, in their order;
    /// `None` where that is not known before, as sessions are bound to endpoints by what is known then.
    pub(crate) fn events_of_sending(
        &self,
        at: Instant,
        request: &InferenceRequest,
        result: &SchedulingResult,
    ) -> Option<Vec<PlacementEvent>> {
        let chain = &request.chain;
        if chain.hashes.is_empty() || self.config.scheduling.has_session(request) {
            return None;
        }
        let first = *result.ranked.first()?;
        let placed = |endpoint| PlacementEvent {
            at,
            endpoint,
            chain: chain.clone(),
            verdict: EventKind::Placed,
        };
        let computed = result.computed_apart().map(|it| placed(it.endpoint));
        Some(self.pending.due().cloned().chain([placed(first)]).chain(computed).collect())
    }

    /// Moves a prompt to the endpoint that answered, and unlearns a prompt that was not taken.
    pub(super) fn answer(
        &mut self,
        id: RequestId,
        at: Instant,
        served_by: Option<SocketAddr>,
        class: ResponseClass,
    ) -> Vec<PlacementEvent> {
        let Some(placement) = self.placements.get_mut(id) else { return Vec::new() };
        let first = placement.endpoint;
        // A second answer says nothing new: the chain is there once.
        let Some(chain) = placement.answered() else { return Vec::new() };
        let prefill = placement.prefill.filter(|_| class != ResponseClass::Taken);
        let server = served_by.unwrap_or(first);
        let mut events = Vec::new();
        if server != first {
            // Envoy comes to another endpoint of the list only if those before it failed. Where the last
            // one failed as well, the request is the cause, and no endpoint is blamed. One that is not in the list
            // was Envoy's own choice, as of a list of which its cluster knows none: they may not have been tried.
            let is_listed = placement.fallbacks.contains(&server);
            let passed_over = match class {
                ResponseClass::Taken | ResponseClass::Refused if is_listed => {
                    EventKind::Failed(Fault::Endpoint)
                }
                ResponseClass::Taken | ResponseClass::Refused | ResponseClass::Failed(_) => {
                    EventKind::Withdrawn
                }
            };
            let between = placement.fallbacks.iter().take_while(|other| **other != server);
            let between: Vec<SocketAddr> = between.filter(|_| is_listed).copied().collect();
            placement.endpoint = server;
            placement.is_moved = true;
            self.note_moved(id, first);
            // Only the first was believed to have the prompt, so that the others lose none.
            events = self.emit(at, first, chain.clone(), passed_over);
            for other in between {
                events.extend(self.emit(at, other, Chain::default(), passed_over));
            }
        }
        if let Some(prefill) = prefill {
            // Perhaps it computed the prompt, but that is not known, and it is blamed for nothing.
            events.extend(self.emit(at, prefill.endpoint, chain.clone(), EventKind::Withdrawn));
        }
        // Last the endpoint that answered. Where it is not the first, nothing of this request was
        // believed of it yet, so that there is nothing to unlearn.
        events.extend(match class {
            ResponseClass::Taken => {
                let taken = self.take(at, first, server, &chain);
                self.learn_head(id, at);
                if let Some(placement) = self.placements.get_mut(id) {
                    // In use until the request ends. All workers know the chain since it was placed, so
                    // that its last hash tells them which.
                    placement.served = Some(chain.into_tail());
                }
                taken
            }
            ResponseClass::Refused if server == first => {
                self.emit(at, server, chain, EventKind::Withdrawn)
            }
            ResponseClass::Failed(fault) if server == first => {
                self.emit(at, server, chain, EventKind::Failed(fault))
            }
            ResponseClass::Refused | ResponseClass::Failed(_) => Vec::new(),
        });
        events
    }

    /// Learns that an endpoint took a prompt: a response that begins well may end its ejection, and a
    /// prompt that was sent to another endpoint first is cached here now.
    fn take(
        &mut self,
        at: Instant,
        first: SocketAddr,
        server: SocketAddr,
        chain: &Chain,
    ) -> Vec<PlacementEvent> {
        let mut events = if self.outlier_state(server, OutlierDetector::ends_with_a_beginning) {
            self.emit(at, server, Chain::default(), EventKind::Served)
        } else {
            Vec::new()
        };
        if server != first {
            events.extend(self.emit(at, server, chain.clone(), EventKind::Placed));
        }
        events
    }

    /// Learns the time that a first token took. After a retry its beginning is not known.
    pub(super) fn learn_first_token(&mut self, request: RequestId, at: Instant) {
        let Some(placement) = self.placements.get(request).filter(|it| !it.is_moved) else {
            return;
        };
        let (endpoint, sight) = placement.computing();
        let took = at.saturating_since(placement.at);
        if let Some(slot) = self.slot(endpoint) {
            self.learned.first_token(slot, &sight, took);
            self.note_began(request, slot, sight.uncached_tokens, took);
        }
    }

    /// Ends a request. The placement of an unanswered one is unlearnt. The blocks of an answered one were
    /// in use until now, and an endpoint evicts the blocks in use least recently. The other workers may
    /// hear of that use late, so it brings back no block that was evicted or withdrawn since.
    pub(super) fn end(&mut self, id: RequestId, now: Instant, end: End) -> Vec<PlacementEvent> {
        let Some(mut placement) = self.placements.remove(id) else { return Vec::new() };
        self.note_end(id, now, &placement, end);
        // Before `served` is taken, which says that there was an answer.
        let end_event = self.end_event(&placement, end);
        let at = placement.at;
        if let Some(chain) = placement.served.take() {
            let used = self.emit(now, placement.endpoint, chain, EventKind::Used);
            self.pending.push(used);
        }
        if let Some(kind) = end_event {
            return self.emit(now, placement.endpoint, Chain::default(), kind);
        }
        let Some(chain) = placement.answered() else { return Vec::new() };
        let computed = placement
            .prefill
            .map(|it| self.emit(at, it.endpoint, chain.clone(), EventKind::Withdrawn));
        let mut events = self.emit(at, placement.endpoint, chain, EventKind::Withdrawn);
        events.extend(computed.unwrap_or_default());
        events
    }

    /// Returns the event that the end of a request makes for the endpoint that had taken it; `None` if
    /// no endpoint had.
    pub(super) fn end_event(&self, placement: &Placement, end: End) -> Option<EventKind> {
        placement.served.as_ref()?;
        self.end_event_at(placement.endpoint, end)
    }

    /// Returns the event that the end of a request makes for an endpoint that took it.
    pub(super) fn end_event_at(&self, endpoint: SocketAddr, end: End) -> Option<EventKind> {
        match end {
            End::Whole => self
                .outlier_state(endpoint, OutlierDetector::has_failed)
                .then_some(EventKind::Served),
            End::Broken(fault) => Some(EventKind::Broke(fault)),
            End::Gone => None,
        }
    }
}
