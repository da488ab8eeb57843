//! One worker of an Envoy, as part of the whole.

mod grant;

use std::collections::BTreeMap;

use super::{
    Admission, AdmissionResult, Answered, CapacitySource, Envelope, Message, SharedLedger, Step,
    Target,
    arbiter::{Arbiter, Tenure},
    gate::{Gate, gate},
    in_flight::{Sent, UnderWay},
};
use crate::{
    flow::{Controller, FlowConfig, FlowKey, Outcome, Ticket},
    ledger::{EndpointKey, Heartbeat, Lease, Ledger},
    model::{Instant, Priority, QueueId, RequestId, WorkerId},
};

/// One worker: the requests that it holds and those that it sent.
#[derive(Debug)]
pub struct WorkerPeer {
    id: WorkerId,
    queue: QueueId,
    row: Heartbeat,
    held: BTreeMap<RequestId, Ticket>,
    sent: UnderWay,
    /// The arbiter that knows the held requests.
    handed_to: Handed,
    /// None where flow control is off, and nobody is ever held.
    arbiter: Option<Arbiter>,
}

/// Which arbiter, and where it takes messages.
#[derive(Clone, Copy, Debug, Default)]
struct Handed {
    epoch: u64,
    queue: QueueId,
}

impl WorkerPeer {
    /// Tickets in one message: with 256 bytes each for the longest names, below 32 kB.
    pub const TICKETS_MAX: usize = 64;

    /// Grants in one message, and in one go of the arbiter: as many streams as may be resumed in one
    /// callback of the host.
    pub const GRANTS_MAX: u32 = 64;

    /// Requests that one worker holds. Envoy keeps each one's body: at 220 kB a prompt these are
    /// 3.6 GB, and bands have limits of their own below that.
    const HELD_MAX: usize = 16_384;

    /// A worker that takes its messages from `queue`. Without `flow` nobody is ever held.
    #[must_use]
    pub fn new(id: WorkerId, queue: QueueId, flow: Option<FlowConfig>, now: Instant) -> Self {
        let arbiter = flow.map(|config| Arbiter::new(id, queue, config, now));
        Self {
            id,
            queue,
            row: Heartbeat { alive_at: now, ..Heartbeat::default() },
            held: BTreeMap::new(),
            sent: UnderWay::default(),
            handed_to: Handed::default(),
            arbiter,
        }
    }

    /// Goes by another configuration from now on; `None` turns flow control off. What it held as the
    /// arbiter is handed in again once the lease has lapsed. While requests are still held here they
    /// are served by the configuration that they met, and the new one counts from the next call.
    pub fn configure(&mut self, now: Instant, flow: Option<FlowConfig>) {
        if flow.is_none() && !self.held.is_empty() {
            return;
        }
        if self.arbiter.as_ref().map(Arbiter::config) != flow.as_ref() {
            self.arbiter = flow.map(|config| Arbiter::new(self.id, self.queue, config, now));
        }
    }

    /// Who this is.
    #[must_use]
    pub fn id(&self) -> WorkerId {
        self.id
    }

    /// Which priorities the known objectives have: each gets a band.
    pub fn provision(&mut self, now: Instant, priorities: &[Priority]) {
        if let Some(arbiter) = &mut self.arbiter {
            arbiter.provision(now, priorities);
        }
    }

    /// All queues of the pool, if this member is the arbiter.
    #[must_use]
    pub fn queues(&self) -> Option<&Controller> {
        self.arbiter.as_ref().filter(|arbiter| arbiter.epoch().is_some()).map(Arbiter::controller)
    }

    /// What this worker has counted, to be put where the others find it when it is dead.
    #[must_use]
    pub fn row(&self) -> &Heartbeat {
        &self.row
    }

