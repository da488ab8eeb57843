//! Several gateways as one: two Envoys, and the exchange that the scraper runs between them.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic, and says where it was"
)]

use std::time::Duration;

use picker_core::{
    Instant,
    exchange::{EXPIRES_AFTER, EndpointUse, ExchangeHub, GatewayId, GatewayPart, GatewayReport},
};
use wire::{
    exchange::{self, PART_HEADER, PART_SIGNATURE_HEADER, SignedPart, decode_report, encode_part},
    push::{Secret, Stamp},
    reply::{self, Reply},
};

use serde_json::{Value, json};

use super::{
    push::{Pod, SECRET},
    world::{Way, World, about, builder},
};

/// Between two pushes.
const INTERVAL: Duration = Duration::from_millis(50);

/// Two gateways with a scraper's exchange between them.
struct Region {
    gateways: [World; 2],
    hub: ExchangeHub,
    pods: Vec<Pod>,
}

/// A push with a part, all of which can be wrong.
struct Parcel {
    stamp: Stamp,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

/// What a gateway answers.
struct Answer {
    status: u16,
    report: Option<GatewayReport>,
}

fn now(world: &World) -> Instant {
    Instant::from_nanos(u64::try_from(world.envoy.now().as_nanos()).unwrap())
}

/// A push of these pods with these bytes behind it, sealed for a gateway with this secret.
fn parcel(world: &World, pods: &[Pod], part: Option<(&[u8], GatewayId, &str)>) -> Parcel {
    let push = world.push(pods);
    let stamp = Stamp { time_ms: push.time, sequence: push.sequence };
    let mut headers = push.headers().to_vec();
    headers.push((exchange::EXCHANGE_HEADER, exchange::VERSION.to_owned()));
    let mut body = push.body;
    if let Some((bytes, GatewayId(gateway), secret)) = part {
        let part = SignedPart { stamp, gateway, body: bytes };
        let signature = part.sign(&Secret::new(secret.as_bytes()).unwrap());
        headers.push((PART_HEADER, bytes.len().to_string()));
        headers.push((PART_SIGNATURE_HEADER, signature));
        body.extend(bytes);
    }
    Parcel { stamp, headers, body }
}

/// Sends a parcel to the worker, and reads what comes back.
fn send(world: &World, worker: usize, parcel: &Parcel) -> Answer {
    let stream = world.ingest(worker, &parcel.headers, &parcel.body);
    let response = stream.response().unwrap();
    if response.headers.text("content-type") != Some(exchange::MEDIA_TYPE) {
        return Answer { status: response.status, report: None };
    }
    let header = |name| response.headers.text(name).unwrap().as_bytes();
    let gateway = reply::parse_gateway(header(reply::GATEWAY_HEADER)).unwrap();
    let secret = Secret::new(SECRET.as_bytes()).unwrap();
    let signature = header("x-llm-picker-signature");
    assert!(reply::is_signed(&secret, parcel.stamp, gateway, signature, &response.body));
    let report = decode_report(GatewayId(gateway), &response.body, now(world)).unwrap();
    Answer { status: response.status, report: Some(report) }
}

/// What a gateway reports to a push with this part.
fn told(world: &World, pods: &[Pod], part: Option<&GatewayPart>) -> GatewayReport {
    let bytes = part.map(|part| encode_part(part, now(world)).unwrap());
    let bytes = bytes.as_deref().zip(part).map(|(bytes, part)| (bytes, part.gateway, SECRET));
    send(world, 1, &parcel(world, pods, bytes)).report.unwrap()
}

fn refused(world: &World) -> u64 {
    world.counter("llm_picker_envoy_parts_refused_total")
}

impl Region {
    fn new(pods: u8) -> Self {
        Self::with(pods, &json!({}))
    }

    /// Two gateways with these keys of the plugin.
    fn with(pods: u8, keys: &Value) -> Self {
        // Of one seed they would have one name.
        let gateways =
            [1, 2].map(|seed| World::on(builder().seed(seed), Way::STOP_ITERATION_HEADER, keys));
        Self { gateways, hub: ExchangeHub::new(1), pods: Pod::idles(pods) }
    }

