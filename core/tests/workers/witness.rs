//! A reader of the arbiter's mail, which holds the arbiter to what it knew.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use picker_core::{
    Instant,
    flow::{FlowConfig, FlowKey, PhaseKind, Priority, Ticket, TicketId, Ttl},
    ledger::PoolPhase,
    worker::Effect,
    workers::Message,
};

use crate::shares::Shares;

/// Rejections that the arbiter makes in one go; the rest come later.
const EXPIRED_MAX: usize = 64;

/// The tickets that the present arbiter was told of and has not answered.
pub(crate) struct Witness {
    /// The configuration that the arbiter goes by.
    pub(crate) config: FlowConfig,
    epoch: u64,
    /// Tickets by their bands: the priority of a flow is here the one that it is served as.
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

    /// The lease is of this epoch, and its holder goes by this configuration.
    pub(crate) fn follow(&mut self, epoch: u64, config: &FlowConfig) {
        if epoch != self.epoch {
            self.epoch = epoch;
            self.forget();
        }
        if *config != self.config {
            self.config = config.clone();
            self.shares.go_by(&config.default_band.fairness);
        }
    }

    /// The arbiter knows of no ticket any more.
    pub(crate) fn forget(&mut self) {
        self.waiting.clear();
        self.settled.clear();
        self.shares.begin_anew();
    }

    /// The arbiter has read a message, and has these bands.
    pub(crate) fn told(&mut self, message: &Message, bands: &BTreeSet<Priority>) {
        match message {
            Message::Submit { epoch, tickets, .. } if *epoch == self.epoch => {
                for ticket in tickets {
                    self.settled.remove(&ticket.id);
                    let mut ticket = ticket.clone();
                    ticket.flow.priority = resolve(bands, ticket.flow.priority);
                    self.waiting.entry(ticket.id).or_insert(ticket);
                }
            }
            Message::Cancel { worker, request } => {
                self.waiting.remove(&TicketId { worker: worker.0, request: request.0 });
            }
            Message::Charge { flow, .. } => self.shares.charged(flow),
            Message::Correct { flow, .. } => self.shares.corrected(flow),
            Message::Submit { .. }
            | Message::Wake
            | Message::Grant { .. }
            | Message::Reject { .. }
            | Message::Evict { .. }
            | Message::Evicted => (),
        }
    }

    /// Sees what the arbiter did once it had looked at its queue; returns the lowest band that it served.
    pub(crate) fn saw(
        &mut self,
        (now, phase): (Instant, PoolPhase),
        effects: &[Effect],
    ) -> Option<Priority> {
        let mut granted = Vec::new();
        let mut rejected = 0;
        for effect in effects {
            let Effect::Send(envelope) = effect else { continue };
            // Workers and queues are numbered alike.
            let worker = u64::from(envelope.to.0);
            match &envelope.message {
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
                | Message::Evict { .. }
                | Message::Evicted => (),
            }
        }
        self.holds_the_order(&granted);
        let flows: BTreeSet<FlowKey> =
            self.waiting.values().map(|ticket| ticket.flow.clone()).collect();
        self.shares.granted(&granted, &flows);
        if rejected < EXPIRED_MAX {
            self.holds_the_time(now, phase);
        }
        self.settled.extend(granted.iter().map(|ticket| ticket.id));
        granted.iter().map(|ticket| ticket.flow.priority).min()
    }

    /// True if the arbiter has decided about a ticket.
    pub(crate) fn has_settled(&self, id: TicketId) -> bool {
        self.settled.contains(&id)
    }

    /// The band in which the arbiter has a ticket, if it knows it.
    pub(crate) fn band(&self, id: TicketId) -> Option<Priority> {
        self.waiting.get(&id).map(|ticket| ticket.flow.priority)
    }

    /// No lower band is served while a higher one could be.
    fn holds_the_order(&self, granted: &[Ticket]) {
        let served = granted.iter().map(|ticket| ticket.flow.priority).min();
        let left = self.waiting.values().map(|ticket| ticket.flow.priority).max();
        if let (Some(served), Some(left)) = (served, left) {
            assert!(served >= left, "band {served} is served while {left} waits");
        }
    }

    /// No ticket waits beyond the time at which the arbiter looks at the clock.
    fn holds_the_time(&self, now: Instant, phase: PoolPhase) {
        for ticket in self.waiting.values() {
            let deadline = deadline(&self.config, (ticket.arrived, ticket.ttl), phase);
            assert!(deadline.is_none_or(|it| it > now), "{ticket:?} waits at {now:?} in {phase:?}");
        }
    }
}

/// The band that serves a priority.
pub(crate) fn resolve(bands: &BTreeSet<Priority>, priority: Priority) -> Priority {
    if bands.contains(&priority) { priority } else { Priority(0) }
}

/// The time at which a request has to be told that it waited too long, by its arrival and patience.
pub(crate) fn deadline(
    config: &FlowConfig,
    (arrived, patience): (Instant, Option<Duration>),
    phase: PoolPhase,
) -> Option<Instant> {
    let ttl: Ttl = match phase.kind {
        PhaseKind::Serving => config.default_ttl.shortened_by(patience),
        PhaseKind::Empty => config.no_endpoint_ttl.unwrap(),
    };
    let within = |ttl: Duration| arrived.max(phase.since) + ttl;
    match ttl {
        Ttl::Unlimited => None,
        Ttl::Within(ttl) => Some(within(ttl)),
    }
}
