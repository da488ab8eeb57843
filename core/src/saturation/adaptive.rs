//! Saturation by limits that the endpoints show by themselves (`adaptive-detector`).
//!
//! An engine says that its batch is full by the first request that waits. So the number that ran when
//! a page showed one is a measurement of the batch, and nothing has to be integrated or tuned: a late
//! page says the same as a fresh one. See [`EndpointLimit`] for the limit, [`Allowance`] for prompts
//! of low bands, [`Overdue`] for endpoints without pages, [`BandShares`] for places kept free.

mod allowance;
mod goals;
mod limit;
mod overdue;
mod shares;

pub use allowance::{Allowance, Pressure};
pub use goals::LatencyGoals;
pub use limit::{EndpointLimit, Page, RequestTimes};
pub use overdue::{Expected, Overdue};
pub use shares::BandShares;

use super::{
    Budget, Load,
    budget::{Line, float},
};
use crate::model::{Amounts, Measure, Priority};

/// The saturation detector without thresholds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Adaptive {
    /// Latencies that the limits keep to; none by default.
    pub goals: LatencyGoals,
}

impl Adaptive {
    /// Measures the budget: exactly as many requests as the endpoints have free places.
    pub(super) fn room(self, loads: &[Load]) -> Budget {
        let free = loads.iter().map(|load| u64::from(load.free_places())).sum::<u64>();
        let used = loads.iter().map(|load| u64::from(load.in_flight)).sum::<u64>();
        let per_request = 1.0 / float((free + used).max(1));
        let line = Line {
            measure: Some(Measure::Requests),
            saturation: float(used) * per_request,
            per_request,
            ..Line::default()
        };
        Budget::measured(line).at_most(u32::try_from(free).unwrap_or(u32::MAX))
    }

    /// Returns the most requests that these endpoints take of all gateways. None where one has no page:
    /// what a gateway learns from its own requests there is its own part already.
    pub(super) fn limits(self, loads: &[Load]) -> Amounts {
        if loads.iter().any(|load| load.metrics_age.is_none()) {
            return Amounts::default();
        }
        let places = |load: &Load| u64::from(load.in_flight.saturating_add(load.free_places()));
        Amounts::of_requests(loads.iter().map(places).sum())
    }

    /// Returns the places that bands leave free to the bands above them, by these shares of the bands.
    /// Endpoints that were not seen full are exempt: they only show how much they take if they get it.
    pub(super) fn reserves(self, loads: &[Load], bands: &BandShares) -> Vec<(Priority, u32)> {
        let places = Places::count(loads);
        let kept = |(priority, needed)| (priority, places.kept(needed));
        bands
            .reserves(places.capacity)
            .into_iter()
            .map(kept)
            .filter(|(_, kept)| *kept > 0)
            .collect()
    }

    /// True if a request of this priority may go to a full endpoint at all: enough places are free for the
    /// bands above it.
    #[must_use]
    pub fn opens_full(self, loads: &[Load], bands: &BandShares, priority: Priority) -> bool {
        let places = Places::count(loads);
        let above = bands.reserves(places.capacity).into_iter().filter(|(it, _)| priority < *it);
        above.map(|(_, needed)| needed).max().is_none_or(|needed| places.unused > needed)
    }
}

/// The places of some endpoints.
#[derive(Clone, Copy, Debug, Default)]
struct Places {
    /// Requests that were seen to run at once, over all endpoints.
    capacity: u64,
    /// Places of those that are free. What a limit allows beyond stands for requests that are about to end,
    /// and nothing starts in it.
    unused: u32,
    /// Places that are free by the limits of full endpoints.
    on_full: u32,
}

impl Places {
    fn count(loads: &[Load]) -> Self {
        let mut all = Self::default();
        for (load, limit) in loads.iter().filter_map(|load| Some((load, load.limit?))) {
            all.capacity += u64::from(limit.capacity);
            let unused = limit.capacity.saturating_sub(load.in_flight).min(load.free_places());
            all.unused = all.unused.saturating_add(unused);
            if limit.is_full {
                all.on_full = all.on_full.saturating_add(load.free_places());
            }
        }
        all
    }

