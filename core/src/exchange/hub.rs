//! The scraper's side of the exchange.

mod gateways;
mod wishes;

use std::{collections::BTreeMap, error::Error, fmt, time::Duration};

use super::{
    Credit, EXPIRES_AFTER, EndpointUse, GATEWAYS_MAX, GatewayId, GatewayPart, GatewayReport,
    TENANTS_MAX, TenantTokens, TenantTotals, credits::Credits, kept::KeptEvents,
};
use crate::{
    flow::FlowKey,
    model::{Amounts, Instant, Measure, PlacementEvent, Priority},
};
use gateways::KnownGateway;

/// Time without a report after which a gateway is dead: its sums were dropped long before, and its
/// credit goes back once the pages show that its requests are gone.
const DEAD_AFTER: Duration = Duration::from_secs(5);

/// Time without a report from which on a gateway's requests count as unknown on the pages: by the time that
/// it is dead, the mean tells how many there are.
const SILENT_AFTER: Duration = Duration::from_secs(1);

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
    /// The highest epoch that a gateway has heard of.
    heard: u64,
    gateways: BTreeMap<GatewayId, KnownGateway>,
    /// Totals of tenants by gateways, which outlive a gateway for a while. At most twice [`GATEWAYS_MAX`].
    tenants: BTreeMap<GatewayId, TenantTotals>,
    credits: Credits,
    kept: KeptEvents,
    /// The limits by the latest reports that named any.
    limits: Amounts,
    /// Mean number of requests on the pages that no gateway has which reports, over about a second.
    excess: f64,
    /// The same as it was when all gateways reported.
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

impl fmt::Display for ReportRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unnamed => f.write_str("invalid gateway id 0: allowed is any other number"),
            Self::Older => f.write_str("a report with the same number or a higher one came before"),
            Self::TooMany => write!(f, "a further gateway: allowed are {GATEWAYS_MAX}"),
        }
    }
}

impl Error for ReportRefusal {}

