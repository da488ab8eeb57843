//! The division of a pool's capacity among gateways, by what each has in flight and waiting.

use crate::{flow::BANDS_MAX, model::Priority};

/// The demand of one band at one gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct BandDemand {
    pub(super) priority: Priority,
    /// Requests in flight and waiting.
    pub(super) requests: u64,
    /// Places for requests that will arrive before a credit can be changed again.
    pub(super) reserve: u64,
}

/// The demands of one gateway by falling priorities, with all that it uses.
#[derive(Clone, Debug, Default)]
pub(super) struct Demands {
    pub(super) bands: Vec<BandDemand>,
    /// Requests in flight, those of all bands together.
    pub(super) used: u64,
}

/// Divides `limit` places. Bands come in the order of their priorities, over all gateways: a place that
/// a high band needs anywhere is worth more than one that a low band uses. Within a band the smallest
/// demands are met first (max-min). What is left goes by use, one place for each gateway included, so
/// that the first request of an idle one need not wait for a credit.
pub(super) fn divide(limit: u64, gateways: &[Demands]) -> Vec<u64> {
    let mut targets = vec![0; gateways.len()];
    let mut left = limit;
    let mut priorities: Vec<Priority> =
        gateways.iter().flat_map(|it| it.bands.iter().map(|band| band.priority)).collect();
    priorities.sort_unstable();
    priorities.dedup();
    for priority in priorities.into_iter().rev().take(BANDS_MAX) {
        let wants: Vec<u64> = gateways.iter().map(|it| it.wants(priority)).collect();
        let given = max_min(left, &wants);
        for (target, given) in targets.iter_mut().zip(given) {
            *target += given;
            left -= given;
        }
    }
    let uses: Vec<u64> = gateways.iter().map(|it| it.used.saturating_add(1)).collect();
    for (target, more) in targets.iter_mut().zip(in_proportion(left, &uses)) {
        *target += more;
    }
    targets
}

impl Demands {
    fn wants(&self, priority: Priority) -> u64 {
        let bands = self.bands.iter().filter(|band| band.priority == priority);
        bands.fold(0, |sum, band| sum.saturating_add(band.requests).saturating_add(band.reserve))
    }
}

/// Meets the smallest wants first; the others get equal parts of the rest, and the first of them what
/// does not divide.
fn max_min(all: u64, wants: &[u64]) -> Vec<u64> {
    let mut order: Vec<(usize, u64)> = wants.iter().copied().enumerate().collect();
    order.sort_by_key(|(_, want)| *want);
    let mut given = vec![0; wants.len()];
    let mut left = all;
    let mut count = u64::try_from(order.len()).unwrap_or(u64::MAX);
    for (place, want) in order {
        let part = want.min(left.div_ceil(count.max(1)));
        if let Some(given) = given.get_mut(place) {
            *given = part;
        }
        left -= part;
        count = count.saturating_sub(1);
    }
    given
}

/// Divides all in proportion to the parts; the largest remainders get what does not divide.
pub(super) fn in_proportion(all: u64, parts: &[u64]) -> Vec<u64> {
    let sum: u128 = parts.iter().map(|part| u128::from(*part)).sum();
    if sum == 0 {
        return vec![0; parts.len()];
    }
    let exact = |part: &u64| u128::from(all) * u128::from(*part);
    let small = |number: u128| u64::try_from(number).unwrap_or(u64::MAX);
    let mut given: Vec<u64> = parts.iter().map(|part| small(exact(part) / sum)).collect();
    let mut order: Vec<(usize, u128)> =
        parts.iter().map(|part| exact(part) % sum).enumerate().collect();
    order.sort_by_key(|(_, rest)| std::cmp::Reverse(*rest));
    let rest = all.saturating_sub(given.iter().sum());
    for (place, _) in order.into_iter().take(usize::try_from(rest).unwrap_or(usize::MAX)) {
        if let Some(given) = given.get_mut(place) {
            *given += 1;
        }
    }
    given
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes the demands of a gateway with so many interactive and batch requests.
    fn gateway(interactive: u64, reserve: u64, batch: u64, used: u64) -> Demands {
        let band = |priority, requests, reserve| BandDemand {
            priority: Priority(priority),
            requests,
            reserve,
        };
        Demands { bands: vec![band(10, interactive, reserve), band(0, batch, 0)], used }
    }

    #[test]
    fn high_bands_are_served_at_every_gateway_before_low_ones_at_any() {
        let gateways = [gateway(6, 1, 0, 4), gateway(0, 0, 20, 8)];
        assert_eq!(divide(10, &gateways), [7, 3]);
        assert_eq!(divide(5, &gateways), [5, 0]);
    }

    #[test]
    fn within_a_band_the_smallest_demands_are_met_first() {
        let gateways = [gateway(0, 0, 2, 2), gateway(0, 0, 50, 5), gateway(0, 0, 9, 5)];
        assert_eq!(divide(12, &gateways), [2, 5, 5]);
        assert_eq!(divide(20, &gateways), [2, 9, 9]);
    }

    #[test]
    fn what_is_left_goes_by_use() {
        let gateways = [gateway(0, 0, 3, 3), gateway(0, 0, 1, 1)];
        assert_eq!(divide(10, &gateways), [7, 3]);
        assert_eq!(divide(4, &[Demands::default(), Demands::default()]), [2, 2]);
        assert_eq!(divide(3, &[Demands::default(), Demands::default()]).iter().sum::<u64>(), 3);
    }

    #[test]
    fn no_place_is_lost_and_none_is_made() {
        for limit in 0..40 {
            let gateways = [gateway(3, 1, 7, 5), gateway(9, 2, 1, 4), gateway(0, 0, 30, 20)];
            assert_eq!(divide(limit, &gateways).iter().sum::<u64>(), limit);
        }
        let huge = [gateway(u64::MAX, u64::MAX, 1, u64::MAX), gateway(1, 1, u64::MAX, 3)];
        let sum = divide(u64::MAX, &huge).iter().map(|part| u128::from(*part)).sum::<u128>();
        assert_eq!(sum, u128::from(u64::MAX));
    }
}
