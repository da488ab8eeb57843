//! Flow control by exhaustive search: slow, short, and right by inspection.

use std::{cmp::Reverse, collections::BTreeMap};

use picker_core::{
    Instant,
    flow::{
        BandConfig, FairnessId, FairnessPolicy, FlowConfig, FlowKey, OrderingPolicy, Outcome,
        PhaseKind, Priority, Ticket, TicketId, TokenCost, Ttl,
    },
};

/// A list of all that wait, searched for every question. Knows strict bands 10, 0 and -1 of one
/// configuration, and no idle limits.
pub(crate) struct Model {
    pub(crate) config: FlowConfig,
    pub(crate) waiting: Vec<Ticket>,
    /// Flows that wait, the one with the next turn first.
    ring: Vec<FlowKey>,
    counters: BTreeMap<FlowKey, u128>,
    last_counter: BTreeMap<Priority, u128>,
    kind: PhaseKind,
    since: Instant,
}

impl Model {
    pub(crate) fn new(config: FlowConfig) -> Self {
        Self {
            config,
            waiting: Vec::new(),
            ring: Vec::new(),
            counters: BTreeMap::new(),
            last_counter: BTreeMap::new(),
            kind: PhaseKind::Serving,
            since: Instant::default(),
        }
    }

    fn band(&self) -> &BandConfig {
        &self.config.default_band
    }

    /// Returns the victims, or why it is refused.
    pub(crate) fn offer(&mut self, ticket: Ticket) -> Result<Vec<TicketId>, Outcome> {
        let full = match self.kind {
            PhaseKind::Serving => Outcome::RejectedCapacity,
            PhaseKind::Empty => Outcome::RejectedNoEndpoints,
        };
        let priority = ticket.flow.priority;
        let of_band = self.waiting.iter().filter(|other| other.flow.priority == priority).count();
        if of_band as u64 >= self.band().limits.max_requests.unwrap() {
            return Err(full);
        }
        let max = usize::try_from(self.config.limits.max_requests.unwrap()).unwrap();
        let excess = (self.waiting.len() + 1).saturating_sub(max);
        let lower = self.waiting.iter().filter(|other| other.flow.priority < priority);
        let mut lower: Vec<&Ticket> = lower.filter(|_| self.config.displace).collect();
        lower.sort_by_key(|other| (other.flow.priority, Reverse((other.arrived, other.id))));
        if excess > lower.len().min(16) {
            return Err(full);
        }
        let victims: Vec<TicketId> = lower[..excess].iter().map(|victim| victim.id).collect();
        victims.iter().for_each(|victim| drop(self.remove(*victim)));
        self.hand_in(ticket);
        Ok(victims)
    }

    pub(crate) fn hand_in(&mut self, ticket: Ticket) {
        if !self.ring.contains(&ticket.flow) {
            let priority = ticket.flow.priority;
            let others = self.ring.iter().filter(|flow| flow.priority == priority);
            let lowest = others.map(|flow| self.counters[flow]).min();
            let floor = lowest.or_else(|| self.last_counter.get(&priority).copied()).unwrap_or(0);
            let counter = self.counters.entry(ticket.flow.clone()).or_default();
            *counter = floor.max(*counter);
            self.ring.push(ticket.flow.clone());
        }
        self.waiting.push(ticket);
    }

    pub(crate) fn remove(&mut self, id: TicketId) -> Option<Ticket> {
        let index = self.waiting.iter().position(|ticket| ticket.id == id)?;
        let ticket = self.waiting.remove(index);
        if self.waiting.iter().all(|other| other.flow != ticket.flow) {
            self.ring.retain(|flow| *flow != ticket.flow);
            let priority = ticket.flow.priority;
            if self.ring.iter().all(|flow| flow.priority != priority) {
                self.last_counter.insert(priority, self.counters[&ticket.flow]);
            }
        }
        Some(ticket)
    }

    pub(crate) fn dispatch(&mut self) -> Option<Ticket> {
        let priority = self.waiting.iter().map(|ticket| ticket.flow.priority).max()?;
        let mut flows = self.ring.iter().filter(|flow| flow.priority == priority);
        let flow = match &self.band().fairness {
            FairnessPolicy::GlobalStrict => None,
            FairnessPolicy::RoundRobin => flows.next(),
            FairnessPolicy::TokenFair(_) => flows.min_by_key(|flow| self.counters[flow]),
        };
        let eligible = self.waiting.iter().filter(|ticket| {
            ticket.flow.priority == priority && flow.is_none_or(|flow| *flow == ticket.flow)
        });
        let id = eligible.min_by_key(|ticket| self.order(ticket))?.id;
        let flow = self.waiting.iter().find(|ticket| ticket.id == id)?.flow.clone();
        let ticket = self.waiting.iter().find(|ticket| ticket.id == id)?;
        let cost =
            self.dispatch_cost(ticket.uncached_tokens) + self.output_cost(ticket.output_tokens);
        self.ring.retain(|other| *other != flow);
        self.ring.push(flow.clone());
        self.add(&flow, cost);
        self.remove(id)
    }

