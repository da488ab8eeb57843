//! The second half of a turn: a worker acts once the ledger holds its proposal.

use std::time::Duration;

use super::{
    Decision, Effect, Input, PendingRequest, Proposal, TickPace, Worker,
    effect::{send, wake},
    proposal::{Placing, Plan},
    seen::Written,
};
use crate::{
    flow::{Rejection, Ticket, TicketId},
    ledger::{Lease, Ledger},
    model::{End, Event, Instant, PlacementEvent, QueueId, RequestId, ResponseStart},
    workers::{
        AdmissionResult, Tenure,
        in_flight::Shift,
        peer::{GrantPlan, HeldRequest},
    },
};

/// The end of a held request's wait.
#[derive(Clone, Copy, Debug)]
struct Release {
    request: RequestId,
    /// Time of the arbiter's grant; `None` where flow control was turned off.
    granted_at: Option<Instant>,
}

impl Worker {
    /// Acts on a proposal that holds. Returns the effects for the host, in their order: a placement is
    /// published before its decision, with which the host may resume a stream that runs another turn, and what
    /// a response or an end says before the arbiter is woken, which has to know of it.
    pub fn commit(&mut self, now: Instant, input: Input, proposal: Proposal) -> Vec<Effect> {
        let is_given_up = proposal.is_given_up();
        let Proposal { ledger, plan, membership, unreadable, .. } = proposal;
        self.take_membership(membership);
        self.look_without_pages(now, &input, &ledger);
        let mut effects = Effect::first(unreadable);
        match (input, plan) {
            (Input::Configured(config), _) => self.configure(now, *config),
            (Input::Arrived(pending), Plan::Place(placing)) => {
                self.take_arrival(now, *pending, *placing, &mut effects);
            }
            (Input::Granted { request, epoch, at }, Plan::Take { grant, placing, wakes }) => {
                self.settle_grant(grant, epoch, &mut effects);
                let release = Release { request, granted_at: Some(at) };
                self.take_grant(now, release, placing, &mut effects);
                effects.extend(wake(wakes));
            }
            (Input::Rerouted { request, .. }, Plan::Respond { shift, .. }) => {
                self.take_shift(now, request, shift, &mut effects);
            }
            (Input::Responded { request, start }, Plan::Respond { shift, position, wakes }) => {
                self.take_shift(now, request, shift, &mut effects);
                let events = self.respond(now, request, start);
                self.tell_others(position, events, wakes, &mut effects);
            }
            (Input::Ended { request, start, end }, Plan::End { was_held, position, wakes }) => {
                self.take_end(now, request, was_held, &mut effects);
                let events = self.learn_end(now, request, start, end);
                self.tell_others(position, events, wakes, &mut effects);
            }
            (Input::Charged { request, flow, tokens }, _) => {
                effects.extend(self.peer.charge(&ledger, request, flow, tokens).map(send));
            }
            (Input::Rejected { request, rejection, epoch }, _) => {
                self.take_rejection(now, (request, epoch), rejection, &mut effects);
            }
            (Input::LetGo { request }, Plan::Place(placing)) => {
                self.take_letting_go(now, request, *placing, &mut effects);
            }
            (Input::ToArbiter(message), _) => self.hear(now, message, &mut effects),
            (Input::Arbitrate, Plan::Arbitrate(it)) => self.arbitrate(now, it, &mut effects),
            (Input::Reclaim(it), Plan::Reclaim(rows)) => self.reclaim(now, it, rows, &mut effects),
            (Input::Tick, Plan::Tick { tenure, lease, roll }) => {
                self.take_tick(now, tenure, lease, &mut effects);
                effects.push(Effect::ShowPool(Box::new(ledger)));
                self.take_roll(now, roll, &mut effects);
            }
            // A plan is made for its own input.
            (
                Input::Arrived(_)
                | Input::Granted { .. }
                | Input::Rerouted { .. }
                | Input::Responded { .. }
                | Input::Ended { .. }
                | Input::Arbitrate
                | Input::Reclaim(_)
                | Input::Tick,
                _,
            ) => debug_assert!(false, "a plan for another input"),
            (Input::PlacesUnused { .. }, Plan::Wake(wakes)) => effects.extend(wake(wakes)),
            (Input::Kept { name, endpoint }, plan) => {
                let event = PlacementEvent::of_kept(now, endpoint, name);
                self.publish(plan.told_at(), vec![event], &mut effects);
            }
            (Input::Evict { below, reply_to }, _) => effects.extend(self.evict(below, reply_to)),
            (Input::LetGo { .. } | Input::PlacesUnused { .. } | Input::Look, _) => (),
        }
        self.close_turn(membership, is_given_up, &mut effects);
        effects
    }

