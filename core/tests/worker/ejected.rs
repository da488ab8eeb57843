//! Endpoints that are ejected: they add no room before they have served again, and one request of all workers tries
//! them, on a place of the others.

use std::time::Duration;

use picker_core::{
    Fault, RequestId, ResponseClass, ResponseStart,
    flow::{FlowConfig, Priority, UsageLimitPolicy},
    saturation::{Capacity, Concurrency, ConcurrencyMode, Detector, Utilization},
    worker::Input,
};

use super::{
    began, ended,
    envoy::{Envoy, address, flow},
};

const LIVE: &str = "10.0.0.1:8000";
const EJECTED: &str = "10.0.0.2:8000";

/// More than enough time for a probe to be due, and for one that got lost to make way.
const LONG: Duration = Duration::from_secs(120);

fn failed(request: u32) -> Input {
    let class = ResponseClass::Failed(Fault::Endpoint);
    Input::Responded {
        request: RequestId(request),
        start: ResponseStart { served_by: None, class },
    }
}

/// Two workers over two endpoints, the second of which fails until it is ejected.
fn with_an_ejected(detector: &Detector, flow: Option<FlowConfig>) -> Envoy {
    let mut envoy = Envoy::new(2, flow);
    envoy.config.scheduler.detector = detector.clone();
    [1, 2].into_iter().for_each(|worker| envoy.configure(worker));
    envoy.show(&[1, 2]);
    for request in 1_000.. {
        if envoy.workers[0].ejects(address(2)) {
            break;
        }
        if envoy.arrive(1, request).ends_with(EJECTED) {
            envoy.tell(1, failed(request));
        }
        envoy.tell(1, ended(request));
    }
    envoy
}

/// The places that a worker believes the pool to have, once it has read all that there is.
fn places(envoy: &mut Envoy, worker: u32) -> u32 {
    envoy.tell(worker, Input::Look);
    let worker = &envoy.workers[worker as usize - 1];
    match worker.capacity(envoy.now, envoy.store.ledger()) {
        Capacity::Serving(budget) => budget.places(1.0),
        Capacity::Unknown | Capacity::Empty => 0,
    }
}

/// The endpoints that a text tells of requests going to, with the request and the endpoint.
fn going(told: &str) -> Vec<(u32, String)> {
    let parts = told.split(['\n', ';']).filter_map(|part| part.split_once(" goes to "));
    let request = |who: &str| who.rsplit(' ').next().and_then(|word| word.parse().ok()).unwrap();
    parts.map(|(who, to)| (request(who), to.to_owned())).collect()
}

/// So many requests come to the two workers in turn; those that go at once, with their endpoints.
fn come(envoy: &mut Envoy, requests: std::ops::Range<u32>) -> Vec<(u32, String)> {
    let told = requests.map(|request| envoy.arrive(1 + request % 2, request));
    told.collect::<Vec<_>>().iter().flat_map(|told| going(told)).collect()
}

fn count(going: &[(u32, String)], to: &str) -> usize {
    going.iter().filter(|(_, endpoint)| endpoint == to).count()
}

/// Every detector, with the places that it gives one idle endpoint of unknown metrics.
fn detectors() -> Vec<(Detector, u32)> {
    let concurrency = |mode| Concurrency { max_requests: 4, mode, ..Concurrency::default() };
    let four = Detector::Concurrency(concurrency(ConcurrencyMode::Requests));
    let hybrid = Detector::Concurrency(concurrency(ConcurrencyMode::Hybrid));
    let five = Detector::Utilization(Utilization::default());
    let most = Detector::Max(vec![five.clone(), four.clone()]);
    vec![(four, 4), (hybrid, 4), (five, 5), (most, 4)]
}

#[test]
fn an_ejected_endpoint_adds_no_room_before_it_has_served() {
    for (detector, room) in detectors() {
        let mut envoy = with_an_ejected(&detector, Some(flow()));
        for _ in 0..3 {
            assert_eq!([1, 2].map(|worker| places(&mut envoy, worker)), [room; 2], "{detector:?}");
            envoy.pass(LONG);
        }
        let gone = come(&mut envoy, 0..20);
        let found = [LIVE, EJECTED].map(|endpoint| count(&gone, endpoint));
        assert_eq!(found, [room as usize - 1, 1], "{detector:?}: one probe, of all workers");
        assert_eq!(going(&envoy.hear_all()), []);
        let probe = gone.iter().find(|(_, to)| to == EJECTED).unwrap().0;
        let worker = 1 + probe % 2;
        envoy.tell(worker, failed(probe));
        envoy.tell(worker, ended(probe));
        let next = going(&envoy.hear_all());
        assert_eq!(count(&next, LIVE), 1, "{detector:?}: on the place of a probe that failed");
        assert_eq!((next.len(), envoy.in_flight()), (1, room.into()), "{detector:?}");
    }
}

