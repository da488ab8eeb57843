//! The first half of a turn: a worker proposes a change of the ledger that it has read. Beside the
//! news that it takes in and the dice, its state stays as it is: another worker may be faster.

use super::{
    Conduct, Input, PendingRequest, Proposal, Seen, Wants, Worker, Written,
    feed::Updates,
    proposal::{Change, Membership, Placing, Plan, Roll},
};
use crate::{
    flow::Outcome,
    ledger::{EndpointKey, Ledger, MeasuredLimits, Row},
    model::{Event, InferenceRequest, Instant, PickError, RequestId, ResponseStart, WorkerId},
    saturation::Capacity,
    workers::{
        AdmissionResult, Message,
        gate::{Gate, Verdict},
        in_flight::{Counted, Shift},
        peer::GrantPlan,
    },
};

impl Worker {
    /// Returns the parts of the store to read for this input.
    #[must_use]
    pub fn wants(&self, now: Instant, input: &Input) -> Wants {
        match input {
            // Tickets may be of a priority that only a snapshot knows which was not read here.
            Input::ToArbiter(Message::Submit { .. }) if self.peer.is_arbiter() => self.feed.wants(),
            Input::Configured(_) | Input::ToArbiter(_) | Input::Evict { .. } => Wants::NOTHING,
            // Of one gateway alone there is none to tell.
            Input::Kept { .. } if self.scheduler.others().is_none() => Wants::NOTHING,
            Input::Reclaim(_) => self.feed.wants().with_rows_but_of(self.peer.id()),
            Input::Arbitrate if !self.peer.is_arbiter() => Wants::NOTHING,
            Input::Tick if self.watch.is_due(now) => {
                self.feed.wants().with_rows_but_of(self.peer.id())
            }
            Input::Tick => self.feed.wants(),
            Input::Arrived(_)
            | Input::Rerouted { .. }
            | Input::Responded { .. }
            | Input::Ended { .. }
            | Input::Charged { .. }
            | Input::Granted { .. }
            | Input::Rejected { .. }
            | Input::LetGo { .. }
            | Input::Arbitrate
            | Input::PlacesUnused { .. }
            | Input::Kept { .. }
            | Input::Look => self.feed.wants(),
        }
    }

    /// Proposes a change of the ledger for this input, after everything that is new in the store was
    /// taken in.
    ///
    /// The other workers' events come first. One may be a placement of the same prompt, which this worker
    /// must not undo, or a failure, which the response of this turn ends.
    pub fn propose(&mut self, now: Instant, input: &Input, mut seen: Seen) -> Proposal {
        let unreadable =
            if self.wants(now, input).ledger() { self.take_in(now, &mut seen) } else { None };
        let Seen { mut ledger, version, rows, .. } = seen;
        // An unchanged ledger is not written: a write makes every other worker that is about to change
        // the ledger decide again. Accounts are too many to compare, so a plan says if it changed them.
        let before = ledger.head();
        let joins =
            self.is_outside(input, &ledger) && ledger.join(self.peer.id(), self.peer.heartbeat());
        let (plan, planned) = self.plan(now, input, &mut ledger, rows);
        let is_common = planned == Change::None && (joins || ledger.head() != before);
        let change = if is_common { Change::Common } else { planned };
        let changes = (change == Change::Counts)
            .then(|| ledger.members.count_change(self.peer.id()))
            .flatten();
        let membership = Membership { joins, changes };
        Proposal { ledger, version, change, plan, membership, unreadable }
    }

    /// True if this worker ought to be a member of the ledger and is none: it serves its first request, or
    /// was struck off by another that took it for dead.
    fn is_outside(&self, input: &Input, ledger: &Ledger) -> bool {
        let is_due = match input {
            Input::Arrived(_) => true,
            Input::Tick => self.is_registered() || self.peer.counts_any(),
            Input::Granted { .. }
            | Input::Rerouted { .. }
            | Input::Responded { .. }
            | Input::Ended { .. }
            | Input::LetGo { .. }
            | Input::Rejected { .. } => self.peer.counts_any(),
            Input::Configured(_)
            | Input::Charged { .. }
            | Input::ToArbiter(_)
            | Input::Arbitrate
            | Input::PlacesUnused { .. }
            | Input::Reclaim(_)
            | Input::Evict { .. }
            | Input::Kept { .. }
            | Input::Look => false,
        };
        is_due && !ledger.members.has(self.peer.id())
    }