    /// Returns the places that are left free where so many are to be: on full endpoints alone.
    fn kept(&self, needed: u32) -> u32 {
        self.on_full.saturating_sub(self.unused.saturating_sub(needed))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::saturation::LearntLimit;

    fn load(in_flight: u32, places: u32) -> Load {
        let limit = LearntLimit { places, capacity: places, ..LearntLimit::default() };
        Load { in_flight, metrics_age: Some(Duration::ZERO), limit: Some(limit), ..Load::default() }
    }

    #[test]
    fn the_room_is_the_sum_of_free_places_and_nothing_hides_it() {
        let places = |loads: &[Load]| Adaptive::default().room(loads).places(1.0);
        assert_eq!(places(&[load(3, 8), load(8, 8)]), 5);
        assert_eq!(places(&[load(60, 8), load(3, 8)]), 5, "one is far beyond its limit");
        assert_eq!(places(&[load(8, 8), load(9, 8)]), 0);
        assert_eq!(places(&[load(0, 0)]), 1, "an idle endpoint takes one, whatever was learnt");
        assert!(Adaptive::default().room(&[load(8, 8)]).saturation() >= 1.0);
        assert_eq!(Adaptive::default().limits(&[load(3, 8), load(60, 8)]).requests, Some(68));
        let unread = Load { metrics_age: None, ..load(3, 8) };
        assert_eq!(Adaptive::default().limits(&[load(3, 8), unread]), Amounts::default());
    }

    #[test]
    fn a_budget_is_used_up_one_by_one() {
        let mut budget = Adaptive::default().room(&[load(3, 8), load(7, 8)]);
        for left in (0..6).rev() {
            budget.take(100);
            assert_eq!(budget.places(1.0), left);
        }
        assert!(budget.saturation() >= 1.0 && !budget.has_places());
    }

    #[test]
    fn places_are_kept_where_the_engine_said_that_it_is_full() {
        let mut bands = BandShares::default();
        (0..200).for_each(|it| bands.placed(Priority(if it % 5 == 0 { 10 } else { 0 })));
        let limited = |in_flight, places, capacity, is_full| Load {
            limit: Some(LearntLimit { places, capacity, is_full, ..LearntLimit::default() }),
            ..load(in_flight, 0)
        };
        let full = |in_flight, places, capacity| limited(in_flight, places, capacity, true);
        let tries = limited(64, 65, 64, false);
        let kept = |loads: &[Load]| Adaptive::default().reserves(loads, &bands);
        assert_eq!(kept(&[full(60, 64, 64), full(60, 64, 64)]), [(Priority(10), 2)]);
        assert_eq!(
            kept(&[full(63, 64, 64), full(64, 64, 64)]),
            [(Priority(10), 1)],
            "all there is"
        );
        assert_eq!(kept(&[load(60, 64), full(60, 64, 64)]), [], "enough is free elsewhere");
        assert_eq!(kept(&[tries, full(62, 64, 64)]), [(Priority(10), 2)]);
        assert_eq!(kept(&[load(60, 64), load(60, 64)]), []);
        assert_eq!(kept(&[full(62, 66, 64), full(64, 66, 64)]), [(Priority(10), 6)], "turnover");
        let opens = |loads: &[Load], priority| {
            Adaptive::default().opens_full(loads, &bands, Priority(priority))
        };
        let tight = [tries, full(62, 64, 64)];
        assert!(!opens(&tight, 0), "low bands go where a place more is tried");
        assert!(opens(&tight, 10) && opens(&[full(60, 64, 64)], 0));
        assert_eq!(kept(&[full(7, 8, 8)]), [], "a fiftieth of so few is none");
    }
}
