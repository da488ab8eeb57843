//! One worker of an Envoy, as part of the whole.

use std::collections::BTreeMap;

use super::{
    Gauge, Message, Post, QueueId, SharedLedger,
    arbiter::{Arbiter, Tenure},
};
use crate::{
    Instant, NoPick, RequestId,
    flow::{Controller, FlowConfig, FlowKey, Outcome, Regime, Ticket},
    ledger::{EndpointKey, Lease, Ledger, Row, WorkerId},
};

/// One worker: the requests that it holds and those that it sent.
#[derive(Debug)]
pub struct Member {
    id: WorkerId,
    queue: QueueId,
    config: FlowConfig,
    row: Row,
    held: BTreeMap<RequestId, Ticket>,
    sent: BTreeMap<RequestId, Sent>,
    /// The arbiter that knows the held requests.
    handed_to: Handed,
    arbiter: Option<Arbiter>,
}

/// Which arbiter, and where it takes messages.
#[derive(Clone, Copy, Debug, Default)]
struct Handed {
    epoch: u64,
    queue: QueueId,
}

/// A request on its way.
#[derive(Clone, Copy, Debug)]
struct Sent {
    endpoint: EndpointKey,
    /// Prompt tokens that still count as load: none once it is answered.
    tokens: u32,
}

/// What is to become of a request that could go, by the ledger as it is.
#[derive(Debug)]
pub enum Admission<D> {
    /// It goes there. `D` is what the caller wants to know of it later.
    Send(EndpointKey, u32, D),
    /// It must wait.
    Hold,
    /// There is nothing to choose from.
    Refuse(NoPick),
}

/// What became of a request.
#[derive(Debug)]
pub enum Arrival<D> {
    /// It was counted and goes.
    Sent(D),
    /// It is held; its ticket is on the way to the arbiter.
    Held,
    /// There is nothing to choose from.
    Refused(NoPick),
    /// This worker can hold no more.
    Rejected(Outcome),
}

/// What a message makes the worker do.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Send a message.
    Post(Post),
    /// Let a held request go: [`Member::take_grant`].
    Take {
        /// Which one.
        request: RequestId,
        /// Whose grant.
        epoch: u64,
    },
    /// Answer a held request in the pool's place.
    Reject {
        /// Which one.
        request: RequestId,
        /// Why.
        outcome: Outcome,
    },
}

impl Member {
    /// Tickets in one message: with 256 bytes each for the longest names, below 32 kB.
    pub const TICKETS_MAX: usize = 64;

    /// Requests that one worker holds. Envoy keeps each one's body: at 220 kB a prompt these are
    /// 3.6 GB, and bands have limits of their own below that.
    const HELD_MAX: usize = 16_384;

    /// A worker that takes its messages from `queue`.
    #[must_use]
    pub fn new(id: WorkerId, queue: QueueId, config: FlowConfig) -> Self {
        Self {
            id,
            queue,
            config,
            row: Row::default(),
            held: BTreeMap::new(),
            sent: BTreeMap::new(),
            handed_to: Handed::default(),
            arbiter: None,
        }
    }

    /// What this worker has counted, to be put where the others find it when it is dead.
    #[must_use]
    pub fn row(&self) -> &Row {
        &self.row
    }

