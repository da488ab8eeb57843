//! Turns of the workers in their surroundings, and what comes of them.

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use picker_core::{
    Instant, RequestId,
    flow::{Controller, Priority, Ticket},
    worker::{
        Decision, Effect, Host, Input, Proposal, Seen, SnapshotNotice, Wants, Worker, Written, turn,
    },
    workers::{AdmissionResult, Envelope, Message, QueueId},
};

use crate::{
    request::{Asked, Place, Progress},
    witness::resolve,
    world::{BUSY_TICK, Fate, IDLE_TICK, LateEntry, World},
};

/// A worker's place in the world.
struct Seat<'a> {
    world: &'a mut World,
    queue: QueueId,
}

impl Host<Worker> for Seat<'_> {
    fn lend<T>(&mut self, part: impl FnOnce(&mut Worker) -> T) -> T {
        part(&mut self.world.member(self.queue).worker)
    }

    fn read(&mut self, wants: &Wants) -> Seen {
        self.world.store.read(wants)
    }

    fn commit(&mut self, proposal: &Proposal) -> bool {
        self.world.come_between(self.queue);
        !self.world.troubles.is_contended && self.world.commit(self.queue, proposal)
    }
}

/// The place of one that tells of a snapshot.
struct Crier<'a> {
    world: &'a mut World,
    party: SnapshotNotice,
}

impl Host<SnapshotNotice> for Crier<'_> {
    fn lend<T>(&mut self, part: impl FnOnce(&mut SnapshotNotice) -> T) -> T {
        part(&mut self.party)
    }

    fn read(&mut self, wants: &Wants) -> Seen {
        self.world.store.read(wants)
    }

    fn commit(&mut self, proposal: &Proposal) -> bool {
        self.world.store.commit(proposal)
    }
}

impl World {
    /// Runs an input, and all that follows from it. What came of it, in order.
    pub(crate) fn run(&mut self, queue: QueueId, input: Input) -> Vec<Effect> {
        let mut inputs = VecDeque::from([input]);
        let mut all = Vec::new();
        while let Some(input) = inputs.pop_front() {
            let now = self.now;
            self.begin_turn();
            let effects = turn(&mut Seat { world: self, queue }, now, input);
            self.troubles.is_contended = false;
            self.come_before_the_heartbeat(queue);
            for effect in effects {
                self.carry_out(queue, &effect, &mut inputs);
                all.push(effect);
            }
        }
        all
    }

    /// Writes a proposed ledger. A host may write the entry that goes with it a while later.
    fn commit(&mut self, writer: QueueId, proposal: &Proposal) -> bool {
        let is_late = self.rules.is_late && self.chance.one_in(4);
        let Some(Written { position, events }) = proposal.entry().filter(|_| is_late).cloned()
        else {
            return self.store.commit(proposal);
        };
        let holds = self.store.commit_ledger(proposal);
        if holds {
            let due = self.steps + 20;
            self.late.push(LateEntry { writer, position, events, due });
        }
        holds
    }

    fn carry_out(&mut self, queue: QueueId, effect: &Effect, inputs: &mut VecDeque<Input>) {
        match effect {
            Effect::Send(envelope) => self.send(queue, (**envelope).clone()),
            Effect::Publish { position, events } => {
                if self.rules.is_late && self.chance.one_in(4) {
                    let (writer, position, events) = (queue, *position, events.clone());
                    let due = self.steps + 20;
                    self.late.push(LateEntry { writer, position, events, due });
                } else {
                    self.store.publish(*position, events.clone());
                }
            }
            Effect::Evict { request } => self.see_eviction((queue, *request)),
            Effect::ShowHeartbeat => {
                let member = self.member(queue);
                let (id, heartbeat) = (member.id, member.worker.heartbeat().clone());
                if let Some(earlier) = self.store.heartbeat(id).cloned() {
                    self.keep_earlier(id, earlier);
                }
                self.store.show(id, heartbeat);
            }
            Effect::RemoveHeartbeat { worker, beats } => {
                self.is_rightly_struck(*worker);
                self.store.remove_heartbeat(*worker, *beats);
            }
            Effect::ReportRecount => {
                let is_due = self.troubles.is_untrue || self.has_graves();
                assert!(is_due, "{}: a recount without a fault", self.place());
            }
            Effect::ReportContended => assert!(self.faults_allow_give_ups(), "{}", self.place()),
            Effect::Then(input) => inputs.push_back((**input).clone()),
            Effect::ReportUnreadable(_) => panic!("{}: {effect:?}", self.place()),
            // The caller knows which request it is about.
            Effect::TickSoon => self.member(queue).next_tick = self.now + BUSY_TICK,
            Effect::Decide(_) | Effect::ShowPool(_) => (),
        }
    }

    /// Between a worker's change of the ledger and its heartbeat, another one may look at both.
    fn come_before_the_heartbeat(&mut self, busy: QueueId) {
        if self.is_nested || !self.chance.one_in(16) {
            return;
        }
        let others: Vec<QueueId> = self.queues().into_iter().filter(|it| *it != busy).collect();
        let Some(other) = self.chance.one_of(&others) else { return };
        self.is_nested = true;
        self.tick(other);
        self.is_nested = false;
    }

