//! The arbiter's decisions.

use std::{collections::BTreeMap, time::Duration};

use super::{
    BandSize, FlowConfig, FlowKey, FlowSize, Limits, Outcome, Rejection, Ticket, TicketId, Usage,
    band::{Band, QueuePosition, Seat},
    bands::{Bands, Passage},
    deadlines::{Deadlines, Patience},
    flow_queue::Place,
    slab::{Slab, SlabKey},
    ticket::TicketTokens,
};
use crate::{
    ledger::{PhaseKind, PoolPhase},
    model::{Instant, Priority},
    saturation::Budget,
};

/// Requests that may wait where the configuration sets no limit to all bands together: half a
/// kilobyte each makes 128 MB, next to streams that hold far more.
pub const WAITING_MAX: u64 = 1 << 18;

/// Requests that one newcomer may displace. It takes as many bytes as it has itself; a huge one
/// must not be able to sweep out a band of small ones.
const DISPLACED_MAX: usize = 16;

/// The outcome of an offer of a ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Offer {
    /// The ticket waits.
    Queued,
    /// The ticket waits in place of these, which leave with [`Outcome::EvictedDisplaced`].
    Displaced(Vec<TicketId>),
    /// The ticket is turned away.
    Rejected(Rejection),
}

/// The queues of one pool, over all workers. See the module for what a dispatch asks, and
/// [`FlowConfig`] for what is configured.
///
/// Every ticket that is queued leaves exactly once: by [`Controller::dispatch`],
/// [`Controller::expire`], [`Controller::cancel`], or as a victim of [`Controller::offer`]. Those of a worker
/// that died go with the arbiter's term, which ends when it is struck off.
#[derive(Clone, Debug)]
pub struct Controller {
    config: FlowConfig,
    bands: Bands,
    waiting: Slab<Waiting>,
    by_id: BTreeMap<TicketId, SlabKey>,
    deadlines: Deadlines,
    usage: Usage,
}

#[derive(Clone, Debug)]
struct Waiting {
    ticket: Ticket,
    band: Priority,
    seat: Seat,
    patience: Patience,
}

impl Controller {
    /// Makes empty queues, in this phase of the pool until [`Controller::expire`] says otherwise.
    #[must_use]
    pub fn new(config: FlowConfig, phase: PoolPhase) -> Self {
        let empty_ttl = config.no_endpoint_ttl.unwrap_or(config.default_ttl);
        Self {
            bands: Bands::new(&config, phase.since),
            waiting: Slab::default(),
            by_id: BTreeMap::new(),
            deadlines: Deadlines::new(empty_ttl, phase),
            usage: Usage::default(),
            config,
        }
    }

    /// Returns the settings.
    #[must_use]
    pub fn config(&self) -> &FlowConfig {
        &self.config
    }

    /// Says which priorities the known objectives have. Each gets a band from the templates;
    /// tickets of any other priority are served as priority 0. Returns how many got none because
    /// there are [`BANDS_MAX`](super::BANDS_MAX) already.
    pub fn provision(&mut self, now: Instant, wanted: &[Priority]) -> usize {
        self.bands.provision(now, &self.config, wanted)
    }

    /// Asks for a place in the queue. A ticket that waits already stays where it is.
    pub fn offer(&mut self, now: Instant, ticket: Ticket) -> Offer {
        if self.by_id.contains_key(&ticket.id) {
            return Offer::Queued;
        }
        let priority = self.bands.resolve(ticket.flow.priority);
        let more = Usage::of_one(ticket.bytes);
        let band = self.bands.get(priority);
        if !band.is_some_and(|band| band.config.limits.admit(band.usage, more)) {
            return Offer::Rejected(self.full(now, priority));
        }
        // Victims are chosen before any is dropped: if they do not make room, none has to go.
        let Some(victims) = self.victims(priority, more) else {
            return Offer::Rejected(self.full(now, priority));
        };
        let displaced: Vec<_> =
            victims.into_iter().filter_map(|slot| self.drop(now, slot)).collect();
        self.enqueue(now, priority, ticket);
        if displaced.is_empty() { Offer::Queued } else { Offer::Displaced(displaced) }
    }

    /// Tells whether a request of this priority could go at once if no request waited; `None` if there
    /// is no place for it. Nothing changes: [`Self::count`] is for the answer that holds.
    #[must_use]
    pub fn passage(&self, priority: Priority, budget: &Budget) -> Option<Passage> {
        let priority = self.bands.resolve(priority);
        if !budget.admits(priority) {
            return None;
        }
        self.bands.passage(&self.config.usage_limit, priority, budget.saturation())
    }

