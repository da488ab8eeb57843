//! Stories of an exchange and its gateways.

use super::*;
use crate::{
    exchange::{BandUse, EventBatch, Others},
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
        self.others = Others::after(self.others.as_ref(), id, part, now).or(self.others.take());
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
    assert_eq!(round(&mut hub, 100, &mut one, &mut two), (Some(5), Some(5)), "told with the reply");
    assert_eq!(round(&mut hub, 150, &mut one, &mut two), (Some(5), Some(0)));
    assert_eq!(round(&mut hub, 200, &mut one, &mut two), (Some(10), Some(0)));
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
        given = given.or(one.credit().map(|_| ms));
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
