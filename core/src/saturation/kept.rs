//! Places that low bands leave to higher ones.

use crate::model::Priority;

/// The places of a budget that low bands may not take, for the sake of requests elsewhere and of those to
/// come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeptPlaces {
    /// The lowest priority that may take any place: at another gateway a request of it waits.
    pub floor: Option<Priority>,
    /// Numbers of places that bands below a priority leave free, all higher priorities included.
    pub reserves: Vec<(Priority, u32)>,
}

impl KeptPlaces {
    /// Returns the number of places that are kept from a priority.
    pub(super) fn from(&self, priority: Priority) -> u32 {
        if self.floor.is_some_and(|floor| priority < floor) {
            return u32::MAX;
        }
        let above = self.reserves.iter().filter(|(reserved, _)| priority < *reserved);
        above.map(|(_, places)| *places).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::saturation::Budget;

    #[test]
    fn low_bands_leave_places_to_higher_ones() {
        let kept = KeptPlaces { floor: None, reserves: vec![(Priority(9), 2), (Priority(5), 3)] };
        let admitted = |places| {
            let budget = Budget::for_requests(places).keeping(kept.clone());
            [9, 5, 0].map(|priority| budget.admits(Priority(priority)))
        };
        assert_eq!(admitted(1), [true, false, false]);
        assert_eq!(admitted(3), [true, true, false]);
        assert_eq!(admitted(4), [true, true, true]);
        assert_eq!(admitted(0), [false, false, false]);
    }

    #[test]
    fn nothing_goes_while_a_higher_band_waits_elsewhere() {
        let kept = KeptPlaces { floor: Some(Priority(5)), reserves: Vec::new() };
        let budget = Budget::for_requests(u32::MAX).keeping(kept);
        assert_eq!([9, 5, 4].map(|it| budget.admits(Priority(it))), [true, true, false]);
    }
}
