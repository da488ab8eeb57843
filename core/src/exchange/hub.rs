//! The scraper's side of the exchange.

mod gateways;
mod wishes;

use std::{collections::BTreeMap, time::Duration};

use super::{
    Credit, EXPIRES_AFTER, EndpointUse, GATEWAYS_MAX, GatewayId, GatewayPart, GatewayReport,
    TENANTS_MAX, TenantTokens, credits::Credits, kept::KeptEvents,
};
use crate::{
    flow::FlowKey,
    model::{Amounts, Instant, Measure, PlacementEvent, Priority},
};
use gateways::KnownGateway;

/// Time without a report after which a gateway is dead: its sums were dropped long before, and its
/// credit goes back once the pages show that its requests are gone.
const DEAD_AFTER: Duration = Duration::from_secs(5);

/// Longest time that a new exchange waits for the credits of all gateways before it raises any: after
/// it, a gateway that has not reported is as good as dead.
const LEARNING_MAX: Duration = Duration::from_secs(5);

/// Time after which a dead gateway's credit goes back whatever the pages show: clients that go past the
/// gateways may be on them for ever. No request is in flight for longer.
const RETURNED_AFTER: Duration = Duration::from_mins(10);

/// Share that a page has in the mean of the requests that no living gateway has: the mean follows
/// within a second of pages, and one page that was read at another moment moves it little.
const PAGE_WEIGHT: f64 = 0.05;

/// Mean number of requests beyond the known ones at which a dead gateway has none.
const EXCESS_MAX: f64 = 0.5;

/// The exchange of one pool: takes the gateways' reports and makes a part for each.
#[derive(Clone, Debug)]
pub struct ExchangeHub {
    epoch: u64,
    /// Number of gateways that the scraper's pushes reach.
    expected: usize,
    /// Time of the first report.
    began: Option<Instant>,
    /// True once a gateway has heard of an exchange with a higher epoch.
    is_deposed: bool,
    gateways: BTreeMap<GatewayId, KnownGateway>,
    credits: Credits,
    kept: KeptEvents,
    /// The limits by the latest reports that named any.
    limits: Amounts,
    /// Mean number of requests on the pages that no living gateway has, over about a second.
    excess: f64,
    /// The same as it was when all gateways lived.
    strangers: f64,
}

/// The reason why a report is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportRefusal {
    /// The gateway has no id.
    Unnamed,
    /// A report of a higher number has come already.
    Older,
    /// There are [`GATEWAYS_MAX`] gateways already.
    TooMany,
}

/// The exchange with one gateway, for metrics and the status page.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GatewayStatus {
    /// The gateway.
    pub gateway: GatewayId,
    /// Age of its latest report.
    pub age: Duration,
    /// The most that it may have in flight, by its latest report.
    pub credit: Amounts,
    /// Its load by its latest report.
    pub used: Amounts,
    /// Number of events that it has told.
    pub events: u64,
    /// Number of others' events that were dropped before it took them.
    pub dropped: u64,
}

impl ExchangeHub {
    /// Starts the exchange of this epoch. Of two scrapers the one with the higher epoch is obeyed.
    #[must_use]
    pub fn new(epoch: u64) -> Self {
        Self {
            epoch,
            expected: 0,
            began: None,
            is_deposed: false,
            gateways: BTreeMap::new(),
            credits: Credits::default(),
            kept: KeptEvents::default(),
            limits: Amounts::default(),
            excess: 0.0,
            strangers: 0.0,
        }
    }

    /// Returns the epoch.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// True once a gateway has heard of an exchange with a higher epoch: this one gives no credit any more.
    #[must_use]
    pub fn is_deposed(&self) -> bool {
        self.is_deposed
    }

    /// Takes the number of gateways that a push has reached. No credit is raised before as many have
    /// reported: one that has not may have credit of an earlier exchange in use.
    pub fn expect(&mut self, gateways: usize) {
        self.expected = gateways.min(GATEWAYS_MAX);
    }