    /// Whether requests wait on this worker, or it decides for others: then it should tick often.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        !self.held.is_empty() || self.arbiter.as_ref().is_some_and(Arbiter::has_waiting)
    }

    /// A request has been read: it goes where `admit` says if nobody waits and there is room, else
    /// it is held. `admit` may be asked more than once, of which the last counts.
    pub fn arrive<D>(
        &mut self,
        now: Instant,
        (shared, gauge): (&dyn SharedLedger, &dyn CapacitySource),
        ticket: Ticket,
        mut admit: impl FnMut(&Ledger) -> Admission<D>,
    ) -> (AdmissionResult<D>, Vec<Envelope>) {
        let request = RequestId(ticket.id.request);
        let mut arrival = AdmissionResult::Held;
        let mut sent = None;
        let mut lease = Lease::default();
        let (id, queue, full) = (self.id, self.queue, self.held.len() >= Self::HELD_MAX);
        let arbiter = &mut self.arbiter;
        shared.update(&mut |ledger| {
            sent = None;
            arrival = match gate(arbiter.as_mut(), gauge, ledger, ticket.flow.priority) {
                Gate::Open => match admit(ledger) {
                    Admission::Send(target, decision) => {
                        sent = Some(target);
                        AdmissionResult::Sent(decision, open(now, ledger, target))
                    }
                    Admission::Refuse(why) => AdmissionResult::Refused(why),
                },
                Gate::Shed => AdmissionResult::Shed,
                Gate::Shut if full => AdmissionResult::Rejected(Outcome::RejectedCapacity),
                Gate::Shut => {
                    ledger.take_lease(id, queue, now);
                    ledger.hold();
                    lease = ledger.lease;
                    AdmissionResult::Held
                }
            };
        });
        if let Some(target) = sent {
            self.sent.opened((now, &mut self.row.accounts), request, target);
        }
        let mut posts = Vec::new();
        if matches!(arrival, AdmissionResult::Held) {
            self.row.waiting += 1;
            posts = self.follow(now, lease);
            posts.push(self.hand_in(vec![ticket.clone()], false));
            self.held.insert(request, ticket);
        }
        (arrival, posts)
    }

    /// Another endpoint has a request than the one that it was sent to. True if that changed what this
    /// worker has counted.
    pub fn moved(
        &mut self,
        now: Instant,
        shared: &dyn SharedLedger,
        at: (RequestId, EndpointKey),
    ) -> bool {
        self.sent.moved((now, &mut self.row.accounts), shared, at)
    }

    /// The answer has begun, so that the request's prompt is computed.
    pub fn answered(
        &mut self,
        now: Instant,
        shared: &dyn SharedLedger,
        request: RequestId,
    ) -> Answered {
        let Some(computed) = self.sent.answered((now, &mut self.row.accounts), request) else {
            return Answered::default();
        };
        let mut nudge = None;
        shared.update(&mut |ledger| {
            computed.take_off(now, &mut ledger.accounts);
            nudge = computed.frees_a_place().then(|| ledger.nudge()).flatten();
        });
        Answered { counts: true, nudge: nudge.map(nudge_at) }
    }

    /// A request's stream is gone, however it ended and wherever it was.
    pub fn ended(
        &mut self,
        now: Instant,
        shared: &dyn SharedLedger,
        request: RequestId,
    ) -> Option<Envelope> {
        if self.unhold(request) {
            shared.update(&mut Ledger::release);
            let message = Message::Cancel { worker: self.id, request };
            return Some(Envelope { to: self.handed_to.queue, message });
        }
        let sent = self.sent.closed((now, &mut self.row.accounts), request)?;
        let mut nudge = None;
        shared.update(&mut |ledger| {
            sent.close(now, &mut ledger.accounts);
            nudge = ledger.nudge();
        });
        nudge.map(nudge_at)
    }

    /// Tells the arbiter what a flow's request has cost, if anybody waits.
    #[must_use]
    pub fn charge(&self, ledger: &Ledger, flow: FlowKey, tokens: u32) -> Option<Envelope> {
        (ledger.waiting > 0).then_some(())?;
        Some(Envelope { to: ledger.lease.queue, message: Message::Charge { flow, tokens } })
    }

    /// A message has come.
    pub fn receive(
        &mut self,
        now: Instant,
        (shared, gauge): (&dyn SharedLedger, &dyn CapacitySource),
        message: Message,
    ) -> Vec<Step> {
        match message {
            Message::Grant { requests, epoch, at } => {
                let all = requests.len();
                let held = requests.into_iter().filter(|request| self.held.contains_key(request));
                let take = |request| Step::Take { request, epoch, granted_at: at };
                let mut steps: Vec<Step> = held.map(take).collect();
                let gone = u32::try_from(all - steps.len()).unwrap_or(u32::MAX);
                steps.extend(self.give_back(shared, epoch, gone));
                steps
            }
            Message::Reject { request, outcome } if self.unhold(request) => {
                shared.update(&mut Ledger::release);
                vec![Step::Reject { request, outcome }]
            }
            Message::Reject { .. } => Vec::new(),
            to_arbiter @ (Message::Submit { .. }
            | Message::Cancel { .. }
            | Message::Wake
            | Message::Charge { .. }
            | Message::Correct { .. }
            | Message::Buried { .. }) => self.arbitrate(now, (shared, gauge), Some(to_arbiter)),
        }
    }

    /// Time has passed: shows that this worker lives, decides if it is the arbiter, and sees to it
    /// that there is one while it holds requests.
    pub fn tick(
        &mut self,
        now: Instant,
        (shared, gauge): (&dyn SharedLedger, &dyn CapacitySource),
    ) -> Vec<Step> {
        self.row.alive_at = now;
        let mut steps = self.arbitrate(now, (shared, gauge), None);
        if !self.held.is_empty() {
            let mut lease = Lease::default();
            shared.update(&mut |ledger| {
                ledger.take_lease(self.id, self.queue, now);
                lease = ledger.lease;
            });
            steps.extend(self.follow(now, lease).into_iter().map(Step::Send));
        }
        steps
    }

    /// Takes back what a dead worker had counted, and tells the arbiter. To be called once for a
    /// row that [`Heartbeat::is_dead`], by whoever took it away from where it was.
    pub fn bury(
        now: Instant,
        shared: &dyn SharedLedger,
        worker: WorkerId,
        row: &Heartbeat,
    ) -> Envelope {
        let mut to = QueueId::default();
        shared.update(&mut |ledger| {
            ledger.take_back(now, row);
            to = ledger.lease.queue;
        });
        let &Heartbeat { epoch, grants_taken, .. } = row;
        Envelope { to, message: Message::Buried { worker, epoch, grants_taken } }
    }

    fn arbitrate(
        &mut self,
        now: Instant,
        (shared, gauge): (&dyn SharedLedger, &dyn CapacitySource),
        message: Option<Message>,
    ) -> Vec<Step> {
        // A message to an arbiter of the past: its sender will notice and hand in again.
        let Some(arbiter) = &mut self.arbiter else { return Vec::new() };
        let Some(epoch) = arbiter.epoch() else { return Vec::new() };
        let mut posts = Vec::new();
        match message {
            Some(Message::Submit { worker, reply_to, epoch: meant, again, tickets })
                if meant == epoch =>
            {
                posts = arbiter.take_in(now, (worker, reply_to), tickets, again);
            }
            Some(Message::Cancel { worker, request }) => arbiter.cancel(now, worker, request),
            Some(Message::Charge { flow, tokens }) => {
                arbiter.charge(&flow, tokens);
                return Vec::new();
            }
            Some(Message::Correct { flow, charged, found }) => {
                arbiter.correct(&flow, charged, found);
                return Vec::new();
            }
            Some(Message::Buried { worker, epoch: known, grants_taken }) => {
                let taken = if known == epoch { grants_taken } else { 0 };
                arbiter.bury(now, (worker, taken), shared);
            }
            _ => (),
        }
        let (tenure, more) = arbiter.run(now, gauge, shared);
        posts.extend(more);
        if tenure == Tenure::Lost {
            arbiter.end(now);
        }
        posts.into_iter().map(Step::Send).collect()
    }

    /// Knows the arbiter by this lease from now on; hands in again what another one knew.
    fn follow(&mut self, now: Instant, lease: Lease) -> Vec<Envelope> {
        if let Some(arbiter) = &mut self.arbiter
            && lease.holder == self.id
            && arbiter.epoch() != Some(lease.epoch)
        {
            arbiter.begin(now, &lease);
        }
        if lease.epoch == self.handed_to.epoch {
            return Vec::new();
        }
        self.handed_to = Handed { epoch: lease.epoch, queue: lease.queue };
        self.row.epoch = lease.epoch;
        self.row.grants_taken = 0;
        let tickets: Vec<Ticket> = self.held.values().cloned().collect();
        tickets.chunks(Self::TICKETS_MAX).map(|some| self.hand_in(some.to_vec(), true)).collect()
    }

    fn hand_in(&self, tickets: Vec<Ticket>, again: bool) -> Envelope {
        let Handed { epoch, queue } = self.handed_to;
        let message =
            Message::Submit { worker: self.id, reply_to: self.queue, epoch, again, tickets };
        Envelope { to: queue, message }
    }

    /// True if the request was held.
    fn unhold(&mut self, request: RequestId) -> bool {
        let held = self.held.remove(&request).is_some();
        if held {
            self.row.waiting = self.row.waiting.saturating_sub(1);
        }
        held
    }
}

fn nudge_at(queue: QueueId) -> Envelope {
    Envelope { to: queue, message: Message::Wake }
}

/// Counts a request that goes, and takes a place on the board for it if it is announced.
fn open(now: Instant, ledger: &mut Ledger, target: Target) -> Option<u64> {
    Sent::to(target).open(now, &mut ledger.accounts);
    target.announced.then(|| ledger.announce())
}