    /// Takes in a snapshot and the other workers' events. Returns the reason why a snapshot cannot be
    /// read, if that is news.
    fn take_in(&mut self, now: Instant, seen: &mut Seen) -> Option<String> {
        self.looked_at = Some(now);
        let renews = self.feed.wants().snapshot(&seen.ledger);
        let others = seen.others.take().filter(|_| renews);
        let Updates { snapshot, events, unreadable } = self.feed.take(seen);
        if renews {
            self.scheduler.take_others(others);
        }
        if let Some((mut snapshot, received_at)) = snapshot {
            let rewrites = std::mem::take(&mut snapshot.model_rewrites);
            let models = std::mem::take(&mut snapshot.models);
            self.models.renew(rewrites, models);
            // Before the events, which may be about an endpoint that only this snapshot has.
            let event = Event::Snapshot { snapshot, received_at };
            let _ = self.scheduler.handle(event);
            self.scheduler.learn_strangers(now, &seen.ledger);
            self.scheduler.learn_pages(now, &seen.ledger);
            self.provision_if_changed(now);
        }
        events.iter().flatten().for_each(|event| self.scheduler.apply(event));
        if renews && let Some(others) = self.scheduler.others() {
            self.peer.charge_elsewhere(others.tenants(now));
            let amounts = self.scheduler.limits(now, &seen.ledger);
            self.peer.note_limits(MeasuredLimits { amounts, at: now });
        }
        unreadable
    }

    /// Gives new priorities their bands before any ticket of them is looked at.
    fn provision_if_changed(&mut self, now: Instant) {
        let configured = self.objectives.iter().map(|it| it.priority);
        let priorities = configured.chain(self.scheduler.priorities());
        if !priorities.eq(self.provisioned.iter().copied()) {
            self.provision(now);
        }
    }

    /// Plans for an input and changes the ledger by it. Returns the plan, and the change that the heads of
    /// two ledgers do not show.
    fn plan(
        &mut self,
        now: Instant,
        input: &Input,
        ledger: &mut Ledger,
        rows: Vec<Row>,
    ) -> (Plan, Change) {
        match input {
            Input::Arrived(pending) => self.plan_arrival(now, pending, ledger),
            Input::Granted { request, epoch, .. } => self.plan_grant(now, *request, *epoch, ledger),
            Input::Rerouted { request, served_by } => {
                self.plan_reroute(now, *request, (*served_by).into(), ledger)
            }
            Input::Responded { request, start } => {
                self.plan_response(now, *request, *start, ledger)
            }
            Input::Ended { request, start, end } => {
                let publishes = self.scheduler.may_publish_end(*request, *start, *end);
                self.plan_end(now, *request, publishes, ledger)
            }
            Input::Rejected { request, .. } => {
                // Not held any more if its client left while the rejection was on its way.
                let was_held = self.peer.held(*request).is_some();
                if was_held {
                    ledger.release();
                }
                (Plan::AsTold, if was_held { Change::Counts } else { Change::None })
            }
            Input::LetGo { request } => self.plan_letting_go(now, *request, ledger),
            Input::Arbitrate => (Plan::Arbitrate(self.reserve(now, ledger)), Change::None),
            Input::Tick => self.plan_tick(now, ledger, rows),
            Input::PlacesUnused { places, others, epoch } => {
                // A later arbiter began without granted places.
                if ledger.lease.epoch != *epoch {
                    return (Plan::AsTold, Change::None);
                }
                ledger.ungrant(*places);
                // The others were taken meanwhile, by workers that found places granted still: see
                // `plan_grant`.
                let wakes = (*others && ledger.granted == 0).then(|| ledger.wake()).flatten();
                (Plan::Wake(wakes), Change::None)
            }
            Input::Reclaim(_) => (Plan::Reclaim(rows), Change::None),
            Input::Kept { .. } if self.scheduler.others().is_some() => {
                (Plan::Tell(Some(ledger.announce())), Change::Common)
            }
            Input::Configured(_)
            | Input::ToArbiter(_)
            | Input::Charged { .. }
            | Input::Evict { .. }
            | Input::Kept { .. }
            | Input::Look => (Plan::AsTold, Change::None),
        }
    }