    /// Looks at the first tokens of endpoints without pages, after what changes them and at each beat.
    fn look_without_pages(&mut self, now: Instant, input: &Input, ledger: &Ledger) {
        if matches!(input, Input::Responded { .. } | Input::Ended { .. } | Input::Tick) {
            self.scheduler.learn_without_pages(now, ledger);
        }
    }

    /// Counts a grant that is settled, also one of a place that is given back.
    fn settle_grant(&mut self, grant: GrantPlan, epoch: u64, effects: &mut Vec<Effect>) {
        if grant != GrantPlan::Void {
            self.peer.count_grant(epoch);
            effects.push(Effect::ShowHeartbeat);
        }
    }

    /// Takes in what a response changed of the counts, if it changed any.
    fn take_shift(
        &mut self,
        now: Instant,
        request: RequestId,
        shift: Option<Shift>,
        effects: &mut Vec<Effect>,
    ) {
        if let Some(shift) = shift {
            self.peer.take_shift(now, request, &shift);
            effects.push(Effect::ShowHeartbeat);
        }
    }

    /// Answers a held request that the arbiter turned away. Its client may have left while the rejection
    /// was on its way.
    fn take_rejection(
        &mut self,
        now: Instant,
        (request, epoch): (RequestId, u64),
        rejection: Rejection,
        effects: &mut Vec<Effect>,
    ) {
        self.peer.count_rejection(epoch);
        if let Some(held) = self.peer.unhold(request) {
            // What it has waited in vain is not enough.
            let waited = now.saturating_since(held.ticket.arrived);
            let expected_wait = rejection.expected_wait.max(waited);
            let result = AdmissionResult::Rejected(Rejection { expected_wait, ..rejection });
            effects.push(Effect::Decide(Box::new(Decision::of_held(now, &held, result, None))));
        }
        effects.push(Effect::ShowHeartbeat);
    }

    fn take_arrival(
        &mut self,
        now: Instant,
        pending: PendingRequest,
        placing: Placing,
        effects: &mut Vec<Effect>,
    ) {
        let Placing { result, target, position, entry, lease, passage, is_overruled } = placing;
        if let Some(passage) = passage {
            self.peer.count(passage);
        }
        self.peer.count_arrival(pending.request.priority);
        let id = pending.id;
        if let (AdmissionResult::Sent(result), Some(target)) = (&result, target) {
            self.peer.open(now, id, target);
            let decision = result.for_placement();
            let sent = Event::Sent { request: id, at: now, ask: pending.request, decision };
            self.learn(sent, position, entry, effects);
        } else if result == AdmissionResult::Held {
            let ticket = self.ticket(now, &pending);
            let held = HeldRequest { ticket, request: pending.request };
            effects.extend(self.peer.take_held(now, held, lease).into_iter().map(send));
            self.tick_soon(effects);
        }
        let decision = Decision {
            request: id,
            result,
            waited: Duration::ZERO,
            granted_at: None,
            is_overruled,
        };
        effects.extend([Effect::ShowHeartbeat, Effect::Decide(Box::new(decision))]);
    }

    /// Asks for ticks in quick succession, once: each further wish would put the next tick off.
    pub(super) fn tick_soon(&mut self, effects: &mut Vec<Effect>) {
        if self.pace == TickPace::Idle {
            self.pace = TickPace::Busy;
            effects.push(Effect::TickSoon);
        }
    }

    fn ticket(&mut self, now: Instant, pending: &PendingRequest) -> Ticket {
        let request = &pending.request;
        let (uncached_tokens, output_tokens) = if self.peer.charges_tokens() {
            (self.scheduler.uncached_tokens(request), self.scheduler.output_tokens(request))
        } else {
            (0, 0)
        };
        Ticket {
            id: TicketId { worker: self.peer.id().0, request: pending.id.0 },
            flow: pending.flow.clone(),
            bytes: pending.bytes,
            prompt_tokens: request.tokens(),
            uncached_tokens,
            output_tokens,
            arrived: now,
            ttl: pending.ttl,
            slo_ttft: pending.slo_ttft,
        }
    }

    fn take_grant(
        &mut self,
        now: Instant,
        release: Release,
        placing: Option<Box<Placing>>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(placing) = placing else { return };
        let request = release.request;
        // The correction needs the ticket, so it comes before the request is let go.
        let found = placing.target.map_or(0, |target| target.tokens);
        effects.extend(self.peer.correct(request, found).map(send));
        if placing.target.is_none() {
            effects.extend(self.peer.forgive(request).map(send));
        }
        if placing.result == AdmissionResult::Held {
            // The pool emptied since the grant.
            effects.extend(self.peer.submit_again(request).map(send));
            return;
        }
        self.release(now, release, *placing, effects);
    }

