//! The credit that each gateway ought to have.

use super::{ExchangeHub, KnownGateway};
use crate::{
    exchange::{
        BandReserve, BandUse, GatewayId,
        targets::{BandDemand, Demands, divide, in_proportion},
    },
    model::{Amounts, Instant, Measure},
};

/// The part of a limit that may be kept free for requests to come, as its divisor. With few places and
/// many gateways, low bands would get none otherwise.
const RESERVED_PART: u64 = 8;

/// The credit that one gateway ought to have.
pub(super) struct Wish {
    pub(super) gateway: GatewayId,
    /// The amounts to be offered, as far as the law allows.
    pub(super) amounts: Amounts,
    /// Requests that it ought to have at most.
    target: u64,
    /// Places that low bands leave free at that number of requests.
    reserves: Vec<BandReserve>,
}

impl Wish {
    /// Returns what low bands leave free of the credit that is offered. What is offered beyond the target
    /// is for high bands alone.
    pub(super) fn reserves(&self, offered: &Amounts) -> Vec<BandReserve> {
        let mut reserves = self.reserves.clone();
        let beyond = offered.requests.unwrap_or(0).saturating_sub(self.target);
        if let Some(lowest) = reserves.last_mut() {
            let beyond = u32::try_from(beyond).unwrap_or(u32::MAX);
            lowest.places = lowest.places.saturating_add(beyond);
        }
        reserves
    }

    /// Sets the number of requests that the gateway ought to have. Where low bands have taken more before,
    /// its credit falls no faster than they end, and high bands still find their places: a lower credit
    /// would give no other gateway a place before those requests have ended either.
    fn set_target(&mut self, target: u64, used: u64) {
        let kept = self.reserves.last().map(|lowest| u64::from(lowest.places));
        let with_reserve = kept.map_or(0, |kept| used.saturating_add(kept));
        self.target = target;
        self.amounts.requests = Some(target.max(with_reserve));
    }
}

impl ExchangeHub {
    /// Returns the credit that each living gateway ought to have, whatever of it can be given now.
    pub(super) fn wishes(&self, now: Instant) -> Vec<Wish> {
        let living: Vec<&KnownGateway> = self.living(now).collect();
        let demands = self.demands(&living);
        let mut wishes: Vec<Wish> = living
            .iter()
            .zip(&demands)
            .map(|(known, demands)| Wish {
                gateway: known.report.gateway,
                amounts: Amounts::default(),
                target: 0,
                reserves: reserves(demands),
            })
            .collect();
        for measure in Measure::ALL {
            let Some(limit) = self.limits.get(measure) else { continue };
            let dead =
                self.dead(now).map(|it| self.credits.exposure_of(it.report.gateway, measure));
            let limit = limit.saturating_sub(dead.fold(0, u64::saturating_add));
            match measure {
                Measure::Requests => {
                    let targets = divide(limit, &demands).into_iter().zip(&demands);
                    for (wish, (target, demands)) in wishes.iter_mut().zip(targets) {
                        wish.set_target(target, demands.used);
                    }
                }
                Measure::Tokens => {
                    let targets = in_proportion(limit, &parts(&living, &demands, measure));
                    for (wish, target) in wishes.iter_mut().zip(targets) {
                        wish.amounts.tokens = Some(target);
                    }
                }
            }
        }
        wishes
    }

    /// Returns the gateways' demands, the highest band first. Only bands above the lowest need places
    /// kept free: none takes those of the lowest.
    fn demands(&self, living: &[&KnownGateway]) -> Vec<Demands> {
        let bands = living.iter().flat_map(|known| known.report.bands.iter());
        let lowest = bands.map(|band| band.priority).min();
        let mut all: Vec<Demands> = living
            .iter()
            .map(|known| {
                let band = |band: &BandUse| BandDemand {
                    priority: band.priority,
                    requests: u64::from(band.in_flight) + u64::from(band.waiting),
                    reserve: if Some(band.priority) == lowest {
                        0
                    } else {
                        known.reserve(band.priority)
                    },
                };
                Demands {
                    bands: known.report.bands.iter().map(band).collect(),
                    used: known.report.used.get(Measure::Requests).unwrap_or(0),
                }
            })
            .collect();
        if let Some(limit) = self.limits.get(Measure::Requests) {
            limit_reserves(&mut all, limit / RESERVED_PART);
        }
        all
    }
}

/// Scales the reserves down to a sum of `most`.
fn limit_reserves(demands: &mut [Demands], most: u64) {
    let bands = || demands.iter().flat_map(|it| it.bands.iter());
    let wanted: Vec<u64> = bands().map(|band| band.reserve).collect();
    if wanted.iter().fold(0, |sum: u64, it| sum.saturating_add(*it)) <= most {
        return;
    }
    let bands = demands.iter_mut().flat_map(|it| it.bands.iter_mut());
    for (band, reserve) in bands.zip(in_proportion(most, &wanted)) {
        band.reserve = reserve;
    }
}

/// Returns the places that lower bands leave free, for each band that has any.
fn reserves(demands: &Demands) -> Vec<BandReserve> {
    let mut bands: Vec<&BandDemand> =
        demands.bands.iter().filter(|band| band.reserve > 0).collect();
    bands.sort_by_key(|band| std::cmp::Reverse(band.priority));
    let mut sum: u64 = 0;
    let reserve = |band: &BandDemand| {
        sum = sum.saturating_add(band.reserve);
        BandReserve { priority: band.priority, places: u32::try_from(sum).unwrap_or(u32::MAX) }
    };
    bands.into_iter().map(reserve).collect()
}

/// Returns the parts by which a limit other than of requests is divided: what each gateway uses by that
/// measure, and as much for each request that waits or is to come as the usual request takes.
fn parts(living: &[&KnownGateway], demands: &[Demands], measure: Measure) -> Vec<u64> {
    let used = |known: &KnownGateway| known.report.used.get(measure).unwrap_or(0);
    let sum = |values: &mut dyn Iterator<Item = u64>| values.fold(0, u64::saturating_add);
    let all = sum(&mut living.iter().map(|known| used(known)));
    let requests = sum(&mut demands.iter().map(|it| it.used));
    let usual = (all / requests.max(1)).max(1);
    let part = |(known, demands): (&&KnownGateway, &Demands)| {
        let wanted = demands.bands.iter().map(|band| band.requests.saturating_add(band.reserve));
        let waiting = sum(&mut { wanted }).saturating_sub(demands.used).saturating_add(1);
        used(known).saturating_add(usual.saturating_mul(waiting))
    };
    living.iter().zip(demands).map(part).collect()
}
