//! The law of credits: all that may be in force or in flight over all gateways never passes a limit.
//!
//! A message may be lost, late, or come after a later one. So a gateway is counted with the most of
//! what it has said to be in force, what it was offered since, and what it has in flight. Capacity
//! that is taken from one gateway is given to another only once a report says that the lower credit
//! is in force and the requests above it have ended.

use std::collections::BTreeMap;

use super::GatewayId;
use crate::model::{Amounts, Measure};

/// Offers to one gateway that are kept apart until they are answered. Above it the oldest two count
/// as the larger of both, which errs to the safe side.
const OFFERS_MAX: usize = 64;

/// The credits and loads of all gateways, by the last that each has said.
#[derive(Clone, Debug, Default)]
pub(super) struct Credits {
    claims: BTreeMap<GatewayId, Claim>,
}

#[derive(Clone, Debug, Default)]
struct Claim {
    /// The credit that the gateway's last report named.
    in_force: Amounts,
    /// The load that its last report named.
    used: Amounts,
    /// Offers after the last part that it took, oldest first.
    offers: Vec<OfferedCredit>,
}

#[derive(Clone, Copy, Debug)]
struct OfferedCredit {
    /// Number of the part that carries it.
    number: u64,
    amounts: Amounts,
}

impl Claim {
    /// Returns the most that the gateway may have in flight, whatever became of the messages to it.
    fn exposure(&self, measure: Measure) -> u64 {
        let offered = self.offers.iter().map(|offer| offer.amounts.get(measure));
        let known = [self.in_force.get(measure), self.used.get(measure)];
        offered.chain(known).flatten().max().unwrap_or(0)
    }

    /// Returns the credit that will be in force once the last offer is taken.
    fn latest(&self, measure: Measure) -> u64 {
        let offered = self.offers.last().map(|offer| offer.amounts);
        offered.unwrap_or(self.in_force).get(measure).unwrap_or(0)
    }

    fn push(&mut self, offer: OfferedCredit) {
        if self.offers.len() == OFFERS_MAX {
            let oldest = self.offers.remove(0);
            if let Some(next) = self.offers.first_mut() {
                for measure in Measure::ALL {
                    let most = next.amounts.get(measure).max(oldest.amounts.get(measure));
                    next.amounts.set(measure, most);
                }
            }
        }
        self.offers.push(offer);
    }
}

impl Credits {
    /// Takes in a gateway's own word: the credit that it goes by, its load, and the last part that it
    /// took of this epoch. A gateway that goes by no credit has none, and not one without limit.
    pub(super) fn report(
        &mut self,
        gateway: GatewayId,
        taken: u64,
        in_force: Amounts,
        used: Amounts,
    ) {
        let claim = self.claims.entry(gateway).or_default();
        claim.offers.retain(|offer| offer.number > taken);
        claim.in_force = in_force;
        claim.used = used;
    }

    /// Offers a gateway as much of its wish as the limits leave, in the part of this number. A credit is
    /// lowered at once and raised only into what no other gateway can have in use.
    pub(super) fn offer(
        &mut self,
        gateway: GatewayId,
        number: u64,
        wish: &Amounts,
        limits: &Amounts,
    ) -> Amounts {
        let mut amounts = Amounts::default();
        for measure in Measure::ALL {
            let (Some(wish), Some(limit)) = (wish.get(measure), limits.get(measure)) else {
                continue;
            };
            let room = limit.saturating_sub(self.of_others(gateway, measure));
            let latest = self.claims.get(&gateway).map_or(0, |claim| claim.latest(measure));
            amounts.set(measure, Some(wish.min(room.max(latest))));
        }
        self.claims.entry(gateway).or_default().push(OfferedCredit { number, amounts });
        amounts
    }

    /// Forgets a gateway that is gone: it has nothing in flight any more.
    pub(super) fn forget(&mut self, gateway: GatewayId) {
        self.claims.remove(&gateway);
    }

    /// Returns the most that a gateway may have in flight.
    pub(super) fn exposure_of(&self, gateway: GatewayId, measure: Measure) -> u64 {
        self.claims.get(&gateway).map_or(0, |claim| claim.exposure(measure))
    }

    /// Returns the most that all gateways together may have in flight.
    pub(super) fn exposure(&self, measure: Measure) -> u64 {
        let claims = self.claims.values().map(|claim| claim.exposure(measure));
        claims.fold(0, u64::saturating_add)
    }