    fn plan_arrival(
        &mut self,
        now: Instant,
        pending: &PendingRequest,
        ledger: &mut Ledger,
    ) -> (Plan, Change) {
        let priority = pending.flow.priority;
        // Without need it is not measured: that takes a look at every endpoint.
        let capacity = if self.peer.needs_capacity(priority) {
            self.scheduler.capacity(now, ledger).beyond_grants(ledger)
        } else {
            Capacity::Unknown
        };
        let Gate { verdict, passage } = self.peer.gate(&capacity, ledger, priority);
        let is_overruled = self.conduct == Conduct::Observes && verdict != Verdict::Open;
        let placing = match verdict {
            _ if is_overruled => self.place(now, &pending.request, ledger),
            Verdict::Open => self.place(now, &pending.request, ledger),
            Verdict::Shed => Placing::without_place(AdmissionResult::Shed),
            Verdict::Shut => match self.peer.hold(now, ledger) {
                Some(lease) => {
                    Placing { lease: Some(lease), ..Placing::without_place(AdmissionResult::Held) }
                }
                None => Placing::rejected(Outcome::RejectedCapacity),
            },
        };
        let is_counted = placing.target.is_some() || placing.lease.is_some();
        let change = if is_counted { Change::Counts } else { Change::None };
        let placing = Placing { passage, is_overruled, ..placing };
        (Plan::Place(Box::new(placing)), change)
    }

    /// Chooses endpoints for a request that may go, and counts it there.
    fn place(&mut self, now: Instant, request: &InferenceRequest, ledger: &mut Ledger) -> Placing {
        match self.scheduler.decide(now, request, ledger) {
            Ok(result) => {
                let target = self.scheduler.target(request, &result);
                Counted::for_target(target).open(now, &mut ledger.accounts);
                let position = target.is_announced.then(|| ledger.announce());
                let entry = position.and_then(|position| {
                    let events = self.scheduler.events_of_sending(now, request, &result)?;
                    Some(Written { position, events })
                });
                let result = AdmissionResult::Sent(result);
                Placing { target: Some(target), position, entry, ..Placing::without_place(result) }
            }
            Err(PickError::NoSnapshot) if self.conduct != Conduct::FailsClosed => {
                Placing::without_place(AdmissionResult::FailedOpen)
            }
            Err(why) => Placing::without_place(AdmissionResult::Refused(why)),
        }
    }

    fn plan_grant(
        &mut self,
        now: Instant,
        request: RequestId,
        epoch: u64,
        ledger: &mut Ledger,
    ) -> (Plan, Change) {
        let grant = self.peer.plan_grant(ledger, request, epoch);
        let held = self.peer.held(request).filter(|_| grant == GrantPlan::Take);
        let Some(wanted) = held.map(|held| held.request.clone()) else {
            // A place that its request does not take is free for another one that waits.
            let wakes = (grant == GrantPlan::GiveBack).then(|| ledger.wake()).flatten();
            let is_counted = grant == GrantPlan::GiveBack && ledger.lease.epoch == epoch;
            let change = if is_counted { Change::Counts } else { Change::None };
            return (Plan::Take { grant, placing: None, wakes }, change);
        };
        let mut placing = self.place(now, &wanted, ledger);
        let is_empty = || self.scheduler.capacity(now, ledger) == Capacity::Empty;
        if matches!(placing.result, AdmissionResult::Refused(_)) && is_empty() {
            // The pool emptied since the grant: the request waits on, and stays counted as held.
            placing = Placing::without_place(AdmissionResult::Held);
        } else {
            ledger.release();
        }
        // Where room is measured in tokens, the arbiter grants nothing until all granted requests are
        // counted. It is woken after the last of them.
        let weighs = placing.target.is_some_and(|target| target.load.is_some());
        let wakes = (ledger.granted == 0 && weighs).then(|| ledger.wake()).flatten();
        (Plan::Take { grant, placing: Some(Box::new(placing)), wakes }, Change::Counts)
    }

    /// Plans the move of a request to the endpoint that Envoy's retry took it to: its prompt is still to
    /// be computed there.
    fn plan_reroute(
        &self,
        now: Instant,
        request: RequestId,
        served_by: EndpointKey,
        ledger: &mut Ledger,
    ) -> (Plan, Change) {
        let shift = self.peer.reroute(request, served_by);
        if let Some(shift) = &shift {
            shift.apply(now, &mut ledger.accounts);
        }
        let change = if shift.is_some() { Change::Counts } else { Change::None };
        (Plan::Respond { shift, position: None, wakes: None }, change)
    }