    /// Takes in a report.
    ///
    /// # Errors
    /// If it is refused; then nothing changes.
    pub fn report(&mut self, now: Instant, report: GatewayReport) -> Result<(), ReportRefusal> {
        let id = report.gateway;
        if id == GatewayId::default() {
            return Err(ReportRefusal::Unnamed);
        }
        if !self.gateways.contains_key(&id) && self.gateways.len() >= GATEWAYS_MAX {
            return Err(ReportRefusal::TooMany);
        }
        if self.gateways.get(&id).is_some_and(|known| known.report.number >= report.number) {
            return Err(ReportRefusal::Older);
        }
        self.began.get_or_insert(now);
        self.is_deposed |= report.epoch > self.epoch;
        let taken = if report.epoch == self.epoch { report.taken } else { 0 };
        let in_force = report.credit.as_ref().map_or_else(Amounts::default, |it| it.amounts);
        self.credits.report(id, taken, in_force, report.used);
        let epoch = self.epoch;
        let known = self.gateways.entry(id).or_insert_with(|| KnownGateway::new(epoch, &report));
        let told = known.take(now, epoch, report).into_iter();
        let news: Vec<PlacementEvent> =
            told.filter_map(PlacementEvent::for_other_gateways).collect();
        self.pass_on(now, id, &news);
        self.renew_limits(now);
        Ok(())
    }

    /// Makes the next part for a gateway. One that has not reported yet gets a part that says no more
    /// than that there is an exchange.
    pub fn part(&mut self, now: Instant, gateway: GatewayId) -> GatewayPart {
        self.forget_returned(now);
        let wishes = self.wishes(now);
        let gives = self.is_settled(now) && !self.is_deposed && !self.limits.is_empty();
        let Some(known) = self.gateways.get_mut(&gateway) else {
            return GatewayPart { epoch: self.epoch, ..GatewayPart::default() };
        };
        known.warm_up(&self.kept);
        let number = known.next_part();
        let (next_event, events) = (known.inbox.next(), known.outbox.batch());
        let wish = wishes.into_iter().find(|wish| wish.gateway == gateway);
        let credit = wish.filter(|_| gives).map(|wish| {
            let amounts = self.credits.offer(gateway, number, &wish.amounts, &self.limits);
            Credit { epoch: self.epoch, number, amounts, reserves: wish.reserves(&amounts) }
        });
        GatewayPart {
            gateway,
            epoch: self.epoch,
            number,
            next_event,
            endpoints: self.sums(now, gateway),
            events,
            gateways: self.living(now).map(|known| known.report.gateway).collect(),
            credit,
            highest_waiting: self.highest_waiting(now, gateway),
            tenants: self.tenants(now, gateway),
        }
    }

    /// Takes in the number of requests, running and waiting, that the pages of all endpoints showed at one
    /// moment. By it a dead gateway's requests are known to be gone.
    pub fn pages(&mut self, now: Instant, shown: u64) {
        let used = self.living(now).filter_map(|it| it.report.used.get(Measure::Requests));
        let known: u64 = used.fold(0, u64::saturating_add);
        self.excess += PAGE_WEIGHT * (float(shown) - float(known) - self.excess);
        if self.dead(now).next().is_none() {
            self.strangers = self.excess.max(0.0);
        }
    }

    /// Returns the exchange with each gateway, in the order of their ids.
    pub fn statuses(&self, now: Instant) -> impl Iterator<Item = GatewayStatus> {
        self.gateways.values().map(move |known| known.status(now))
    }

    /// Returns the most that all gateways together may have in flight by a measure, whatever became of the
    /// messages to them.
    #[must_use]
    pub fn exposure(&self, measure: Measure) -> u64 {
        self.credits.exposure(measure)
    }

    /// Returns the limits that are divided.
    #[must_use]
    pub fn limits(&self) -> Amounts {
        self.limits
    }

    /// True once the credits of all gateways are known.
    fn is_settled(&self, now: Instant) -> bool {
        let learns = |began| now.saturating_since(began) < LEARNING_MAX;
        self.gateways.len() >= self.expected.max(1) || !self.began.is_none_or(learns)
    }

