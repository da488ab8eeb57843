//! The unlearning of what an endpoint's engine has lost: with its process, its cache, or one prefix after
//! another.

use super::Scheduler;
use crate::{
    model::{Chain, EventKind, Incarnation, Instant, PlacementEvent},
    pool::{EndpointState, Slot, prefix::Index},
};

/// A member's word on what its engine has lost, as of one snapshot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Losses {
    pub(super) slot: Slot,
    pub(super) incarnation: Incarnation,
    /// Time before which all that the engine used last is evicted, if it tells.
    pub(super) evicted_before: Option<Instant>,
}

impl Losses {
    pub(super) fn of_member(member: &EndpointState) -> Self {
        let EndpointState { slot, incarnation, evicted_before, .. } = *member;
        Self { slot, incarnation, evicted_before }
    }
}

impl Scheduler {
    /// Forgets what the engine of an endpoint has lost. A later life loses what was learnt of it too: its
    /// speed may be another.
    pub(super) fn unlearn(&mut self, losses: Losses, received_at: Instant) {
        let Losses { slot, incarnation, evicted_before } = losses;
        let is_reborn = self.lives.seen(slot, incarnation, received_at);
        if is_reborn {
            self.learned.forget(slot);
        }
        if let Some(before) = evicted_before {
            self.lives.evicted(slot, before);
        }
        if is_reborn {
            self.index.forget_before(slot, self.lives.gone_before(slot), received_at);
        } else if evicted_before.is_some() {
            self.evict(slot, received_at);
        }
    }

    /// Forgets the prefixes that an engine has evicted. Those of this worker's own requests in flight are
    /// in use, however long ago they were placed: an engine evicts none of them.
    fn evict(&mut self, slot: Slot, now: Instant) {
        let before = self.lives.gone_before(slot);
        if !self.index.is_older(slot, before, now) {
            return;
        }
        self.index.advance(now);
        for (address, chain) in self.placements.served_since_before(before) {
            if self.pool.as_ref().and_then(|pool| pool.slot(address)) == Some(slot) {
                self.index.renew(slot, chain);
            }
        }
        self.index.forget_before(slot, before, now);
    }

    /// True if what an event says that an endpoint has cached is gone since.
    pub(super) fn is_outlived(&self, slot: Slot, event: &PlacementEvent) -> bool {
        let is_of_cache = matches!(event.verdict, EventKind::Placed | EventKind::Used);
        is_of_cache && event.at < self.lives.gone_before(slot)
    }

    /// Notes that an endpoint has used a prompt until now. Where engines tell what they evict, a prompt
    /// that was in use for longer than others stay may have been forgotten, and is here again.
    pub(super) fn used(&mut self, slot: Slot, chain: &Chain) {
        let Self { index, lives, .. } = self;
        let note = if lives.tells_evictions(slot) { Index::learn } else { Index::renew };
        note(index, slot, chain);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        model::{Endpoint, Event, Health, Randomness, Snapshot},
        schedule::Config,
    };

    #[test]
    fn a_later_life_loses_the_learnt_rate_of_its_endpoint_alone() {
        let mut scheduler = Scheduler::new(Config::default(), Randomness::from_seed(1));
        let show = |scheduler: &mut Scheduler, number| {
            let endpoint = |port| Endpoint {
                address: ([10, 0, 0, 1], port).into(),
                health: Health::Up,
                metrics: None,
                labels: Vec::new(),
                incarnation: Incarnation { number, age: Duration::ZERO },
            };
            let endpoints =
                vec![endpoint(1), Endpoint { incarnation: Incarnation::default(), ..endpoint(2) }];
            let snapshot = Snapshot { endpoints, ..Snapshot::default() };
            scheduler.handle(Event::Snapshot { snapshot, received_at: Instant::default() });
        };
        show(&mut scheduler, 5);
        for (slot, tokens) in [(0, 1_000), (1, 1_000), (2, 9_000)] {
            let rates = &mut scheduler.learned.rates;
            (0..500).for_each(|_| rates.observe(Slot(slot), tokens, Duration::from_secs(1)));
        }
        let are_slow = |scheduler: &Scheduler| {
            let rates = &scheduler.learned.rates;
            [0, 1].map(|slot| rates.of_slow(Slot(slot), rates.of_pool()).is_some())
        };
        show(&mut scheduler, 5);
        assert_eq!(are_slow(&scheduler), [true, true]);
        show(&mut scheduler, 6);
        assert_eq!(are_slow(&scheduler), [false, true]);
    }
}