    /// One interval: each gateway gets its part with a push, and its report is taken.
    fn tick(&mut self) {
        for place in 0..2 {
            let report = self.tell(place);
            assert_eq!(self.hub.report(now(&self.gateways[place]), report), Ok(()));
        }
        self.gateways.iter().for_each(|world| world.envoy.run_for(INTERVAL));
    }

    /// Sends a gateway its part. Returns its report, which the hub does not have yet.
    fn tell(&mut self, place: usize) -> GatewayReport {
        let world = &self.gateways[place];
        // What it reports to a push without a part has its name.
        let id = told(world, &self.pods, None).gateway;
        // Reports are numbered by the clock.
        world.envoy.run_for(Duration::from_millis(1));
        let part = self.hub.part(now(world), id);
        told(world, &self.pods, (part.gateway == id).then_some(&part))
    }
}

/// Sends a request to the end. Returns the pod that it went to, and its decision.
fn ask(world: &World, worker: usize, prompt: &str) -> (Pod, String) {
    let stream = world.chat(worker, prompt);
    let pod = world.pod(&stream);
    (pod, World::decision(&stream))
}

fn hit(decision: &str) -> f64 {
    let hit = decision.split(';').find_map(|part| part.strip_prefix("prefix-hit="));
    hit.unwrap_or_else(|| panic!("no prefix-hit in {decision}")).parse().unwrap()
}

const TOPICS: [&str; 6] = ["rivers", "stars", "bread", "glass", "wool", "rain"];

#[test]
fn a_prompt_that_one_gateway_placed_finds_its_pod_at_the_other() {
    let mut region = Region::new(5);
    region.tick();
    region.tick();
    let placed = TOPICS.map(|topic| ask(&region.gateways[0], 0, &about(topic)).0);
    region.tick();
    region.tick();
    for (worker, (topic, pod)) in TOPICS.iter().zip(placed).enumerate() {
        let (found, decision) = ask(&region.gateways[1], worker % 4, &about(topic));
        assert_eq!(found, pod, "{topic}: {decision}");
        assert!(hit(&decision) > 0.9, "{topic}: {decision}");
    }
    region.gateways.iter().for_each(World::is_well);
}

#[test]
fn what_others_told_is_not_told_back() {
    let mut region = Region::new(2);
    region.tick();
    region.tick();
    ask(&region.gateways[0], 0, &about("rivers"));
    region.tick();
    region.tick();
    region.tick();
    let events: Vec<u64> =
        region.hub.statuses(now(&region.gateways[0])).map(|it| it.events).collect();
    assert_eq!(events.iter().filter(|told| **told > 0).count(), 1, "{events:?}");
}

#[test]
fn a_lost_reply_is_made_up_for_by_the_next() {
    let mut region = Region::new(3);
    region.tick();
    region.tick();
    let (pod, _) = ask(&region.gateways[0], 0, &about("rivers"));
    let lost = region.tell(0);
    assert!(!lost.events.events.is_empty());
    let again = region.tell(0);
    assert_eq!(again.events, lost.events, "nothing is taken for told that may not have come");
    region.tick();
    region.tick();
    let (found, decision) = ask(&region.gateways[1], 2, &about("rivers"));
    assert_eq!(found, pod);
    assert!(hit(&decision) > 0.9, "{decision}");
    let next = region.tell(0);
    assert!(next.events.events.iter().all(|event| !lost.events.events.contains(event)));
}

#[test]
fn a_report_that_comes_twice_or_late_changes_nothing() {
    let mut region = Region::new(3);
    region.tick();
    region.tick();
    ask(&region.gateways[0], 0, &about("rivers"));
    let (early, late) = (region.tell(0), region.tell(0));
    let now = now(&region.gateways[0]);
    assert_eq!(region.hub.report(now, late.clone()), Ok(()));
    let before = region.hub.part(now, late.gateway).next_event;
    assert!(
        region.hub.report(now, early).is_err() && region.hub.report(now, late.clone()).is_err()
    );
    assert_eq!(region.hub.part(now, late.gateway).next_event, before);
}

/// A part for the gateway that says that the first pod is swamped by requests of others.
fn swamped(gateway: GatewayId, number: u64) -> GatewayPart {
    let endpoint = Pod::idle(1).endpoint().address.into();
    let busy_for = Duration::from_secs(20);
    let endpoints = vec![EndpointUse { endpoint, requests: 90, tokens: 900_000, busy_for }];
    let gateways = vec![gateway];
    GatewayPart { gateway, epoch: 9, number, endpoints, gateways, ..GatewayPart::default() }
}

/// How many of so many requests to different topics go to the first pod.
fn to_the_first(world: &World, requests: usize) -> usize {
    let asked = (0..requests).map(|number| ask(world, number % 4, &format!("topic {number}")).0);
    asked.filter(|pod| pod.number == 1).count()
}

#[test]
fn others_requests_count_until_they_expire() {
    let world = World::new();
    let pods = Pod::idles(2);
    let id = told(&world, &pods, None).gateway;
    let taken = told(&world, &pods, Some(&swamped(id, 1)));
    assert_eq!((taken.epoch, taken.taken), (9, 1));
    assert_eq!(to_the_first(&world, 10), 0);
    // The scraper is gone: what it said last must not starve a pod.
    world.envoy.run_for(EXPIRES_AFTER + INTERVAL);
    assert!(to_the_first(&world, 20) > 3);
    world.is_well();
}

#[test]
fn a_part_that_is_not_this_gateways_is_passed_over_and_the_snapshot_counts() {
    let world = World::new();
    let pods = Pod::idles(2);
    let id = told(&world, &pods, None).gateway;
    let other = GatewayId(id.0 ^ 1);
    let bytes = |part: &GatewayPart| encode_part(part, now(&world)).unwrap();
    let good = bytes(&swamped(id, 1));
    let newer = [&good[..3], &[2], &good[4..]].concat();
    let nonsense = [&good[..9], b"nonsense"].concat();
    let forgeries: [(&str, &[u8], GatewayId, &str); 5] = [
        ("another secret", &good, id, "another key of thirty-two bytes"),
        ("sealed for another gateway", &good, other, SECRET),
        ("made for another gateway", &bytes(&swamped(other, 1)), id, SECRET),
        ("another version", &newer, id, SECRET),
        ("nonsense", &nonsense, id, SECRET),
    ];
    for (number, (name, bytes, gateway, secret)) in (1..).zip(forgeries) {
        let parcel = parcel(&world, &pods, Some((bytes, gateway, secret)));
        let answer = send(&world, 0, &parcel);
        assert_eq!(answer.status, 200, "{name}: the snapshot counts");
        assert_eq!(answer.report.unwrap().taken, 0, "{name}");
        assert_eq!(refused(&world), number, "{name}");
    }
    assert!(to_the_first(&world, 20) > 3, "nothing of it is believed");
    assert_eq!(told(&world, &pods, Some(&swamped(id, 1))).taken, 1, "the real one is");
    world.is_well();
}

#[test]
fn a_part_that_is_recorded_late_or_altered_is_refused() {
    let world = World::new();
    let pods = Pod::idles(2);
    let id = told(&world, &pods, None).gateway;
    let bytes = |number| encode_part(&swamped(id, number), now(&world)).unwrap();
    let (first, second) = (bytes(1), bytes(2));
    let recorded = parcel(&world, &pods, Some((&second, id, SECRET)));
    assert_eq!(send(&world, 0, &recorded).report.unwrap().taken, 2);
    assert_eq!(send(&world, 3, &recorded).status, 409, "the same push again");
    // Its part behind a newer snapshot: the seal is over another stamp.
    let fresh = parcel(&world, &pods, None);
    let mut headers = fresh.headers.clone();
    headers.extend(recorded.headers.iter().filter(|(name, _)| name.contains("part")).cloned());
    let body = [&*fresh.body, &second].concat();
    let spliced = Parcel { headers, body, ..fresh };
    assert_eq!(send(&world, 0, &spliced).report.unwrap().taken, 2);
    let late = parcel(&world, &pods, Some((&first, id, SECRET)));
    assert_eq!(send(&world, 0, &late).report.unwrap().taken, 2, "an earlier number");
    assert_eq!(refused(&world), 2);
    let mut altered = parcel(&world, &pods, Some((&bytes(3), id, SECRET)));
    *altered.body.last_mut().unwrap() ^= 1;
    assert_eq!(send(&world, 0, &altered).report.unwrap().taken, 2);
    let mut short = parcel(&world, &pods, Some((&bytes(3), id, SECRET)));
    short.body.pop();
    assert_eq!(send(&world, 0, &short).status, 401, "the snapshot's end is elsewhere");
    world.is_well();
}

#[test]
fn a_scraper_of_before_gets_no_report_and_everything_is_as_it_was() {
    let world = World::new();
    let push = world.push(&Pod::idles(2));
    let mut headers = push.headers().to_vec();
    assert_eq!(world.ingest(0, &headers, &push.body).status(), Some(204));
    let push = world.push(&Pod::idles(2));
    headers = push.headers().to_vec();
    headers.push((reply::REPLY_HEADER, reply::VERSION.to_owned()));
    let response = world.ingest(0, &headers, &push.body).response().unwrap();
    assert_eq!(Reply::decode(&response.body).unwrap().exchange, None);
    assert_eq!(refused(&world), 0);
}

#[test]
fn a_reply_and_a_report_come_together_if_both_are_asked_for() {
    let world = World::new();
    world.chat(0, "hello");
    let mut parcel = parcel(&world, &Pod::idles(2), None);
    parcel.headers.push((reply::REPLY_HEADER, reply::VERSION.to_owned()));
    let response = world.ingest(0, &parcel.headers, &parcel.body).response().unwrap();
    assert_eq!(response.headers.text("content-type"), Some(reply::MEDIA_TYPE));
    let reply = Reply::decode(&response.body).unwrap();
    let report = reply.exchange.unwrap();
    assert!(decode_report(GatewayId(1), &report, now(&world)).is_ok());
}

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

/// Makes a response of this name at a gateway, kept by the pod of this number.
fn make(world: &World, headers: &[(&str, &str)], name: &str, pod: u8) {
    let made = world.envoy.worker(0).post("/v1/responses", headers, br#"{"input":"hi"}"#);
    made.upstream_address(&format!("10.0.0.{pod}:8000"));
    made.respond(200, JSON, json!({"id": name}).to_string().as_bytes());
}

/// The pods that a request for a response of this name may reach.
fn keepers(world: &World, headers: &[(&str, &str)], name: &str) -> Vec<u8> {
    let stream = world.envoy.worker(3).get(&format!("/v1/responses/{name}"), headers);
    let list = world.destinations(&stream).unwrap();
    list.split(',').map(|address| Pod::at(address).number).collect()
}

#[test]
fn what_a_pod_keeps_is_found_through_the_other_gateway() {
    let mut region = Region::new(4);
    region.tick();
    region.tick();
    for pod in 1..=4 {
        make(&region.gateways[0], JSON, &format!("resp_{pod}"), pod);
    }
    assert_eq!(keepers(&region.gateways[1], &[], "resp_2").len(), 4, "not told yet");
    region.tick();
    region.tick();
    for pod in 1..=4 {
        let name = format!("resp_{pod}");
        let [made, other] = &region.gateways;
        assert_eq!(keepers(made, &[], &name), [pod]);
        assert_eq!(keepers(other, &[], &name), [pod]);
        let cancel = format!("/v1/responses/{name}/cancel");
        let cancel = other.envoy.worker(1).post(&cancel, JSON, b"");
        assert_eq!(other.destinations(&cancel).unwrap(), format!("10.0.0.{pod}:8000"));
    }
    // Told once, to the one that did not know.
    region.tick();
    region.tick();
    let told: Vec<u64> =
        region.hub.statuses(now(&region.gateways[0])).map(|it| it.events).collect();
    assert_eq!(told.iter().filter(|told| **told > 0).count(), 1, "{told:?}");
    region.gateways.iter().for_each(World::is_well);
}

#[test]
fn what_a_tenant_made_is_unknown_to_others_at_the_other_gateway_too() {
    let identity = json!({"fairnessHeaders": ["x-team"], "trusted": ["x-team"]});
    let mut region = Region::with(4, &json!({"identity": identity}));
    region.tick();
    region.tick();
    let team = |name| [("content-type", "application/json"), ("x-team", name)];
    make(&region.gateways[0], &team("a"), "resp_1", 3);
    region.tick();
    region.tick();
    let other = &region.gateways[1];
    assert_eq!(keepers(other, &team("a"), "resp_1"), [3]);
    assert_eq!(keepers(other, &team("b"), "resp_1").len(), 4);
    assert_eq!(keepers(other, &[], "resp_1").len(), 4);
    region.gateways.iter().for_each(World::is_well);
}