    fn living(&self, now: Instant) -> impl Iterator<Item = &KnownGateway> {
        self.gateways.values().filter(move |known| known.age(now) < DEAD_AFTER)
    }

    fn dead(&self, now: Instant) -> impl Iterator<Item = &KnownGateway> {
        self.gateways.values().filter(move |known| known.age(now) >= DEAD_AFTER)
    }

    /// Returns the other gateways with reports that are recent enough to go by.
    fn others(&self, now: Instant, gateway: GatewayId) -> impl Iterator<Item = &KnownGateway> {
        let is_other = move |known: &&KnownGateway| known.report.gateway != gateway;
        self.gateways.values().filter(is_other).filter(move |it| it.age(now) <= EXPIRES_AFTER)
    }

    fn sums(&self, now: Instant, gateway: GatewayId) -> Vec<EndpointUse> {
        let mut uses: Vec<EndpointUse> =
            self.others(now, gateway).flat_map(|known| known.uses(now)).collect();
        uses.sort_unstable_by_key(|it| it.endpoint);
        let mut sums: Vec<EndpointUse> = Vec::with_capacity(uses.len());
        for it in uses {
            match sums.last_mut() {
                Some(sum) if sum.endpoint == it.endpoint => sum.add(&it),
                _ => sums.push(it),
            }
        }
        sums
    }

    fn highest_waiting(&self, now: Instant, gateway: GatewayId) -> Option<Priority> {
        let bands = self.others(now, gateway).flat_map(|known| known.report.bands.iter());
        bands.filter(|band| band.waiting > 0).map(|band| band.priority).max()
    }

    /// Sums up the tokens of tenants. Those of dead gateways count on: totals never fall.
    fn tenants(&self, now: Instant, gateway: GatewayId) -> Vec<TenantTokens> {
        let mut sums: BTreeMap<&FlowKey, u64> = BTreeMap::new();
        let others = self.living(now).filter(|known| known.report.gateway != gateway);
        for TenantTokens { flow, tokens } in others.flat_map(|known| known.report.tenants.iter()) {
            let sum = sums.entry(flow).or_default();
            *sum = sum.saturating_add(*tokens);
        }
        let mut sums: Vec<(&FlowKey, u64)> = sums.into_iter().collect();
        sums.sort_by_key(|(_, tokens)| std::cmp::Reverse(*tokens));
        sums.truncate(TENANTS_MAX);
        let tenant = |(flow, tokens): (&FlowKey, u64)| TenantTokens { flow: flow.clone(), tokens };
        sums.into_iter().map(tenant).collect()
    }

    /// Passes a gateway's events on to all others that live.
    fn pass_on(&mut self, now: Instant, from: GatewayId, events: &[PlacementEvent]) {
        events.iter().for_each(|event| self.kept.take(event));
        for (id, known) in &mut self.gateways {
            if *id != from && known.age(now) < DEAD_AFTER {
                known.outbox.push(events.iter().cloned());
            }
        }
    }

    /// Goes by the lowest of the limits that gateways have measured; where none has, by the last.
    fn renew_limits(&mut self, now: Instant) {
        let recent = self.gateways.values().filter(|it| it.age(now) <= EXPIRES_AFTER);
        let least = recent.map(|it| it.report.limits).reduce(Amounts::least);
        if let Some(least) = least.filter(|least| !least.is_empty()) {
            self.limits = least;
        }
    }

    /// Forgets dead gateways whose requests are gone from the pages.
    fn forget_returned(&mut self, now: Instant) {
        let is_gone = self.excess <= self.strangers + EXCESS_MAX;
        let returned = self.dead(now).filter(|it| is_gone || it.age(now) >= RETURNED_AFTER);
        let returned: Vec<GatewayId> = returned.map(|known| known.report.gateway).collect();
        for gateway in returned {
            self.gateways.remove(&gateway);
            self.credits.forget(gateway);
        }
    }
}

/// Converts a number of requests, far below the 2^53 up to which this is exact.
#[expect(clippy::cast_precision_loss, reason = "a mean needs no more than 53 bits")]
fn float(requests: u64) -> f64 {
    requests as f64
}

#[cfg(test)]
mod tests;