/// No tick is needed: what waits goes as soon as the arbiter hears that the endpoint serves again.
#[test]
fn an_endpoint_that_has_served_again_adds_its_room_at_once() {
    for (detector, room) in detectors() {
        let mut envoy = with_an_ejected(&detector, Some(flow()));
        envoy.pass(LONG);
        let gone = come(&mut envoy, 0..20);
        let probe = gone.iter().find(|(_, to)| to == EJECTED).unwrap().0;
        envoy.hear_all();
        envoy.tell(1 + probe % 2, began(probe, None));
        let all = gone.len() + going(&envoy.hear_all()).len();
        assert_eq!(all, 2 * room as usize, "{detector:?}");
    }
}

/// Whatever turn it is in which the arbiter reads of it: the word that woke it may have come before.
#[test]
fn an_arbiter_that_learns_of_it_in_another_turn_looks_at_its_queues() {
    let (detector, room) = detectors().remove(0);
    let mut envoy = with_an_ejected(&detector, Some(flow()));
    envoy.pass(LONG);
    // The first to wait is the arbiter: here at the worker that does not send the probe.
    let gone = come(&mut envoy, 0..room);
    let probe = gone.iter().find(|(_, to)| to == EJECTED).unwrap().0;
    let (prober, arbiter) = (1 + probe % 2, 2 - probe % 2);
    for request in (100..116).filter(|request| 1 + request % 2 == arbiter) {
        envoy.arrive(arbiter, request);
    }
    envoy.hear_all();
    envoy.tell(prober, began(probe, None));
    envoy.lose_all();
    envoy.tell(arbiter, Input::Look);
    assert_eq!(going(&envoy.hear_all()).len(), room as usize, "as many as it adds");
}

#[test]
fn one_probe_at_a_time_and_one_that_got_lost_makes_way() {
    let (detector, _) = detectors().remove(0);
    let mut envoy = with_an_ejected(&detector, None);
    envoy.pass(Duration::from_secs(3));
    assert_eq!(count(&come(&mut envoy, 0..40), EJECTED), 1);
    envoy.pass(Duration::from_secs(6));
    assert_eq!(count(&come(&mut envoy, 100..140), EJECTED), 0, "it may still be answered");
    envoy.pass(Duration::from_secs(6));
    assert_eq!(count(&come(&mut envoy, 200..240), EJECTED), 1, "it makes way, and for one again");
}

/// Without flow control nothing waits, and requests of negative priority are shed in a full pool.
#[test]
fn what_is_ejected_keeps_no_low_request_from_being_shed() {
    for (detector, room) in detectors() {
        let mut envoy = with_an_ejected(&detector, None);
        envoy.pass(LONG);
        assert_eq!(come(&mut envoy, 0..room + 1).len(), room as usize + 1);
        envoy.priority = Priority(-1);
        assert!(envoy.arrive(1, 99).ends_with("is shed"), "{detector:?}");
    }
}

/// A ceiling is a share of what the others take.
#[test]
fn a_ceiling_is_a_share_of_the_room_without_the_ejected() {
    let half = UsageLimitPolicy::Static { threshold: 0.5 };
    let (detector, room) = detectors().remove(0);
    let mut envoy = with_an_ejected(&detector, Some(FlowConfig { usage_limit: half, ..flow() }));
    envoy.pass(LONG);
    let gone = come(&mut envoy, 0..20);
    assert_eq!(gone.len(), room as usize / 2, "{gone:?}");
}

/// Where more than half fail, they are not at fault, or nobody could carry the load: all of them are chosen, and all add room.
#[test]
fn more_than_half_add_their_room() {
    let (detector, room) = detectors().remove(0);
    let mut envoy = with_an_ejected(&detector, Some(flow()));
    for request in 2_000.. {
        if envoy.workers[0].ejects(address(1)) {
            break;
        }
        if envoy.arrive(1, request).ends_with(LIVE) {
            envoy.tell(1, failed(request));
        }
        envoy.tell(1, ended(request));
    }
    assert_eq!([1, 2].map(|worker| places(&mut envoy, worker)), [2 * room; 2]);
}