    /// Whether requests wait on this worker, or it decides for others: then it should tick often.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        !self.held.is_empty() || self.arbiter.as_ref().is_some_and(Arbiter::has_waiting)
    }

    /// A request has been read: it goes if nobody waits and `admit` lets it, else it is held.
    pub fn arrive<D>(
        &mut self,
        now: Instant,
        (shared, gauge): (&dyn SharedLedger, &dyn Gauge),
        ticket: Ticket,
        mut admit: impl FnMut(&Ledger) -> Admission<D>,
    ) -> (Arrival<D>, Vec<Post>) {
        let request = RequestId(ticket.id.request);
        let mut outcome = Admission::Hold;
        let mut lease = Lease::default();
        let may_hold = self.held.len() < Self::HELD_MAX;
        shared.update(&mut |ledger| {
            outcome = if ledger.waiting == 0 { admit(ledger) } else { Admission::Hold };
            match &outcome {
                Admission::Send(endpoint, tokens, _) => ledger.open(*endpoint, *tokens),
                Admission::Hold if may_hold => {
                    ledger.take_lease(self.id, self.queue, now);
                    ledger.hold();
                    lease = ledger.lease;
                }
                Admission::Hold | Admission::Refuse(_) => (),
            }
        });
        match outcome {
            Admission::Send(endpoint, tokens, decision) => {
                self.opened(request, Sent { endpoint, tokens });
                (Arrival::Sent(decision), Vec::new())
            }
            Admission::Refuse(why) => (Arrival::Refused(why), Vec::new()),
            Admission::Hold if !may_hold => {
                (Arrival::Rejected(Outcome::RejectedCapacity), Vec::new())
            }
            Admission::Hold => {
                self.row.waiting += 1;
                let mut posts = self.follow(now, gauge.regime(), lease);
                posts.push(self.hand_in(vec![ticket.clone()], false));
                self.held.insert(request, ticket);
                (Arrival::Held, posts)
            }
        }
    }

    /// A held request was granted a place: it goes where `admit` says, without asking for room. None
    /// where the grant is void or the request is gone.
    pub fn take_grant<D>(
        &mut self,
        shared: &dyn SharedLedger,
        (request, epoch): (RequestId, u64),
        mut admit: impl FnMut(&Ledger) -> Admission<D>,
    ) -> Option<Arrival<D>> {
        self.held.get(&request)?;
        let mut outcome = None;
        shared.update(&mut |ledger| {
            outcome = Some(admit(ledger)).filter(|_| ledger.lease.epoch == epoch);
            match &outcome {
                Some(Admission::Send(endpoint, tokens, _)) => {
                    ledger.ungrant();
                    ledger.release();
                    ledger.open(*endpoint, *tokens);
                }
                Some(Admission::Hold | Admission::Refuse(_)) => {
                    ledger.ungrant();
                    ledger.release();
                }
                None => (),
            }
        });
        let outcome = outcome?;
        self.row.grants_taken += 1;
        self.unhold(request);
        Some(match outcome {
            Admission::Send(endpoint, tokens, decision) => {
                self.opened(request, Sent { endpoint, tokens });
                Arrival::Sent(decision)
            }
            Admission::Refuse(why) => Arrival::Refused(why),
            Admission::Hold => Arrival::Rejected(Outcome::RejectedInternal),
        })
    }

    /// The endpoint has read the request's prompt.
    pub fn answered(&mut self, shared: &dyn SharedLedger, request: RequestId) {
        let Some(sent) = self.sent.get_mut(&request) else { return };
        let Sent { endpoint, tokens } = *sent;
        sent.tokens = 0;
        if tokens > 0 {
            self.row.accounts.answered(endpoint, tokens);
            shared.update(&mut |ledger| ledger.answered(endpoint, tokens));
        }
    }

    /// A request's stream is gone, however it ended and wherever it was.
    pub fn ended(&mut self, shared: &dyn SharedLedger, request: RequestId) -> Option<Post> {
        if self.unhold(request) {
            shared.update(&mut Ledger::release);
            let message = Message::Cancel { worker: self.id, request };
            return Some(Post { to: self.handed_to.queue, message });
        }
        let Sent { endpoint, tokens } = self.sent.remove(&request)?;
        self.row.accounts.close(endpoint, tokens);
        let mut others_wait = None;
        shared.update(&mut |ledger| {
            ledger.close(endpoint, tokens);
            others_wait = Some(ledger.lease).filter(|_| ledger.waiting > 0);
        });
        others_wait.map(|lease| Post { to: lease.queue, message: Message::Nudge })
    }

    /// Tells the arbiter what a flow's request has cost, if anybody waits.
    #[must_use]
    pub fn charge(&self, ledger: &Ledger, flow: FlowKey, tokens: u32) -> Option<Post> {
        (ledger.waiting > 0).then_some(())?;
        Some(Post { to: ledger.lease.queue, message: Message::Charge { flow, tokens } })
    }

    /// A message has come.
    pub fn receive(
        &mut self,
        now: Instant,
        (shared, gauge): (&dyn SharedLedger, &dyn Gauge),
        message: Message,
    ) -> Vec<Step> {
        match message {
            Message::Grant { request, epoch } if self.held.contains_key(&request) => {
                vec![Step::Take { request, epoch }]
            }
            Message::Grant { epoch, .. } => {
                self.give_back(shared, epoch);
                Vec::new()
            }
            Message::Reject { request, outcome } if self.unhold(request) => {
                shared.update(&mut Ledger::release);
                vec![Step::Reject { request, outcome }]
            }
            Message::Reject { .. } => Vec::new(),
            to_arbiter @ (Message::HandIn { .. }
            | Message::Cancel { .. }
            | Message::Nudge
            | Message::Charge { .. }
            | Message::Buried { .. }) => self.arbitrate(now, shared, gauge, Some(to_arbiter)),
        }
    }

    /// Time has passed: shows that this worker lives, decides if it is the arbiter, and sees to it
    /// that there is one while it holds requests.
    pub fn tick(
        &mut self,
        now: Instant,
        (shared, gauge): (&dyn SharedLedger, &dyn Gauge),
    ) -> Vec<Step> {
        self.row.alive_at = now;
        let mut steps = self.arbitrate(now, shared, gauge, None);
        if !self.held.is_empty() {
            let mut lease = Lease::default();
            shared.update(&mut |ledger| {
                ledger.take_lease(self.id, self.queue, now);
                lease = ledger.lease;
            });
            steps.extend(self.follow(now, gauge.regime(), lease).into_iter().map(Step::Post));
        }
        steps
    }

    /// Takes back what a dead worker had counted, and tells the arbiter. To be called once for a
    /// row that [`Row::is_dead`], by whoever took it away from where it was.
    pub fn bury(shared: &dyn SharedLedger, worker: WorkerId, row: &Row) -> Post {
        let mut to = QueueId::default();
        shared.update(&mut |ledger| {
            ledger.take_back(row);
            to = ledger.lease.queue;
        });
        let &Row { epoch, grants_taken, .. } = row;
        Post { to, message: Message::Buried { worker, epoch, grants_taken } }
    }

    fn arbitrate(
        &mut self,
        now: Instant,
        shared: &dyn SharedLedger,
        gauge: &dyn Gauge,
        message: Option<Message>,
    ) -> Vec<Step> {
        // A message to an arbiter of the past: its sender will notice and hand in again.
        let Some(arbiter) = &mut self.arbiter else { return Vec::new() };
        let mut posts = match message {
            Some(Message::HandIn { worker, reply_to, epoch, again, tickets })
                if epoch == arbiter.epoch() =>
            {
                arbiter.take_in(now, (worker, reply_to), tickets, again)
            }
            Some(Message::Cancel { worker, request }) => {
                arbiter.cancel(now, worker, request);
                Vec::new()
            }
            Some(Message::Charge { flow, tokens }) => {
                arbiter.charge(&flow, tokens);
                return Vec::new();
            }
            Some(Message::Buried { worker, epoch, grants_taken }) => {
                let taken = if epoch == arbiter.epoch() { grants_taken } else { 0 };
                arbiter.bury(now, (worker, taken), shared);
                Vec::new()
            }
            _ => Vec::new(),
        };
        let (tenure, more) = arbiter.run(now, gauge, shared);
        posts.extend(more);
        if tenure == Tenure::Lost {
            self.arbiter = None;
        }
        posts.into_iter().map(Step::Post).collect()
    }

    /// Knows the arbiter by this lease from now on; hands in again what another one knew.
    fn follow(&mut self, now: Instant, regime: Regime, lease: Lease) -> Vec<Post> {
        let is_new = |arbiter: &Arbiter| arbiter.epoch() != lease.epoch;
        if lease.holder == self.id && self.arbiter.as_ref().is_none_or(is_new) {
            let controller = Controller::new(self.config.clone(), regime, now);
            self.arbiter = Some(Arbiter::new(lease, controller));
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

    fn hand_in(&self, tickets: Vec<Ticket>, again: bool) -> Post {
        let Handed { epoch, queue } = self.handed_to;
        let message =
            Message::HandIn { worker: self.id, reply_to: self.queue, epoch, again, tickets };
        Post { to: queue, message }
    }

    fn opened(&mut self, request: RequestId, sent: Sent) {
        self.row.accounts.open(sent.endpoint, sent.tokens);
        self.sent.insert(request, sent);
    }

    /// Gives a place back that was granted to a request which is gone.
    fn give_back(&mut self, shared: &dyn SharedLedger, epoch: u64) {
        if epoch == self.handed_to.epoch {
            self.row.grants_taken += 1;
        }
        shared.update(&mut |ledger| {
            if ledger.lease.epoch == epoch {
                ledger.ungrant();
            }
        });
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