    /// Places a request that was held when flow control was turned off, whatever room there is.
    fn plan_letting_go(
        &mut self,
        now: Instant,
        request: RequestId,
        ledger: &mut Ledger,
    ) -> (Plan, Change) {
        // Its client may have left, or a grant may have come before.
        let Some(wanted) = self.peer.held(request).map(|held| held.request.clone()) else {
            return (Plan::AsTold, Change::None);
        };
        let placing = self.place(now, &wanted, ledger);
        ledger.release();
        (Plan::Place(Box::new(placing)), Change::Counts)
    }

    fn plan_response(
        &self,
        now: Instant,
        request: RequestId,
        start: ResponseStart,
        ledger: &mut Ledger,
    ) -> (Plan, Change) {
        let served_by = start.served_by.map(EndpointKey::from);
        let shift = self.peer.shift(request, served_by).filter(Shift::changes_accounts);
        let mut wakes = None;
        if let Some(shift) = &shift {
            shift.apply(now, &mut ledger.accounts);
            // A move frees no place, as the request counts elsewhere. A prefill that is over does.
            let frees = shift.frees_a_place() || self.scheduler.limits_prompts();
            wakes = frees.then(|| ledger.wake()).flatten();
        }
        // An endpoint that is taken back adds its room.
        if self.scheduler.takes_back(request, start) {
            wakes = wakes.or_else(|| ledger.wake());
        }
        // The events are made by the commit, as a proposal changes nothing, but their position is part of
        // the ledger that is proposed. So it is announced where there may be events.
        let publishes = self.scheduler.may_publish_start(request, start);
        let position = publishes.then(|| ledger.announce());
        let events = if publishes { Change::Common } else { Change::None };
        let change = if shift.is_some() { Change::Counts } else { events };
        (Plan::Respond { shift, position, wakes }, change)
    }

    /// Plans the end of a request; `publishes` if it may be news for the other workers.
    fn plan_end(
        &self,
        now: Instant,
        request: RequestId,
        publishes: bool,
        ledger: &mut Ledger,
    ) -> (Plan, Change) {
        let was_held = self.peer.held(request).is_some();
        let counted = self.peer.counted(request);
        let mut wakes = None;
        if was_held {
            ledger.release();
        } else if let Some(counted) = counted {
            counted.close(now, &mut ledger.accounts);
            wakes = ledger.wake();
        }
        let position = publishes.then(|| ledger.announce());
        let is_counted = was_held || counted.is_some();
        let events = if publishes { Change::Common } else { Change::None };
        let change = if is_counted { Change::Counts } else { events };
        (Plan::End { was_held, position, wakes }, change)
    }

    /// Plans a tick: at the slow beat a look at all members, then the arbiter's look at its queues. A tick
    /// also keeps the lease, so that requests which are held here always have an arbiter.
    fn plan_tick(&self, now: Instant, ledger: &mut Ledger, rows: Vec<Row>) -> (Plan, Change) {
        let roll = self.watch.is_due(now).then(|| self.call_roll(now, ledger, rows));
        // Before places are reserved: they are reserved by what the ledger says.
        let tenure = self.reserve(now, ledger);
        // The arbiter renews its lease first: one that is merely late would lose its queues to itself.
        let lease = self.peer.keep_lease(now, ledger);
        let changes = roll.as_ref().is_some_and(|roll| roll.mends || !roll.dead.is_empty());
        let change = if changes { Change::Common } else { Change::None };
        (Plan::Tick { tenure, lease, roll }, change)
    }

    /// Looks at the rows of all members: strikes off the dead, or recounts what all have counted. Also in a
    /// worker that serves nothing: all that did may be dead.
    fn call_roll(&self, now: Instant, ledger: &mut Ledger, mut rows: Vec<Row>) -> Roll {
        // Its own counts this worker knows without a look: no other changes them.
        let (worker, heartbeat) = (self.peer.id(), Some(self.peer.heartbeat().clone()));
        rows.push(Row { worker, heartbeat });
        let is_dead = |row: &Row| row.worker != worker && self.watch.is_dead(now, row);
        let (dead, others): (Vec<Row>, Vec<Row>) = rows.iter().cloned().partition(is_dead);
        let dead: Vec<WorkerId> = dead.into_iter().map(|row| row.worker).collect();
        if !dead.is_empty() {
            let is_struck = ledger.strike_off(now, &dead, &others);
            return Roll { rows, dead: if is_struck { dead } else { Vec::new() }, mends: false };
        }
        let mends = ledger.recount(now, &rows);
        if self.peer.misses_messages(ledger, &rows) {
            ledger.end_term();
        }
        Roll { rows, dead, mends }
    }
}