    /// Between a worker's reading and writing, another one may run a whole turn.
    fn come_between(&mut self, busy: QueueId) {
        let others: Vec<QueueId> = self.queues().into_iter().filter(|it| *it != busy).collect();
        if self.is_nested || !self.chance.one_in(8) {
            return;
        }
        let Some(other) = self.chance.one_of(&others) else { return };
        self.is_nested = true;
        match self.chance.below(if self.is_calm { 1 } else { 6 }) {
            0 => self.deliver_to(other),
            1 => self.tick(other),
            2 | 3 => self.arrive_at(other),
            4 => self.begin_at(other),
            _ => self.finish_at(other),
        }
        self.is_nested = false;
    }

    /// Says what is to be known of the pool.
    pub(crate) fn show(&mut self, has_endpoints: bool) {
        let snapshot = self.pool.snapshot(has_endpoints, self.objectives.clone());
        self.store.store_snapshot(snapshot, self.now);
        let now = self.now;
        let mut crier = Crier { world: self, party: SnapshotNotice };
        let effects = turn(&mut crier, now, ());
        self.pool.has_endpoints = Some(has_endpoints);
        for effect in effects {
            if let Effect::Send(envelope) = effect {
                self.send(QueueId(0), *envelope);
            }
        }
    }

    fn send(&mut self, from: QueueId, envelope: Envelope) {
        let Envelope { to, message } = envelope;
        self.see_tickets(from, &message);
        let is_there = self.members.contains_key(&to) || self.asleep_at(to);
        if is_there && !self.loses(&message) {
            self.mail.entry((from, to)).or_default().push_back((self.now, message));
        }
    }

    /// Delivers the next message between some pair.
    pub(crate) fn deliver(&mut self) {
        self.mail.retain(|_, mail| !mail.is_empty());
        let pairs: Vec<_> = self.mail.keys().copied().collect();
        if let Some(pair) = self.chance.one_of(&pairs) {
            self.deliver_of(pair);
        }
    }

    pub(crate) fn deliver_to(&mut self, queue: QueueId) {
        let mail = self.mail.iter().filter(|((_, to), mail)| *to == queue && !mail.is_empty());
        let pairs: Vec<_> = mail.map(|(pair, _)| *pair).collect();
        if let Some(pair) = self.chance.one_of(&pairs) {
            self.deliver_of(pair);
        }
    }

    /// Delivers what is two milliseconds old, and some of the rest.
    pub(crate) fn deliver_due(&mut self) {
        for pair in self.mail.keys().copied().collect::<Vec<_>>() {
            while let Some((sent, _)) = self.mail.get(&pair).and_then(VecDeque::front) {
                let age = self.now.saturating_since(*sent);
                if age < Duration::from_millis(2) && !self.chance.one_in(3) {
                    break;
                }
                self.deliver_of(pair);
            }
        }
    }

    fn deliver_of(&mut self, pair: (QueueId, QueueId)) {
        let (_, queue) = pair;
        let (_, message) = self.mail.get_mut(&pair).unwrap().pop_front().unwrap();
        match &message {
            Message::Grant { requests, epoch, at } => {
                requests.iter().for_each(|request| self.take(queue, *request, (*epoch, *at)));
            }
            Message::Reject { request, .. } => self.reject(queue, *request, message.clone()),
            Message::Submit { .. }
            | Message::Cancel { .. }
            | Message::Wake
            | Message::Charge { .. }
            | Message::Correct { .. }
            | Message::Evicted => self.tell_the_arbiter(queue, message),
            Message::Evict { .. } => self.ask_for_eviction(queue, message),
        }
    }

    fn tell_the_arbiter(&mut self, queue: QueueId, message: Message) {
        let term = self.term_of(queue);
        let inputs = Input::from_message(message.clone());
        let effects: Vec<Effect> =
            inputs.into_iter().flat_map(|input| self.run(queue, input)).collect();
        if term.is_none() || self.term_of(queue) != term {
            return;
        }
        let bands = self.bands(queue);
        if let Message::Submit { tickets, .. } = &message {
            for ticket in tickets {
                let priority = ticket.flow.priority;
                let objectives = self.objectives.iter().chain(&self.config.objectives);
                let is_known = objectives.into_iter().any(|it| it.priority == priority);
                let is_there = resolve(&bands, priority) == priority;
                assert!(is_there || !is_known, "{}: no band for {ticket:?}", self.place());
            }
        }
        self.follow(queue);
        self.witness.told(&message, &bands);
        if !matches!(message, Message::Charge { .. } | Message::Correct { .. }) {
            self.see(&effects);
        }
    }

    /// The term of a worker that is the arbiter, and knows that it is.
    fn term_of(&mut self, queue: QueueId) -> Option<u64> {
        let lease = self.store.ledger().lease;
        let knows = self.member(queue).worker.queues().is_some();
        (knows && lease.queue == queue).then_some(lease.epoch)
    }

