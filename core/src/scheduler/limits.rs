//! The limits that endpoints show by themselves: what is learnt of them, and what follows for the room.

use std::{net::SocketAddr, time::Duration};

use super::Scheduler;
use crate::{
    ledger::Ledger,
    model::{End, Instant, Priority, RequestId, TokenUsage},
    pool::{Look, Occupants, Placement, Pool, Sent, SentPrompt, Slot},
    saturation::{Load, PromptRoom},
};

impl Scheduler {
    /// True if the detector goes by limits that are learnt.
    fn learns_limits(&self) -> bool {
        self.config.detector.learns()
    }

    /// Learns from the pages of the latest snapshot, if the detector goes by such limits.
    pub(crate) fn learn_pages(&mut self, now: Instant, ledger: &Ledger) {
        if !self.learns_limits() {
            return;
        }
        let sent = Sent { own: &ledger.accounts, others: self.others.as_deref() };
        let sights = self.pool.iter().flat_map(|pool| pool.readings(now, sent));
        for sight in sights {
            let look = Look {
                strangers: self.learned.strangers.requests(sight.slot),
                is_queued: ledger.waiting > 0,
                is_computing: sight.is_computing,
            };
            self.learned.limits.page(now, sight, look);
        }
    }

    /// Learns from the first tokens that are awaited of endpoints without fresh pages, if the detector goes
    /// by such limits.
    pub(crate) fn learn_without_pages(&mut self, now: Instant, ledger: &Ledger) {
        let Some(pool) = self.pool.as_ref().filter(|_| self.learns_limits()) else { return };
        let mut blind: Vec<(Slot, SocketAddr, Look, u32)> = Vec::new();
        for (member, load) in pool.members().iter().zip(self.loads(now, ledger, pool)) {
            if self.learned.limits.is_blind(member.slot, now) && load.in_flight > 0 {
                let look = Look {
                    strangers: 0,
                    is_queued: ledger.waiting > 0,
                    is_computing: load.in_flight_tokens > 0,
                };
                blind.push((member.slot, member.address, look, load.in_flight));
            }
        }
        if blind.is_empty() {
            return;
        }
        let own = self.placements.counts();
        for (slot, address, look, all) in blind {
            let own = own.get(&address).copied().unwrap_or(0);
            self.learned.limits.look(now, slot, Occupants { all, own }, look);
        }
    }

    fn loads(&self, now: Instant, ledger: &Ledger, pool: &Pool) -> Vec<Load> {
        let sent = Sent { own: &ledger.accounts, others: self.others.as_deref() };
        pool.loads(now, sent, false)
    }

    /// Gives each load of the pool's members the limit that was learnt of it.
    pub(super) fn limit_loads(&self, now: Instant, pool: &Pool, loads: &mut [Load]) {
        if self.learns_limits() {
            let goals = self.config.detector.goals();
            for (member, load) in pool.members().iter().zip(loads) {
                load.limit = Some(self.learned.limits.limit(member.slot, now, goals));
            }
        }
    }

    /// Returns the places that low bands leave free in a pool with these loads.
    pub(super) fn kept_for_higher(&self, loads: &[Load]) -> Vec<(Priority, u32)> {
        self.config.detector.reserves(loads, &self.learned.limits.bands)
    }

    /// Returns the room for prompts of low bands; `None` where nothing limits them.
    pub(super) fn prompt_room(&self, loads: &[Load]) -> Option<PromptRoom> {
        let highest = self.learned.limits.bands.highest().filter(|_| self.learns_limits())?;
        let token = 1.0 / self.learned.rates.of_pool();
        // Where the free places of full endpoints are kept, low bands compute no prompt there either.
        let (detector, bands) = (&self.config.detector, &self.learned.limits.bands);
        let opens_full = detector.opens_full(loads, bands, Priority(i32::MIN));
        let is_open = |load: &&Load| opens_full || load.limit.is_none_or(|limit| !limit.is_full);
        let open: Vec<Load> = loads.iter().filter(is_open).copied().collect();
        Some(PromptRoom::new(&open, highest, self.learned.usual_tokens, token))
    }

    /// True if room depends on the prompts that are being computed, so that a first token may make some.
    pub(crate) fn limits_prompts(&self) -> bool {
        self.learns_limits()
    }

    /// Notes a request that is sent, if limits are learnt.
    pub(super) fn note_sent(&mut self, id: RequestId, at: Instant, priority: Priority) {
        let Some(placement) = self.placements.get(id).filter(|_| self.learns_limits()) else {
            return;
        };
        let (endpoint, sight) = placement.computing();
        let Some(slot) = self.slot(endpoint) else { return };
        let pool = self.learned.rates.of_pool();
        let prompt = SentPrompt {
            request: id,
            at,
            tokens: sight.uncached_tokens,
            ahead: sight.busy_for,
            rate: self.learned.rates.of_slow(slot, pool).unwrap_or(pool),
        };
        self.learned.limits.sent(slot, prompt);
        self.learned.limits.bands.placed(priority);
    }

    /// Notes that a request goes to another endpoint than the one that it was sent to.
    pub(super) fn note_moved(&mut self, id: RequestId, from: SocketAddr) {
        if let Some(slot) = self.slot(from).filter(|_| self.learns_limits()) {
            self.learned.limits.ended(slot, id, None);
        }
    }

    /// Notes the first token of a request, which took this time.
    pub(super) fn note_began(&mut self, id: RequestId, slot: Slot, tokens: u32, took: Duration) {
        if self.learns_limits() {
            self.learned.limits.began(slot, id, tokens, took);
        }
    }

    /// Notes the time between the tokens of a stream.
    pub(super) fn note_step(&mut self, endpoint: SocketAddr, step: Duration) {
        if let Some(slot) = self.slot(endpoint).filter(|_| self.learns_limits()) {
            self.learned.limits.streamed(slot, step);
        }
    }

    /// Notes what a request took.
    pub(super) fn note_usage(&mut self, usage: TokenUsage) {
        if self.learns_limits() && usage.output > 0 {
            let prompt = usage.prompt.saturating_sub(usage.cached.unwrap_or(0));
            self.learned.limits.holds(prompt, usage.output);
        }
    }

    /// Notes the end of a request.
    pub(super) fn note_end(
        &mut self,
        id: RequestId,
        now: Instant,
        placement: &Placement,
        end: End,
    ) {
        if !self.learns_limits() {
            return;
        }
        let stay = now.saturating_since(placement.at);
        let is_whole = end == End::Whole && !placement.is_moved && placement.served.is_some();
        let computing = placement.prefill.map(|prefill| prefill.endpoint);
        for (endpoint, stay) in
            [(Some(placement.endpoint), is_whole.then_some(stay)), (computing, None)]
        {
            if let Some(slot) = endpoint.and_then(|endpoint| self.slot(endpoint)) {
                self.learned.limits.ended(slot, id, stay);
            }
        }
    }
}