    /// Counts what a request was told that asked to pass: a band that slows down lets through every
    /// so many.
    pub fn count(&mut self, passage: Passage) {
        self.bands.count(passage);
    }

    /// Forgets all tickets: another arbiter decides about them from now on. What tenants have used
    /// stays known, for when this one decides again.
    pub fn clear(&mut self, now: Instant) {
        for slot in std::mem::take(&mut self.by_id).into_values() {
            self.drop(now, slot);
        }
    }

    /// Takes a ticket that another arbiter had queued already: it keeps its place by its first
    /// arrival, and limits don't apply a second time.
    pub fn hand_in(&mut self, now: Instant, ticket: Ticket) {
        if !self.by_id.contains_key(&ticket.id) {
            self.enqueue(now, self.bands.resolve(ticket.flow.priority), ticket);
        }
    }

    /// Forgets a ticket of a client that is gone; false if it waits no more.
    pub fn cancel(&mut self, now: Instant, id: TicketId) -> bool {
        let slot = self.by_id.get(&id).copied();
        slot.and_then(|slot| self.drop(now, slot)).is_some()
    }

    /// Returns the next ticket to send on, if any may go: it takes its place in `budget`. To be
    /// called until there is none. Requests that wait too long are for [`Controller::expire`],
    /// which goes first.
    pub fn dispatch(&mut self, now: Instant, budget: &mut Budget) -> Option<Ticket> {
        if self.usage.requests == 0 || !budget.has_places() {
            return None;
        }
        // The gate is asked anew for each dispatch, since each raises the saturation.
        self.bands.gate(&self.config.usage_limit, budget);
        let priority = self.bands.select(&self.config.band_selection)?;
        let slot = self.bands.get(priority)?.next()?;
        let waiting = self.take(slot)?;
        let Ticket { prompt_tokens, uncached_tokens, output_tokens, .. } = waiting.ticket;
        let tokens = TicketTokens { uncached: uncached_tokens, output: output_tokens };
        self.bands.get_mut(priority)?.serve(now, waiting.seat, tokens);
        budget.take(prompt_tokens);
        Some(waiting.ticket)
    }

    /// Takes out, one by one, tickets that have waited their time in this phase of the pool. Those
    /// that are not taken from the iterator stay for the next call. Forgets, too, flows and bands
    /// that were idle for long.
    pub fn expire(
        &mut self,
        now: Instant,
        phase: PoolPhase,
    ) -> impl Iterator<Item = (TicketId, Outcome)> {
        if phase != self.deadlines.phase() {
            let all = self.waiting.iter().map(|(slot, waiting)| (slot, waiting.patience));
            self.deadlines.begin(phase, all);
        }
        self.bands.collect(now);
        std::iter::from_fn(move || {
            let slot = self.deadlines.due(now)?;
            Some((self.drop(now, slot)?, self.deadlines.outcome()))
        })
    }

    /// Returns the phase of the pool that was last said to [`Controller::expire`].
    #[must_use]
    pub fn phase(&self) -> PoolPhase {
        self.deadlines.phase()
    }