    fn bands(&mut self, queue: QueueId) -> BTreeSet<Priority> {
        let queues = self.member(queue).worker.queues();
        queues.into_iter().flat_map(Controller::band_sizes).map(|it| it.priority).collect()
    }

    fn follow(&mut self, arbiter: QueueId) {
        let epoch = self.store.ledger().lease.epoch;
        if let Some(flow) = &self.members[&arbiter].flow {
            self.witness.follow(epoch, flow);
        }
        let mut flows = self.members.values().map(|member| &member.flow);
        let first = flows.next();
        if !flows.all(|flow| Some(flow) == first) {
            // Not all charge and correct alike.
            self.witness.shares.begin_anew();
        }
    }

    fn see(&mut self, effects: &[Effect]) {
        let phase = self.store.ledger().phase;
        let served = self.witness.saw((self.now, phase), effects);
        if self.rules.is_timely {
            self.holds_the_order(served);
        }
    }

    pub(crate) fn tick_one(&mut self) {
        let ms = self.chance.below(20);
        self.pass(Duration::from_millis(ms.into()));
        if let Some(queue) = self.chance.one_of(&self.queues()) {
            self.tick(queue);
        }
    }

    pub(crate) fn tick(&mut self, queue: QueueId) {
        let term = self.term_of(queue);
        self.member(queue).ticked_at = self.now;
        let effects = self.run(queue, Input::Tick);
        self.set_tick_period(queue);
        self.see_letting_go(queue, &effects);
        if term.is_some() && self.term_of(queue) == term {
            self.follow(queue);
            self.see(&effects);
        }
    }

    pub(crate) fn set_tick_period(&mut self, queue: QueueId) {
        let now = self.now;
        let member = self.member(queue);
        let period = if member.worker.is_busy() { BUSY_TICK } else { IDLE_TICK };
        member.next_tick = now + period;
    }

    fn take(&mut self, queue: QueueId, request: RequestId, (epoch, at): (u64, Instant)) {
        if let Some(asked) = self.left.remove(&(queue, request)) {
            self.witness.shares.gone(asked.ticket.as_ref().unwrap());
        }
        let effects = self.run(queue, Input::Granted { request, epoch, at });
        let decision = only_decision(&effects);
        let Some((fate, asked)) = self.requests.get(&(queue, request)).cloned() else {
            assert!(decision.is_none(), "{}: {decision:?} for none", self.place());
            return;
        };
        if let Some(decision) = decision {
            assert_eq!(fate, Fate::Held, "{}: {request:?} is answered again", self.place());
            assert_eq!(decision.waited, self.now.saturating_since(asked.arrived));
            assert_eq!(decision.granted_at, Some(at));
            self.go((queue, request), (decision, asked), &effects);
        } else if submits(&effects, request).is_some() {
            assert!(self.pool.is_empty(), "{}: held again", self.place());
            self.witness.shares.found(asked.ticket.as_ref().unwrap(), None, &effects);
            self.requests.get_mut(&(queue, request)).unwrap().1.progress = Progress::Granted;
        }
    }

    /// A granted request goes.
    fn go(
        &mut self,
        request: (QueueId, RequestId),
        (decision, asked): (Decision, Asked),
        effects: &[Effect],
    ) {
        let AdmissionResult::Sent(result) = decision.result else {
            panic!("{}: a grant cannot turn away: {decision:?}", self.place())
        };
        let place = Place::of(&result);
        let ticket = asked.ticket.as_ref().unwrap();
        self.witness.shares.found(ticket, Some(place.uncached), effects);
        let asked = Asked { place: Some(place), ..asked };
        self.requests.insert(request, (Fate::Running, asked));
    }

    fn reject(&mut self, queue: QueueId, request: RequestId, message: Message) {
        let inputs = Input::from_message(message);
        let effects: Vec<Effect> =
            inputs.into_iter().flat_map(|input| self.run(queue, input)).collect();
        let Some(decision) = only_decision(&effects) else { return };
        self.rejected((queue, request), &decision);
    }
}

/// The decisions among effects.
pub(crate) fn decisions(effects: &[Effect]) -> impl Iterator<Item = &Decision> {
    effects.iter().filter_map(|effect| {
        if let Effect::Decide(decision) = effect { Some(&**decision) } else { None }
    })
}

/// The decision among effects of which there is one at most.
pub(crate) fn only_decision(effects: &[Effect]) -> Option<Decision> {
    let mut decisions = decisions(effects).cloned();
    let first = decisions.next();
    assert!(decisions.next().is_none(), "two decisions: {effects:?}");
    first
}

/// The ticket that is handed in for a request.
pub(crate) fn submits(effects: &[Effect], request: RequestId) -> Option<Ticket> {
    let of = |effect: &Effect| {
        let Effect::Send(envelope) = effect else { return None };
        let Message::Submit { tickets, .. } = &envelope.message else { return None };
        tickets.iter().find(|ticket| ticket.id.request == request.0).cloned()
    };
    effects.iter().find_map(of)
}