    fn dispatch_cost(&self, tokens: u32) -> u128 {
        self.cost().map_or(0, |cost| (u128::from(cost.prompt) * u128::from(tokens)).max(1))
    }

    pub(crate) fn correct(&mut self, flow: &FlowKey, charged: u32, found: u32) {
        if self.counters.contains_key(flow) {
            self.add(flow, self.dispatch_cost(found));
            let less = self.scaled(flow, self.dispatch_cost(charged));
            let counter = self.counters.get_mut(flow).unwrap();
            *counter = counter.saturating_sub(less);
        }
    }

    pub(crate) fn charge(&mut self, flow: &FlowKey, tokens: u32, expected: u32) {
        if self.counters.contains_key(flow) {
            self.add(flow, self.output_cost(tokens));
            let less = self.scaled(flow, self.output_cost(expected));
            let counter = self.counters.get_mut(flow).unwrap();
            *counter = counter.saturating_sub(less);
        }
    }

    fn output_cost(&self, tokens: u32) -> u128 {
        self.cost().map_or(0, |cost| u128::from(cost.output) * u128::from(tokens))
    }

    fn cost(&self) -> Option<&TokenCost> {
        match &self.band().fairness {
            FairnessPolicy::TokenFair(cost) => Some(cost),
            FairnessPolicy::GlobalStrict | FairnessPolicy::RoundRobin => None,
        }
    }

    fn add(&mut self, flow: &FlowKey, cost: u128) {
        *self.counters.get_mut(flow).unwrap() += self.scaled(flow, cost);
    }

    /// Returns a cost in sixty-fourths of a token, which weights 1, 2 and 4 divide without a rest.
    fn scaled(&self, flow: &FlowKey, cost: u128) -> u128 {
        let weights = self.cost().map(|cost| &cost.weights);
        let weight = |id: &FairnessId| weights.and_then(|weights| weights.get(id)).map(|it| it.0);
        let weight = weight(&flow.id).map_or(1, std::num::NonZeroU16::get);
        cost * 64 / u128::from(weight)
    }

    fn ttl(&self, ticket: &Ticket) -> Ttl {
        self.config.default_ttl.shortened_by(ticket.ttl)
    }

    fn order(&self, ticket: &Ticket) -> (Option<Instant>, Instant, TicketId) {
        let never = Some(Instant::from_nanos(u64::MAX));
        let first = match self.band().ordering {
            OrderingPolicy::Fcfs => None,
            OrderingPolicy::Edf => match self.ttl(ticket) {
                Ttl::Unlimited => never,
                Ttl::Within(ttl) => Some(ticket.arrived + ttl),
            },
            OrderingPolicy::SloDeadline => {
                ticket.slo_ttft.map_or(never, |slo| Some(ticket.arrived + slo))
            }
        };
        (first, ticket.arrived, ticket.id)
    }

    /// Returns the time at which a ticket has waited enough.
    pub(crate) fn deadline(&self, ticket: &Ticket) -> Option<Instant> {
        let ttl = match self.kind {
            PhaseKind::Serving => self.ttl(ticket),
            PhaseKind::Empty => self.config.no_endpoint_ttl.unwrap_or(self.config.default_ttl),
        };
        match ttl {
            Ttl::Unlimited => None,
            Ttl::Within(ttl) => Some(ticket.arrived.max(self.since) + ttl),
        }
    }

    pub(crate) fn expire(&mut self, now: Instant, kind: PhaseKind) -> Vec<(TicketId, Outcome)> {
        if kind != self.kind {
            (self.kind, self.since) = (kind, now);
        }
        let outcome = match kind {
            PhaseKind::Serving => Outcome::EvictedTtl,
            PhaseKind::Empty => Outcome::EvictedNoEndpoints,
        };
        let deadline = |ticket: &Ticket| Some((self.deadline(ticket)?, ticket.id));
        let mut late: Vec<_> = self.waiting.iter().filter_map(deadline).collect();
        late.retain(|(deadline, _)| *deadline <= now);
        late.sort_unstable();
        late.into_iter().filter_map(|(_, id)| Some((self.remove(id)?.id, outcome))).collect()
    }
}