    fn of_others(&self, gateway: GatewayId, measure: Measure) -> u64 {
        let others = self.claims.iter().filter(|(other, _)| **other != gateway);
        let claims = others.map(|(_, claim)| claim.exposure(measure));
        claims.fold(0, u64::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Amounts = Amounts::of_requests(10);
    const ONE: GatewayId = GatewayId(1);
    const TWO: GatewayId = GatewayId(2);

    fn offer(credits: &mut Credits, gateway: GatewayId, number: u64, wish: u64) -> u64 {
        let offered = credits.offer(gateway, number, &Amounts::of_requests(wish), &LIMIT);
        offered.get(Measure::Requests).unwrap()
    }

    fn report(credits: &mut Credits, gateway: GatewayId, taken: u64, in_force: u64, used: u64) {
        credits.report(gateway, taken, Amounts::of_requests(in_force), Amounts::of_requests(used));
    }

    #[test]
    fn what_is_taken_is_given_away_once_it_is_acknowledged_and_ended() {
        let mut credits = Credits::default();
        credits.report(ONE, 0, Amounts::default(), Amounts::of_requests(0));
        credits.report(TWO, 0, Amounts::default(), Amounts::of_requests(0));
        assert_eq!(offer(&mut credits, ONE, 1, 10), 10);
        assert_eq!(offer(&mut credits, TWO, 1, 4), 0, "all is offered to the other");
        report(&mut credits, ONE, 1, 10, 9);
        assert_eq!(offer(&mut credits, ONE, 2, 5), 5);
        assert_eq!(offer(&mut credits, TWO, 2, 4), 0, "lowered, and not acknowledged");
        report(&mut credits, ONE, 1, 10, 9);
        assert_eq!(offer(&mut credits, TWO, 3, 4), 0, "the lower credit was lost, or is late");
        report(&mut credits, ONE, 2, 5, 8);
        assert_eq!(offer(&mut credits, TWO, 4, 4), 2, "acknowledged, and still in use");
        report(&mut credits, ONE, 2, 5, 5);
        assert_eq!(offer(&mut credits, TWO, 5, 5), 5);
        assert_eq!(credits.exposure(Measure::Requests), 10);
    }

    #[test]
    fn an_offer_that_may_still_come_counts() {
        let mut credits = Credits::default();
        report(&mut credits, ONE, 0, 0, 0);
        assert_eq!(offer(&mut credits, ONE, 1, 8), 8);
        assert_eq!(offer(&mut credits, ONE, 2, 3), 3);
        report(&mut credits, ONE, 0, 0, 0);
        assert_eq!(offer(&mut credits, TWO, 1, 10), 2);
        report(&mut credits, ONE, 2, 3, 0);
        assert_eq!(offer(&mut credits, TWO, 2, 10), 7, "the older offer is void");
    }

    #[test]
    fn a_report_without_a_credit_means_no_credit() {
        let mut credits = Credits::default();
        credits.report(ONE, 0, Amounts::default(), Amounts::of_requests(12));
        assert_eq!(credits.exposure(Measure::Requests), 12);
        assert_eq!(offer(&mut credits, ONE, 1, 20), 10, "as far as the limit goes");
        assert_eq!(offer(&mut credits, TWO, 1, 5), 0);
    }

    #[test]
    fn nothing_is_offered_by_a_measure_that_nobody_limits() {
        let mut credits = Credits::default();
        let offered = credits.offer(ONE, 1, &Amounts::of_requests(3), &Amounts::default());
        assert!(offered.is_empty());
    }

    #[test]
    fn offers_without_an_answer_are_bounded_and_err_to_the_safe_side() {
        let mut credits = Credits::default();
        report(&mut credits, ONE, 0, 0, 0);
        for (number, wish) in (1..).zip((0..=9).rev().cycle().take(1_000)) {
            offer(&mut credits, ONE, number, wish);
        }
        assert!(credits.claims[&ONE].offers.len() <= OFFERS_MAX);
        assert_eq!(credits.exposure(Measure::Requests), 9);
    }

    #[test]
    fn a_gateway_that_is_gone_leaves_its_credit_to_others() {
        let mut credits = Credits::default();
        report(&mut credits, ONE, 0, 10, 10);
        assert_eq!(offer(&mut credits, TWO, 1, 6), 0);
        credits.forget(ONE);
        assert_eq!(offer(&mut credits, TWO, 2, 6), 6);
    }
}