    /// Lets a request go without a grant. Another worker may have its ticket still.
    fn take_letting_go(
        &mut self,
        now: Instant,
        request: RequestId,
        placing: Placing,
        effects: &mut Vec<Effect>,
    ) {
        effects.extend([send(self.peer.cancel(request)), Effect::ShowHeartbeat]);
        self.release(now, Release { request, granted_at: None }, placing, effects);
    }

    /// Answers a request that was held.
    fn release(
        &mut self,
        now: Instant,
        release: Release,
        placing: Placing,
        effects: &mut Vec<Effect>,
    ) {
        let Release { request, granted_at } = release;
        let Placing { result, target, position, entry, .. } = placing;
        let Some(held) = self.peer.unhold(request) else { return };
        let placed = match (&result, target) {
            (AdmissionResult::Sent(result), Some(target)) => Some((result.for_placement(), target)),
            _ => None,
        };
        let answer = Effect::Decide(Box::new(Decision::of_held(now, &held, result, granted_at)));
        if let Some((decision, target)) = placed {
            self.peer.open(now, request, target);
            if granted_at.is_some() {
                self.peer.owe(request, held.ticket.output_tokens);
            }
            let sent = Event::Sent { request, at: now, ask: held.request, decision };
            self.learn(sent, position, entry, effects);
        }
        // The other workers know of the placement before the stream resumes, which may run another turn.
        effects.push(answer);
    }

    /// Learns from an event, and tells the other workers at the position that the ledger gave, unless the
    /// entry was written with the ledger.
    fn learn(
        &mut self,
        event: Event,
        position: Option<u64>,
        entry: Option<Written>,
        effects: &mut Vec<Effect>,
    ) {
        let events = self.scheduler.handle(event);
        match entry {
            Some(written) => {
                debug_assert_eq!(written.events, events, "told other events than learnt");
                self.feed.published(written.position);
            }
            None => self.publish(position, events, effects),
        }
    }

    fn take_end(
        &mut self,
        now: Instant,
        request: RequestId,
        was_held: bool,
        effects: &mut Vec<Effect>,
    ) {
        if was_held {
            effects.push(send(self.peer.cancel(request)));
            self.peer.unhold(request);
        } else {
            effects.extend(self.peer.close(now, request).map(send));
        }
        effects.push(Effect::ShowHeartbeat);
    }

    /// Learns from the end of a request, after its beginning if that comes with it. Returns the events
    /// for the other workers.
    fn learn_end(
        &mut self,
        at: Instant,
        request: RequestId,
        start: Option<ResponseStart>,
        end: End,
    ) -> Vec<PlacementEvent> {
        let mut events = match start {
            Some(start) => self.respond(at, request, start),
            None => Vec::new(),
        };
        events.extend(self.scheduler.handle(Event::Ended { request, at, end }));
        events
    }

    fn respond(
        &mut self,
        at: Instant,
        request: RequestId,
        start: ResponseStart,
    ) -> Vec<PlacementEvent> {
        let ResponseStart { served_by, class } = start;
        self.scheduler.handle(Event::Answered { request, at, served_by, answer: class })
    }

    /// Publishes what a response taught, and wakes the arbiter if something waits for what it changed.
    fn tell_others(
        &mut self,
        position: Option<u64>,
        events: Vec<PlacementEvent>,
        wakes: Option<QueueId>,
        effects: &mut Vec<Effect>,
    ) {
        self.publish(position, events, effects);
        effects.extend(wake(wakes));
    }

    /// Publishes events at an announced position, also if there are none: the other workers wait for the
    /// entry. Without a position, as the ledger could not be changed, the others do not hear of them.
    fn publish(
        &mut self,
        position: Option<u64>,
        events: Vec<PlacementEvent>,
        effects: &mut Vec<Effect>,
    ) {
        if let Some(position) = position {
            self.feed.published(position);
            effects.push(Effect::Publish { position, events });
        }
    }

    fn take_tick(
        &mut self,
        now: Instant,
        tenure: Option<Tenure>,
        lease: Option<Lease>,
        effects: &mut Vec<Effect>,
    ) {
        self.peer.show_life();
        // The arbiter grants under the lease that it had when the places were reserved. Only then does
        // this worker follow the lease, which may be another worker's by now.
        self.arbitrate(now, tenure, effects);
        if let Some(lease) = lease {
            effects.extend(self.peer.follow(now, lease).into_iter().map(send));
        }
        let unqueued = self.peer.unqueued();
        effects.extend(unqueued.map(|request| Effect::Then(Box::new(Input::LetGo { request }))));
        self.settle_pace();
        if self.is_registered() {
            effects.push(Effect::ShowHeartbeat);
        }
    }
}
