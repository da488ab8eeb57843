//! A worker's knowledge of the other gateways.

use std::time::Duration;

use super::{Credit, EXPIRES_AFTER, EndpointUse, EventBatch, GatewayId, GatewayPart, TenantTokens};
use crate::model::{Amounts, Instant, Priority};

/// Longest time without a part for which a gateway that has no credit holds all, as the others may use all that the
/// pool takes.
///
/// While any exchange lives this time does not pass: its parts come every 250 ms at the latest, with a credit or
/// without. Another scraper takes an exchange over within 4 s. A scraper that died is started anew at once, and
/// only when it dies again after a pause, which is 10 s for the kubelet. In all these cases no limit is passed.
/// After it the exchange is taken for gone, and requests that wait would wait for nothing. Then such a gateway goes by
/// its part of the limits, by which it may pass them until an exchange is back, and not by all of them.
const CREDIT_WAIT_MAX: Duration = Duration::from_secs(10);

/// The most that a gateway may have in flight, as far as the exchange says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CreditLimit {
    /// The credit in force; none at all while the gateway waits for its first.
    Credit(Amounts),
    /// An equal part of its own limits, one of so many gateways: there is no exchange any more, and it gave
    /// no credit.
    PartOf(u64),
}

/// The latest part that this gateway took, without its events, which are in the event ring.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Others {
    part: GatewayPart,
    /// Time of the part's arrival.
    received_at: Instant,
    /// The credit in force: the latest that any part brought.
    credit: Option<Credit>,
}

impl Others {
    /// Returns what is known once this part has come to the gateway of this id. `None` for a part that is
    /// refused: of another gateway, of an earlier epoch, or no newer than the one before. Parts for no gateway have no
    /// numbers: they come until the exchange hears of this gateway, or for as long as it has too many.
    #[must_use]
    pub fn after(
        before: Option<&Self>,
        own: GatewayId,
        mut part: GatewayPart,
        received_at: Instant,
    ) -> Option<Self> {
        let is_for_none = part.gateway == GatewayId::default();
        let is_for_it = part.gateway == own || is_for_none;
        let is_newer = before.is_none_or(|before| {
            let (number, last) =
                ((part.epoch, part.number), (before.part.epoch, before.part.number));
            // A sign that the exchange lives, and that this gateway is to wait for it.
            number > last || (is_for_none && number == last)
        });
        if !is_for_it || !is_newer {
            return None;
        }
        part.gateway = own;
        part.events = EventBatch::default();
        let held = before.and_then(|before| before.credit.clone());
        let credit = part.credit.clone().or(held);
        Some(Self { part, received_at, credit })
    }

    /// Returns the part that came last.
    #[must_use]
    pub fn part(&self) -> &GatewayPart {
        &self.part
    }

    /// Returns the time at which the part came.
    #[must_use]
    pub fn received_at(&self) -> Instant {
        self.received_at
    }

    /// Returns the credit in force; `None` if none has come yet. It does not expire: an exchange that
    /// is gone leaves the limits as they were.
    #[must_use]
    pub fn credit(&self) -> Option<&Credit> {
        self.credit.as_ref()
    }

    /// Returns the most that this gateway may have in flight. A gateway that has no credit has none to use for
    /// `CREDIT_WAIT_MAX` after the last word of the exchange: others may use all that the pool takes.
    #[must_use]
    pub fn allowance(&self, now: Instant) -> CreditLimit {
        if let Some(credit) = &self.credit {
            return CreditLimit::Credit(credit.amounts);
        }
        if now.saturating_since(self.received_at) < CREDIT_WAIT_MAX {
            return CreditLimit::Credit(Amounts::default());
        }
        let others = self.part.gateways.iter().filter(|it| **it != self.part.gateway).count();
        CreditLimit::PartOf(u64::try_from(others).unwrap_or(u64::MAX).saturating_add(1))
    }

    /// Returns the places that bands below each priority leave free, all higher ones included.
    pub(crate) fn reserves(&self) -> Vec<(Priority, u32)> {
        let reserves = self.credit.iter().flat_map(|credit| credit.reserves.iter());
        reserves.map(|reserve| (reserve.priority, reserve.places)).collect()
    }

    /// True while the others' sums, bands and tokens are recent enough to go by.
    #[must_use]
    pub fn is_fresh(&self, now: Instant) -> bool {
        now.saturating_since(self.received_at) <= EXPIRES_AFTER
    }

    /// Returns the sums of the others' loads by ascending keys; none once they have expired.
    #[must_use]
    pub fn sums(&self, now: Instant) -> &[EndpointUse] {
        if self.is_fresh(now) { &self.part.endpoints } else { &[] }
    }

    /// Returns the highest band in which requests wait elsewhere.
    #[must_use]
    pub fn highest_waiting(&self, now: Instant) -> Option<Priority> {
        self.part.highest_waiting.filter(|_| self.is_fresh(now))
    }

    /// Returns the tokens that tenants were charged elsewhere.
    #[must_use]
    pub fn tenants(&self, now: Instant) -> &[TenantTokens] {
        if self.is_fresh(now) { &self.part.tenants } else { &[] }
    }

