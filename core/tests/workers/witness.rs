//! Somebody who reads the arbiter's mail, and holds it to what it knew.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use picker_core::{
    Instant,
    flow::{FlowConfig, FlowKey, PhaseKind, Priority, Ticket, TicketId, Ttl},
    ledger::{Ledger, PoolPhase},
    workers::{Message, Step},
};

use crate::shares::Shares;

/// Rejections that the arbiter makes in one go; the rest come later.
const EXPIRED_MAX: usize = 64;

/// What the present arbiter was told and has not answered.
pub(crate) struct Witness {
    config: FlowConfig,
    epoch: u64,
    waiting: BTreeMap<TicketId, Ticket>,
    /// Granted a place that it has not come back from, or rejected.
    settled: BTreeSet<TicketId>,
    pub(crate) shares: Shares,
}

impl Witness {
    pub(crate) fn new(config: FlowConfig) -> Self {
        let shares = Shares::of(&config.default_band.fairness);
        Self { config, epoch: 0, waiting: BTreeMap::new(), settled: BTreeSet::new(), shares }
    }

    /// A message is about to be read by whom `ledger` names as the arbiter.
    pub(crate) fn told(&mut self, ledger: &Ledger, message: &Message) {
        self.follow(ledger);
        match message {
            Message::Submit { epoch, tickets, .. } if *epoch == self.epoch => {
                for ticket in tickets {
                    self.settled.remove(&ticket.id);
                    self.waiting.entry(ticket.id).or_insert_with(|| ticket.clone());
                }
            }
            Message::Cancel { worker, request } => {
                self.waiting.remove(&TicketId { worker: worker.0, request: request.0 });
            }
            // What it had granted there is nobody's, and what tenants got of it is anybody's guess.
            Message::Buried { worker, .. } => {
                self.waiting.retain(|id, _| id.worker != worker.0);
                self.shares.begin_anew();
            }
            Message::Charge { flow, .. } => self.shares.charged(flow),
            Message::Correct { flow, .. } => self.shares.corrected(flow),
            Message::Submit { .. }
            | Message::Wake
            | Message::Grant { .. }
            | Message::Reject { .. } => (),
        }
    }

    /// What the arbiter did once it had looked at its queue. The lowest band that it served.
    pub(crate) fn saw(
        &mut self,
        (now, ledger): (Instant, &Ledger),
        steps: &[Step],
    ) -> Option<Priority> {
        self.follow(ledger);
        let mut granted = Vec::new();
        let mut rejected = 0;
        for step in steps {
            let Step::Send(post) = step else { continue };
            // Workers and queues are numbered alike.
            let worker = u64::from(post.to.0);
            match &post.message {
                Message::Grant { requests, .. } => {
                    let ids = requests.iter().map(|it| TicketId { worker, request: it.0 });
                    granted.extend(ids.filter_map(|id| self.waiting.remove(&id)));
                }
                Message::Reject { request, .. } => {
                    let id = TicketId { worker, request: request.0 };
                    self.waiting.remove(&id);
                    self.settled.insert(id);
                    rejected += 1;
                }
                Message::Submit { .. }
                | Message::Cancel { .. }
                | Message::Wake
                | Message::Charge { .. }
                | Message::Correct { .. }
                | Message::Buried { .. } => (),
            }
        }
        self.holds_the_order(&granted);
        let flows: BTreeSet<FlowKey> =
            self.waiting.values().map(|ticket| ticket.flow.clone()).collect();
        self.shares.granted(&granted, &flows);
        if rejected < EXPIRED_MAX {
            self.holds_the_time(now, ledger.phase);
        }
        self.settled.extend(granted.iter().map(|ticket| ticket.id));
        granted.iter().map(|ticket| ticket.flow.priority).min()
    }

    /// Whether the arbiter has decided about it.
    pub(crate) fn has_settled(&self, id: TicketId) -> bool {
        self.settled.contains(&id)
    }

    fn follow(&mut self, ledger: &Ledger) {
        if ledger.lease.epoch != self.epoch {
            self.epoch = ledger.lease.epoch;
            self.waiting.clear();
            self.settled.clear();
            self.shares.begin_anew();
        }
    }

    /// No lower band is served while a higher one could be.
    fn holds_the_order(&self, granted: &[Ticket]) {
        let served = granted.iter().map(|ticket| ticket.flow.priority).min();
        let left = self.waiting.values().map(|ticket| ticket.flow.priority).max();
        if let (Some(served), Some(left)) = (served, left) {
            assert!(served >= left, "band {served} is served while {left} waits");
        }
    }

    /// Nobody waits beyond the time at which the arbiter looks at the clock.
    fn holds_the_time(&self, now: Instant, phase: PoolPhase) {
        for ticket in self.waiting.values() {
            let deadline = deadline(&self.config, ticket, phase);
            assert!(deadline.is_none_or(|it| it > now), "{ticket:?} waits at {now:?} in {phase:?}");
        }
    }
}

/// When a ticket's time is up.
pub(crate) fn deadline(config: &FlowConfig, ticket: &Ticket, phase: PoolPhase) -> Option<Instant> {
    let ttl: Ttl = match phase.kind {
        PhaseKind::Serving => config.default_ttl.shortened_by(ticket.ttl),
        PhaseKind::Empty => config.no_endpoint_ttl.unwrap(),
    };
    let within = |ttl: Duration| ticket.arrived.max(phase.since) + ttl;
    match ttl {
        Ttl::Unlimited => None,
        Ttl::Within(ttl) => Some(within(ttl)),
    }
}