    /// Returns the time at which [`Controller::expire`] has something to do, if nothing changes
    /// until then.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.next()
    }

    /// Charges a tenant for output tokens as their usage arrives, in place of those that it was charged for at dispatch
    /// as `expected` (token-fair).
    pub fn charge(&mut self, flow: &FlowKey, output_tokens: u32, expected: u32) {
        let priority = self.bands.resolve(flow.priority);
        if let Some(band) = self.bands.get_mut(priority) {
            band.charge(&flow.id, output_tokens, expected);
        }
    }

    /// Charges a tenant for what it has used at other gateways (token-fair), in the unit of
    /// [`Self::take_charges`].
    pub fn charge_elsewhere(&mut self, flow: &FlowKey, cost: u64) {
        let priority = self.bands.resolve(flow.priority);
        if let Some(band) = self.bands.get_mut(priority) {
            band.charge_elsewhere(&flow.id, cost);
        }
    }

    /// Takes what tenants were charged for requests of this gateway since the last time, in 65,536ths of a token of
    /// weight 1 (token-fair): less than nothing where charges were taken back. At most as many as there are flows.
    pub fn take_charges(&mut self) -> Vec<(FlowKey, i64)> {
        self.bands.take_charges()
    }

    /// Corrects what a tenant was charged for a dispatch: the request was found to have so many
    /// uncached prompt tokens, of `charged` (token-fair).
    pub fn correct(&mut self, flow: &FlowKey, charged: u32, found: u32) {
        let priority = self.bands.resolve(flow.priority);
        if let Some(band) = self.bands.get_mut(priority) {
            band.correct(&flow.id, charged, found);
        }
    }

    /// Returns the highest priority that waits, and the saturation at which it may not send.
    pub(crate) fn first_waiting(&self, saturation: f64) -> Option<(Priority, f64)> {
        let priority = self.bands.first_waiting()?;
        let ceiling = self.bands.ceiling(&self.config.usage_limit, priority, saturation)?;
        Some((priority, ceiling))
    }

    /// Returns all that waits.
    #[must_use]
    pub fn waiting(&self) -> Usage {
        self.usage
    }

    /// Returns the limits on all bands together.
    #[must_use]
    pub fn limits(&self) -> Limits {
        let Limits { max_requests, max_bytes } = self.config.limits;
        Limits { max_requests: Some(max_requests.unwrap_or(WAITING_MAX)), max_bytes }
    }

    /// Returns the size of each band, highest first.
    pub fn band_sizes(&self) -> impl Iterator<Item = BandSize> {
        self.bands.sizes()
    }

    /// Returns the size of each flow, highest band first, for metrics: at most `rows` flows by
    /// name, the others of each band together.
    #[must_use]
    pub fn flow_sizes(&self, rows: usize) -> Vec<FlowSize> {
        self.bands.flow_sizes(rows)
    }

    fn full(&self, now: Instant, priority: Priority) -> Rejection {
        let outcome = match self.deadlines.phase().kind {
            PhaseKind::Serving => Outcome::RejectedCapacity,
            PhaseKind::Empty => Outcome::RejectedNoEndpoints,
        };
        let band = self.bands.get(priority);
        let expected_wait = band.map_or(Duration::ZERO, |band| band.expected_wait(now));
        Rejection { outcome, expected_wait }
    }

    /// Returns the tickets to displace so that `more` fits into the whole; `None` if nothing helps.
    fn victims(&self, priority: Priority, more: Usage) -> Option<Vec<SlabKey>> {
        let mut left = self.usage;
        let mut victims = Vec::new();
        if self.limits().admit(left, more) {
            return Some(victims);
        }
        let lower = self.bands.below(priority).filter(|_| self.config.displace);
        for slot in lower.flat_map(Band::newest).take(DISPLACED_MAX) {
            left.remove(Usage::of_one(self.waiting.get(slot)?.ticket.bytes));
            victims.push(slot);
            if self.limits().admit(left, more) {
                return Some(victims);
            }
        }
        None
    }

    fn enqueue(&mut self, now: Instant, priority: Priority, ticket: Ticket) {
        let Some(band) = self.bands.get_mut(priority) else { return };
        let ttl = self.config.ttl(&band.config, ticket.ttl);
        let patience = Patience { id: ticket.id, arrived: ticket.arrived, ttl };
        let rank = band.config.ordering.rank(&ticket, ttl);
        let queue = band.queue(now, &ticket.flow.id);
        let Ticket { id, bytes, arrived: at, .. } = ticket;
        let slot = self.waiting.insert_with(|slot| {
            let arrival = QueuePosition { at, id, slot };
            let seat = Seat { queue, place: Place { rank, slot }, arrival, bytes };
            Waiting { ticket, band: priority, seat, patience }
        });
        if let Some(waiting) = self.waiting.get(slot) {
            band.push(now, waiting.seat);
        }
        self.deadlines.insert(slot, patience);
        self.by_id.insert(id, slot);
        self.usage.add(Usage::of_one(bytes));
    }

    /// Takes out one that is not sent on.
    fn drop(&mut self, now: Instant, slot: SlabKey) -> Option<TicketId> {
        let waiting = self.take(slot)?;
        self.bands.get_mut(waiting.band)?.remove(now, waiting.seat);
        Some(waiting.ticket.id)
    }

    /// Takes one out of everything but its band.
    fn take(&mut self, slot: SlabKey) -> Option<Waiting> {
        let waiting = self.waiting.remove(slot)?;
        self.by_id.remove(&waiting.ticket.id);
        self.deadlines.remove(slot, waiting.patience);
        self.usage.remove(Usage::of_one(waiting.ticket.bytes));
        Some(waiting)
    }
}