    /// Returns the multiple of [`STALENESS`](super::STALENESS) by which the backlog of an endpoint counts as longer,
    /// 0 to 2, by its place among all endpoints in the order of their keys. Every gateway begins at another place, and
    /// likes an endpoint the less the farther it is behind that: so of several gateways that know of the same idle
    /// endpoints, each takes another. The mean over all endpoints is the part of all requests that other gateways
    /// send, were all to send as many.
    #[must_use]
    pub fn unheard_share(&self, place: usize, endpoints: usize) -> f64 {
        let own = self.part.gateway;
        let others = self.part.gateways.iter().filter(|id| **id != own).count();
        let before = self.part.gateways.iter().filter(|id| **id < own).count();
        let gateways = others + 1;
        let begins_at = before * endpoints / gateways;
        let behind = (place + endpoints - begins_at).checked_rem(endpoints).unwrap_or(0);
        let last = u32::try_from(endpoints.saturating_sub(1)).unwrap_or(u32::MAX).max(1);
        let behind = u32::try_from(behind).unwrap_or(u32::MAX);
        let unheard = small(others) / small(gateways);
        2.0 * unheard * f64::from(behind) / f64::from(last)
    }
}

/// Returns a number of gateways, of which there are [`GATEWAYS_MAX`](super::GATEWAYS_MAX), as a float.
fn small(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: GatewayId = GatewayId(3);

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    fn part(number: u64, credit: Option<u64>) -> GatewayPart {
        let amounts = credit.map(Amounts::of_requests);
        GatewayPart {
            gateway: OWN,
            epoch: 1,
            number,
            credit: amounts.map(|amounts| Credit { amounts, ..Credit::default() }),
            highest_waiting: Some(Priority(5)),
            ..GatewayPart::default()
        }
    }

    #[test]
    fn a_credit_stays_in_force_and_all_else_expires() {
        let first = Others::after(None, OWN, part(1, Some(7)), at(0)).unwrap();
        let second = Others::after(Some(&first), OWN, part(2, None), at(50)).unwrap();
        let seven = CreditLimit::Credit(Amounts::of_requests(7));
        assert_eq!([50, 10_000_000].map(|ms| second.allowance(at(ms))), [seven; 2]);
        assert_eq!(second.highest_waiting(at(200)), Some(Priority(5)));
        assert_eq!(second.highest_waiting(at(201)), None);
        assert_eq!(Others::after(Some(&second), OWN, part(2, Some(9)), at(60)), None, "twice");
        assert_eq!(Others::after(Some(&second), OWN, part(1, Some(9)), at(60)), None, "late");
    }

    #[test]
    fn a_gateway_without_a_credit_has_none_to_use_until_there_is_no_exchange() {
        let none = CreditLimit::Credit(Amounts::default());
        let unknown = GatewayPart { epoch: 1, ..GatewayPart::default() };
        let others = Others::after(None, OWN, unknown.clone(), at(0)).unwrap();
        assert_eq!(others.part().gateway, OWN);
        assert_eq!(others.allowance(at(9_999)), none);
        assert_eq!(others.allowance(at(10_000)), CreditLimit::PartOf(1));

        // An exchange that lives is waited for, however long it gives nothing.
        let more = (1..100).fold(others, |others, second| {
            assert_eq!(others.allowance(at(1_000 * second)), none, "{second} s");
            Others::after(Some(&others), OWN, unknown.clone(), at(1_000 * second)).unwrap()
        });
        assert_eq!(more.allowance(at(99_000 + 9_999)), none);
    }

    #[test]
    fn without_the_exchange_a_gateway_takes_its_part_and_not_all() {
        let part = |others: &[u64]| {
            let gateways = others.iter().copied().map(GatewayId).collect();
            let part = GatewayPart { gateways, ..part(1, None) };
            Others::after(None, OWN, part, at(0)).unwrap().allowance(at(10_000))
        };
        assert_eq!(part(&[1, 2]), CreditLimit::PartOf(3), "it was not known yet");
        assert_eq!(part(&[1, 2, 3]), CreditLimit::PartOf(3));
    }

    fn thousandths(others: &Others, place: usize, endpoints: usize) -> u32 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 2")]
        let share = (others.unheard_share(place, endpoints) * 1_000.0) as u32;
        share
    }

    /// The shares of four gateways over so many endpoints, in thousandths.
    fn shares(endpoints: usize) -> Vec<Vec<u32>> {
        let gateways: Vec<GatewayId> = (1..=4).map(GatewayId).collect();
        let of = |id: &GatewayId| {
            let part = GatewayPart { gateway: *id, gateways: gateways.clone(), ..part(1, None) };
            let others = Others::after(None, *id, part, at(0)).unwrap();
            (0..endpoints).map(|place| thousandths(&others, place, endpoints)).collect()
        };
        gateways.iter().map(of).collect()
    }

    #[test]
    fn each_gateway_begins_at_an_endpoint_of_its_own() {
        for endpoints in [4, 5, 8, 100] {
            let shares = shares(endpoints);
            let begin = |of: &Vec<u32>| of.iter().position(|share| *share == 0);
            let mut begins: Vec<_> = shares.iter().map(begin).collect();
            begins.dedup();
            assert_eq!(begins.len(), 4, "{endpoints}: {begins:?}");
            for of in shares {
                let mean = of.iter().sum::<u32>() / u32::try_from(endpoints).unwrap();
                assert!((748..=750).contains(&mean), "{endpoints}: {mean}");
                assert!(of.iter().all(|share| *share <= 1_500), "{of:?}");
            }
        }
    }

    #[test]
    fn where_there_is_no_choice_all_are_alike() {
        assert_eq!(shares(1), [[0]; 4]);
        let alone = Others::after(None, OWN, GatewayPart { gateway: OWN, ..part(1, None) }, at(0));
        let alone = alone.unwrap();
        assert_eq!((0..3).map(|place| thousandths(&alone, place, 3)).sum::<u32>(), 0);
        assert_eq!(thousandths(&alone, 0, 0), 0);
    }
}