/// The exchange with one gateway, for metrics and the status page.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GatewayStatus {
    /// The gateway.
    pub gateway: GatewayId,
    /// Age of its latest report.
    pub age: Duration,
    /// The most that it may have in flight, by its latest report.
    pub credit: Amounts,
    /// Load of the gateway by its latest report.
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
            heard: epoch,
            gateways: BTreeMap::new(),
            tenants: BTreeMap::new(),
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
        self.heard > self.epoch
    }

    /// Returns the highest epoch that a gateway has heard of. A scraper that takes over from another starts an
    /// exchange above it.
    #[must_use]
    pub fn heard_epoch(&self) -> u64 {
        self.heard
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
        self.heard = self.heard.max(report.epoch);
        let taken = if report.epoch == self.epoch { report.taken } else { 0 };
        let in_force = report.credit.as_ref().map_or_else(Amounts::default, |it| it.amounts);
        self.credits.report(id, taken, in_force, report.used);
        let epoch = self.epoch;
        let known = self.gateways.entry(id).or_insert_with(|| KnownGateway::new(epoch, &report));
        let tenants = report.tenants.get(..TENANTS_MAX).unwrap_or(&report.tenants).to_vec();
        let told = known.take(now, epoch, report).into_iter();
        let news: Vec<PlacementEvent> =
            told.filter_map(PlacementEvent::for_other_gateways).collect();
        self.pass_on(now, id, &news);
        self.note_tenants(now, id, &tenants);
        self.renew_limits(now);
        Ok(())
    }

    /// Makes the next part for a gateway. One that has not reported yet gets a part that says no more
    /// than that there is an exchange, and of which gateways.
    pub fn part(&mut self, now: Instant, gateway: GatewayId) -> GatewayPart {
        self.forget_returned(now);
        let wishes = self.wishes(now);
        let gives = self.is_settled(now) && !self.is_deposed() && !self.limits.is_empty();
        let living: Vec<GatewayId> = self.living(now).map(|known| known.report.gateway).collect();
        let Some(known) = self.gateways.get_mut(&gateway) else {
            let epoch = self.epoch;
            return GatewayPart { epoch, gateways: living, ..GatewayPart::default() };
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
            gateways: living,
            credit,
            highest_waiting: self.highest_waiting(now, gateway),
            tenants: self.tenants(gateway),
        }
    }

    /// Takes in the number of requests, running and waiting, that the pages of all endpoints showed at one
    /// moment. By it a dead gateway's requests are known to be gone.
    pub fn pages(&mut self, now: Instant, shown: u64) {
        let is_silent = |it: &KnownGateway| it.age(now) >= SILENT_AFTER;
        let heard = self.gateways.values().filter(|it| !is_silent(it));
        let used = heard.filter_map(|it| it.report.used.get(Measure::Requests));
        let known: u64 = used.fold(0, u64::saturating_add);
        self.excess += PAGE_WEIGHT * (float(shown) - float(known) - self.excess);
        if !self.gateways.values().any(is_silent) {
            self.strangers = self.excess.max(0.0);
        }
    }

    /// True if there is something to tell that should not wait: of several gateways one has requests in
    /// flight or waiting, or events wait for one of them.
    #[must_use]
    pub fn has_news(&self, now: Instant) -> bool {
        let several = self.living(now).nth(1).is_some();
        several && self.living(now).any(KnownGateway::is_active)
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

    /// True once the credits of all gateways are known. That of a gateway which has no part of this epoch yet can
    /// still be moved by an earlier exchange, if that lives.
    fn is_settled(&self, now: Instant) -> bool {
        let learns = |began| now.saturating_since(began) < LEARNING_MAX;
        let own = self.gateways.values().filter(|known| known.report.epoch >= self.epoch);
        own.count() >= self.expected.max(1) || !self.began.is_none_or(learns)
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

    /// Takes in the totals that a gateway tells of its tenants.
    fn note_tenants(&mut self, now: Instant, gateway: GatewayId, tenants: &[TenantTokens]) {
        self.tenants.entry(gateway).or_default().note(now, tenants);
        let (known, all) = (&self.gateways, &mut self.tenants);
        all.values_mut().for_each(|totals| totals.trim(now));
        all.retain(|id, totals| known.contains_key(id) || totals.iter().len() > 0);
        while all.len() > 2 * GATEWAYS_MAX {
            let unknown = all.keys().find(|id| !known.contains_key(id)).copied();
            let Some(unknown) = unknown else { break };
            let _ = all.remove(&unknown);
        }
    }

    /// Sums up the tokens of tenants. Those of a gateway that is silent count on for a while, and those of a tenant
    /// that its gateway does not tell of: were they to come back, the sum would rise by no use.
    fn tenants(&self, gateway: GatewayId) -> Vec<TenantTokens> {
        let mut sums: BTreeMap<&FlowKey, u64> = BTreeMap::new();
        let others = self.tenants.iter().filter(|(id, _)| **id != gateway);
        for (flow, total) in others.flat_map(|(_, totals)| totals.iter()) {
            let sum = sums.entry(flow).or_default();
            *sum = sum.saturating_add(total.tokens);
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

    /// Forgets dead gateways that have no request on the pages any more.
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
mod tests {
    use super::*;
    use crate::{
        exchange::{BandUse, EventBatch, Others},
        flow::FairnessId,
        ledger::EndpointKey,
        model::{BlockHash, Chain, EventKind},
    };

    const ONE: GatewayId = GatewayId(1);
    const TWO: GatewayId = GatewayId(2);

    fn at(ms: u64) -> Instant {
        Instant::from_nanos((1_000_000 + ms) * 1_000_000)
    }

    /// A gateway with one band, which does what its parts say.
    struct Gateway {
        report: GatewayReport,
        others: Option<Others>,
    }

    impl Gateway {
        fn new(id: GatewayId) -> Self {
            let limits = Amounts::of_requests(10);
            let report = GatewayReport { gateway: id, limits, ..GatewayReport::default() };
            Self { report, others: None }
        }

        fn uses(&mut self, in_flight: u32, waiting: u32) {
            self.report.bands = vec![BandUse { in_flight, waiting, ..BandUse::default() }];
            self.report.used = Amounts::of_requests(in_flight.into());
            let endpoint = EndpointKey(7);
            self.report.endpoints =
                vec![EndpointUse { endpoint, requests: in_flight, ..EndpointUse::default() }];
        }

        /// Makes the next report.
        fn report(&mut self) -> GatewayReport {
            self.report.number += 1;
            self.report.credit = self.others.as_ref().and_then(|others| others.credit().cloned());
            self.report.clone()
        }

        fn take(&mut self, now: Instant, part: GatewayPart) {
            let id = self.report.gateway;
            (self.report.epoch, self.report.taken) = (part.epoch, part.number);
            let after = Others::after(self.others.as_ref(), id, part, now);
            self.others = after.or_else(|| self.others.take());
        }

        fn credit(&self) -> Option<u64> {
            self.others.as_ref()?.credit()?.amounts.requests
        }

        /// Pushes to this gateway, and takes its reply.
        fn push(&mut self, now: Instant, hub: &mut ExchangeHub) {
            let part = hub.part(now, self.report.gateway);
            self.take(now, part);
            hub.report(now, self.report()).unwrap();
        }
    }

    fn event(prompt: u64) -> PlacementEvent {
        PlacementEvent {
            at: at(0),
            endpoint: ([10, 0, 0, 1], 8000).into(),
            chain: Chain { hashes: vec![BlockHash(prompt)], blocks: 1 },
            verdict: EventKind::Placed,
        }
    }

    #[test]
    fn capacity_goes_where_requests_wait() {
        let mut hub = ExchangeHub::new(1);
        let (mut one, mut two) = (Gateway::new(ONE), Gateway::new(TWO));
        hub.expect(2);
        one.uses(0, 0);
        two.uses(0, 0);
        let round = |hub: &mut ExchangeHub, ms: u64, one: &mut Gateway, two: &mut Gateway| {
            one.push(at(ms), hub);
            two.push(at(ms), hub);
            assert!(hub.exposure(Measure::Requests) <= 10);
            (one.credit(), two.credit())
        };
        assert_eq!(round(&mut hub, 0, &mut one, &mut two), (None, None), "nothing is known yet");
        assert_eq!(round(&mut hub, 50, &mut one, &mut two), (Some(5), Some(5)));
        one.uses(5, 20);
        assert_eq!(
            round(&mut hub, 100, &mut one, &mut two),
            (Some(5), Some(0)),
            "told with the reply, and taken from the other at once"
        );
        assert_eq!(round(&mut hub, 150, &mut one, &mut two), (Some(10), Some(0)));
    }

    /// A rise of what others used is charged: a gateway that was cut off and comes back with the same totals has used
    /// nothing.
    #[test]
    fn tokens_of_a_silent_gateway_count_on() {
        let mut hub = ExchangeHub::new(1);
        let (mut one, mut two) = (Gateway::new(ONE), Gateway::new(TWO));
        let flow = FlowKey { id: FairnessId::new("a"), priority: Priority(0) };
        two.report.tenants = vec![TenantTokens { flow, tokens: 700 }];
        two.push(at(0), &mut hub);
        let mut told = |ms| {
            one.push(at(ms), &mut hub);
            hub.part(at(ms), ONE).tenants.first().map(|it| it.tokens)
        };
        assert_eq!([0, 50, 6_000, 7_000].map(&mut told), [Some(700); 4]);
    }

    #[test]
    fn a_new_exchange_raises_nothing_before_it_knows_all_credits() {
        let mut hub = ExchangeHub::new(2);
        let mut one = Gateway::new(ONE);
        hub.expect(2);
        one.uses(0, 9);
        let credit = Some(Credit { amounts: Amounts::of_requests(6), ..Credit::default() });
        one.take(
            at(0),
            GatewayPart { gateway: ONE, epoch: 1, number: 9, credit, ..GatewayPart::default() },
        );
        for ms in [0, 50, 100] {
            one.push(at(ms), &mut hub);
            assert_eq!(one.credit(), Some(6), "at {ms} ms");
        }
        let mut two = Gateway::new(TWO);
        two.uses(3, 0);
        two.push(at(150), &mut hub);
        one.push(at(200), &mut hub);
        assert_eq!(one.credit(), Some(7));
    }

    #[test]
    fn a_gateway_that_never_reports_is_waited_for_no_longer_than_one_that_died() {
        let mut hub = ExchangeHub::new(1);
        hub.expect(2);
        let mut one = Gateway::new(ONE);
        one.uses(0, 20);
        let mut given = None;
        for ms in (0..6_000).step_by(50) {
            one.push(at(ms), &mut hub);
            given = given.or_else(|| one.credit().map(|_| ms));
        }
        assert_eq!((given, one.credit()), (Some(5_000), Some(10)));
    }

    #[test]
    fn sums_are_of_the_others_and_expire() {
        let mut hub = ExchangeHub::new(1);
        let (mut one, mut two) = (Gateway::new(ONE), Gateway::new(TWO));
        one.uses(3, 0);
        two.uses(4, 1);
        one.push(at(0), &mut hub);
        two.push(at(0), &mut hub);
        let part = hub.part(at(50), ONE);
        assert_eq!(part.endpoints.iter().map(|it| it.requests).collect::<Vec<_>>(), [4]);
        assert_eq!(part.highest_waiting, Some(Priority(0)));
        assert_eq!(part.gateways, [ONE, TWO]);
        let late = hub.part(at(151), ONE);
        assert_eq!((late.endpoints.len(), late.highest_waiting), (0, None));
    }

    #[test]
    fn a_dead_gateways_credit_returns_once_the_pages_show_it() {
        let mut hub = ExchangeHub::new(1);
        let (mut one, mut two) = (Gateway::new(ONE), Gateway::new(TWO));
        one.uses(5, 30);
        two.uses(5, 0);
        let mut returned = None;
        for ms in (0..20_000_u64).step_by(50) {
            one.push(at(ms), &mut hub);
            if ms < 1_000 {
                two.push(at(ms), &mut hub);
            }
            // Its requests end ten seconds after it died.
            hub.pages(at(ms), if ms < 11_000 { 10 } else { 5 });
            if one.credit() == Some(10) {
                returned = returned.or(Some(ms));
            }
            assert!(hub.exposure(Measure::Requests) <= 10);
        }
        let returned = returned.unwrap();
        assert!((11_000..14_000).contains(&returned), "{returned}");
    }

    #[test]
    fn events_reach_the_others_once_and_a_new_gateway_starts_warm() {
        let mut hub = ExchangeHub::new(1);
        let (mut one, mut two) = (Gateway::new(ONE), Gateway::new(TWO));
        one.push(at(0), &mut hub);
        two.push(at(0), &mut hub);
        one.push(at(20), &mut hub);
        two.push(at(20), &mut hub);
        one.report.events = EventBatch { first: 0, events: vec![event(1), event(2)] };
        one.push(at(50), &mut hub);
        one.push(at(100), &mut hub);
        assert_eq!(hub.part(at(100), ONE).next_event, 2);
        assert_eq!(hub.part(at(100), ONE).events.events.len(), 0, "its own");
        let part = hub.part(at(100), TWO);
        assert_eq!(part.events.events, [event(1), event(2)]);
        let mut three = Gateway::new(GatewayId(3));
        three.push(at(150), &mut hub);
        assert_eq!(hub.part(at(200), GatewayId(3)).events.events, [event(1), event(2)]);
    }

    #[test]
    fn what_is_no_report_is_refused() {
        let mut hub = ExchangeHub::new(1);
        assert_eq!(hub.report(at(0), GatewayReport::default()), Err(ReportRefusal::Unnamed));
        let mut one = Gateway::new(ONE);
        let (first, second) = (one.report(), one.report());
        assert_eq!(hub.report(at(0), second.clone()), Ok(()));
        assert_eq!(hub.report(at(0), first), Err(ReportRefusal::Older));
        assert_eq!(hub.report(at(0), second), Err(ReportRefusal::Older));
        for id in 2..=GATEWAYS_MAX as u64 {
            assert_eq!(hub.report(at(0), Gateway::new(GatewayId(id)).report()), Ok(()));
        }
        let more = Gateway::new(GatewayId(1_000)).report();
        assert_eq!(hub.report(at(0), more), Err(ReportRefusal::TooMany));
    }

    #[test]
    fn of_two_exchanges_the_later_one_is_obeyed() {
        let (mut old, mut new) = (ExchangeHub::new(1), ExchangeHub::new(2));
        let mut one = Gateway::new(ONE);
        one.uses(0, 5);
        (0..3).for_each(|tick| one.push(at(50 * tick), &mut old));
        assert_eq!(one.credit(), Some(10));
        one.push(at(200), &mut new);
        let part = old.part(at(250), ONE);
        assert_eq!(Others::after(one.others.as_ref(), ONE, part, at(250)), None);
        old.report(at(250), one.report()).unwrap();
        assert!(old.is_deposed() && old.part(at(300), ONE).credit.is_none());
        let other = GatewayPart { gateway: TWO, epoch: 9, ..GatewayPart::default() };
        assert_eq!(Others::after(one.others.as_ref(), ONE, other, at(300)), None, "of another");
    }

    /// The earlier exchange lowers one gateway's credit and raises the other's after the later one has heard of
    /// both.
    #[test]
    fn a_credit_that_an_earlier_exchange_may_still_move_is_not_known() {
        let (mut old, mut new) = (ExchangeHub::new(1), ExchangeHub::new(2));
        let mut gateways = [Gateway::new(ONE), Gateway::new(TWO)];
        old.expect(2);
        new.expect(2);
        gateways.iter_mut().for_each(|it| it.uses(0, 9));
        for tick in 0..6 {
            gateways.iter_mut().for_each(|it| it.push(at(50 * tick), &mut old));
        }
        assert_eq!(gateways.each_ref().map(Gateway::credit), [Some(5); 2]);
        gateways.iter_mut().for_each(|it| new.report(at(300), it.report()).unwrap());
        let [one, two] = &mut gateways;
        one.uses(0, 0);
        for tick in 7..30 {
            one.push(at(50 * tick), &mut old);
            two.push(at(50 * tick), &mut old);
        }
        let moved = two.credit().unwrap();
        assert!(moved > 5, "{moved}");
        for tick in 30..60 {
            let now = at(50 * tick);
            one.uses(0, 9);
            one.push(now, &mut new);
            let credits = [one.credit(), two.credit()].map(Option::unwrap_or_default);
            assert!(credits.iter().sum::<u64>() <= 10, "{credits:?}");
            two.push(now, &mut new);
            let credits = [one.credit(), two.credit()].map(Option::unwrap_or_default);
            assert!(credits.iter().sum::<u64>() <= 10, "{credits:?}");
        }
        assert_eq!(gateways.each_ref().map(Gateway::credit), [Some(5); 2]);
    }
}
