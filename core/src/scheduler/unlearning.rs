//! The unlearning of what an endpoint's engine has lost, with its process or its cache.

use super::Scheduler;
use crate::{
    model::{EventKind, Incarnation, Instant, PlacementEvent},
    pool::{EndpointState, Slot},
};

/// A member's word on what its engine has lost, as of one snapshot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Losses {
    pub(super) slot: Slot,
    pub(super) incarnation: Incarnation,
}

impl Losses {
    pub(super) fn of_member(member: &EndpointState) -> Self {
        let EndpointState { slot, incarnation, .. } = *member;
        Self { slot, incarnation }
    }
}

impl Scheduler {
    /// Forgets what the engine of an endpoint has lost. A later life loses what was learnt of it too: its
    /// speed may be another.
    pub(super) fn unlearn(&mut self, losses: Losses, received_at: Instant) {
        let Losses { slot, incarnation } = losses;
        if self.lives.seen(slot, incarnation, received_at) {
            self.learned.forget(slot);
            self.index.forget_before(slot, self.lives.gone_before(slot), received_at);
        }
    }

    /// True if what an event says that an endpoint has cached is gone since.
    pub(super) fn is_outlived(&self, slot: Slot, event: &PlacementEvent) -> bool {
        let is_of_cache = matches!(event.verdict, EventKind::Placed | EventKind::Used);
        is_of_cache && event.at < self.lives.gone_before(slot)
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
