//! Stories: a script of what happens in, a transcript of what is decided out.

use std::{collections::BTreeMap, num::NonZeroU16};

use picker_core::{
    flow::{
        BandConfig, BandSelectionPolicy, Controller, Domain, FairnessId, FairnessPolicy,
        FairnessWeight, Floors, FlowConfig, FlowKey, FlowSize, Holdback, Limits, Offer,
        OrderingPolicy, Outcome, PhaseKind, Priority, Share, Ticket, TicketId, TokenCost, Ttl,
        UsageLimitPolicy,
    },
    saturation::{Budget, Concurrency, Detector, Load},
};

use crate::ticket::{at, ms, serving, ticket};

/// Tells a story to a controller with bands 10, 0 and -1.
#[track_caller]
fn tell(config: FlowConfig, script: &str) -> String {
    let mut controller = Controller::new(config, serving());
    controller.provision(at(0), &[Priority(10), Priority(-1)]);
    let lines = script.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.map(|line| format!("{line} => {}\n", happen(&mut controller, line))).collect()
}

/// Returns the single place that knows the controller's API. One line of script is one of
/// `<ms> offer|hand-in <id> <flow>@<priority> [bytes=] [tokens=] [output=] [ttl=] [slo=]`, `<ms> room <n>`,
/// `<ms> load <in flight>` (of 10), `<ms> tick`, `<ms> empty`, `<ms> cancel <id>` and
/// `<ms> charge <flow>@<priority> <tokens> [of <expected>]`.
fn happen(controller: &mut Controller, line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    let now = at(words[0].parse().unwrap());
    let kind = |empty| if empty { PhaseKind::Empty } else { PhaseKind::Serving };
    match words[1] {
        "offer" => offered(&controller.offer(now, read(&words))),
        "hand-in" => {
            controller.hand_in(now, read(&words));
            format!("{} wait", controller.waiting().requests)
        }
        "room" => granted(controller, words[0], Budget::for_requests(words[2].parse().unwrap())),
        "load" => {
            let detector = Concurrency { max_requests: 10, ..Concurrency::default() };
            let load = Load { in_flight: words[2].parse().unwrap(), ..Load::default() };
            granted(controller, words[0], Detector::Concurrency(detector).room(&[load]))
        }
        "tick" | "empty" => list({
            let mut phase = controller.phase();
            phase.see(kind(words[1] == "empty"), now);
            controller
                .expire(now, phase)
                .map(|(id, outcome)| format!("{} {}", id.request, said(outcome)))
        }),
        "cancel" => {
            let id = TicketId { worker: 0, request: words[2].parse().unwrap() };
            controller.cancel(now, id).to_string()
        }
        "charge" => {
            let expected = words.get(5).map_or(0, |expected| expected.parse().unwrap());
            controller.charge(&key(words[2]), words[3].parse().unwrap(), expected);
            "charged".to_owned()
        }
        other => panic!("unknown verb {other:?}"),
    }
}

fn granted(controller: &mut Controller, now: &str, mut room: Budget) -> String {
    let now = at(now.parse().unwrap());
    let grants = std::iter::from_fn(|| controller.dispatch(now, &mut room));
    list(grants.map(|ticket| format!("{}", ticket.id.request)))
}

fn list(items: impl Iterator<Item = String>) -> String {
    let items: Vec<String> = items.collect();
    if items.is_empty() { "-".to_owned() } else { items.join(", ") }
}

fn offered(offer: &Offer) -> String {
    match offer {
        Offer::Queued => "queued".to_owned(),
        Offer::Displaced(ids) => {
            format!("displaced {}", list(ids.iter().map(|id| id.request.to_string())))
        }
        Offer::Rejected(rejection) => said(rejection.outcome),
    }
}

fn said(outcome: Outcome) -> String {
    let refusal = outcome.refusal().unwrap();
    format!("{} {} {}", outcome.label(), refusal.status, refusal.reason)
}

fn key(word: &str) -> FlowKey {
    let (id, priority) = word.split_once('@').unwrap();
    FlowKey { id: FairnessId::new(id), priority: Priority(priority.parse().unwrap()) }
}

fn read(words: &[&str]) -> Ticket {
    let FlowKey { id, priority } = key(words[3]);
    let mut ticket =
        ticket(words[2].parse().unwrap(), id.as_str(), priority.0, words[0].parse().unwrap());
    for (name, value) in words[4..].iter().map(|word| word.split_once('=').unwrap()) {
        let value: u64 = value.parse().unwrap();
        match name {
            "bytes" => ticket.bytes = value,
            "tokens" => {
                ticket.uncached_tokens = u32::try_from(value).unwrap();
            }
            "output" => ticket.output_tokens = u32::try_from(value).unwrap(),
            "ttl" => ticket.ttl = Some(ms(value)),
            "slo" => ticket.slo_ttft = Some(ms(value)),
            "arrived" => ticket.arrived = at(value),
            other => panic!("unknown wish {other:?}"),
        }
    }
    ticket
}

fn with_fairness(fairness: FairnessPolicy) -> FlowConfig {
    FlowConfig {
        default_band: BandConfig { fairness, ..BandConfig::default() },
        ..FlowConfig::default()
    }
}

fn with_ordering(ordering: OrderingPolicy) -> FlowConfig {
    FlowConfig {
        default_band: BandConfig { ordering, ..BandConfig::default() },
        ..FlowConfig::default()
    }
}

fn with_floors(share: f64) -> FlowConfig {
    let floors = Floors { default: Share::clamped(share), ..Floors::default() };
    FlowConfig { band_selection: BandSelectionPolicy::Weighted(floors), ..FlowConfig::default() }
}

#[test]
fn the_higher_band_goes_first_and_each_in_order_of_arrival() {
    insta::assert_snapshot!(tell(FlowConfig::default(), "
        0 offer 1 a@0
        1 offer 2 b@10
        2 offer 3 a@10
        3 offer 4 a@-1
        4 room 2
        5 room 9
        6 room 9
    "), @"
    0 offer 1 a@0 => queued
    1 offer 2 b@10 => queued
    2 offer 3 a@10 => queued
    3 offer 4 a@-1 => queued
    4 room 2 => 2, 3
    5 room 9 => 1, 4
    6 room 9 => -
    ");
}

#[test]
fn a_priority_without_band_is_served_as_zero() {
    insta::assert_snapshot!(tell(FlowConfig::default(), "
        0 offer 1 a@7
        1 offer 2 a@10
        2 offer 3 a@0
        3 room 9
    "), @"
    0 offer 1 a@7 => queued
    1 offer 2 a@10 => queued
    2 offer 3 a@0 => queued
    3 room 9 => 2, 1, 3
    ");
}

#[test]
fn a_full_band_turns_newcomers_away() {
    let limits = Limits { max_requests: Some(2), max_bytes: Some(10) };
    let config = FlowConfig {
        default_band: BandConfig { limits, ..BandConfig::default() },
        ..FlowConfig::default()
    };
    insta::assert_snapshot!(tell(config, "
        0 offer 1 a@0 bytes=9
        1 offer 2 a@0 bytes=2
        2 offer 3 a@0 bytes=1
        3 offer 4 a@0 bytes=0
        4 offer 5 a@10 bytes=10
        5 empty
        6 offer 6 a@0
        7 hand-in 7 a@0 arrived=1
    "), @"
    0 offer 1 a@0 bytes=9 => queued
    1 offer 2 a@0 bytes=2 => RejectedCapacity 429 rejected-saturated
    2 offer 3 a@0 bytes=1 => queued
    3 offer 4 a@0 bytes=0 => RejectedCapacity 429 rejected-saturated
    4 offer 5 a@10 bytes=10 => queued
    5 empty => -
    6 offer 6 a@0 => RejectedNoEndpoints 503 rejected-no-endpoints
    7 hand-in 7 a@0 arrived=1 => 4 wait
    ");
}

#[test]
fn a_full_whole_makes_room_for_a_higher_band() {
    let limits = Limits { max_requests: Some(3), max_bytes: None };
    let config = FlowConfig { limits, displace: true, ..FlowConfig::default() };
    insta::assert_snapshot!(tell(config, "
        0 offer 1 a@0
        1 offer 2 a@-1
        2 offer 3 b@-1
        3 offer 4 a@-1
        4 offer 5 a@10
        5 offer 6 a@0
        6 offer 7 a@0
        7 offer 8 a@10
        8 room 9
    "), @"
    0 offer 1 a@0 => queued
    1 offer 2 a@-1 => queued
    2 offer 3 b@-1 => queued
    3 offer 4 a@-1 => RejectedCapacity 429 rejected-saturated
    4 offer 5 a@10 => displaced 3
    5 offer 6 a@0 => displaced 2
    6 offer 7 a@0 => RejectedCapacity 429 rejected-saturated
    7 offer 8 a@10 => displaced 6
    8 room 9 => 5, 8, 1
    ");
}

#[test]
fn bytes_displace_as_many_as_it_takes_or_nobody() {
    let limits = Limits { max_requests: None, max_bytes: Some(10) };
    let config = FlowConfig { limits, displace: true, ..FlowConfig::default() };
    insta::assert_snapshot!(tell(config, "
        0 offer 1 a@0 bytes=4
        1 offer 2 a@-1 bytes=3
        2 offer 3 a@-1 bytes=3
        3 offer 4 a@0 bytes=7
        4 offer 5 a@0 bytes=6
        5 room 9
    "), @"
    0 offer 1 a@0 bytes=4 => queued
    1 offer 2 a@-1 bytes=3 => queued
    2 offer 3 a@-1 bytes=3 => queued
    3 offer 4 a@0 bytes=7 => RejectedCapacity 429 rejected-saturated
    4 offer 5 a@0 bytes=6 => displaced 3, 2
    5 room 9 => 1, 5
    ");
}

#[test]
fn waiting_ends_with_the_time_to_live() {
    insta::assert_snapshot!(tell(FlowConfig::default(), "
        0     offer 1 a@0
        0     offer 2 a@0 ttl=5000
        0     offer 3 a@0 ttl=90000
        4999  tick
        5000  tick
        59999 tick
        60000 tick
    "), @"
    0     offer 1 a@0 => queued
    0     offer 2 a@0 ttl=5000 => queued
    0     offer 3 a@0 ttl=90000 => queued
    4999  tick => -
    5000  tick => 2 EvictedTTL 429 rejected-ttl-expired
    59999 tick => -
    60000 tick => 1 EvictedTTL 429 rejected-ttl-expired, 3 EvictedTTL 429 rejected-ttl-expired
    ");
}

#[test]
fn an_empty_pool_is_waited_for() {
    let config = FlowConfig {
        default_ttl: Ttl::Within(ms(100)),
        no_endpoint_ttl: Some(Ttl::Within(ms(1_000))),
        ..FlowConfig::default()
    };
    insta::assert_snapshot!(tell(config, "
        0    offer 1 a@0
        90   empty
        500  offer 2 a@0
        1080 offer 3 a@0
        1089 empty
        1090 empty
        1200 tick
        1299 tick
        1300 tick
        1400 tick
    "), @"
    0    offer 1 a@0 => queued
    90   empty => -
    500  offer 2 a@0 => queued
    1080 offer 3 a@0 => queued
    1089 empty => -
    1090 empty => 1 EvictedNoEndpoints 503 rejected-no-endpoints
    1200 tick => -
    1299 tick => -
    1300 tick => 2 EvictedTTL 429 rejected-ttl-expired, 3 EvictedTTL 429 rejected-ttl-expired
    1400 tick => -
    ");
}

#[test]
fn an_arbiter_that_takes_over_keeps_order_and_deadlines() {
    insta::assert_snapshot!(tell(FlowConfig::default(), "
        9000  hand-in 3 a@0 arrived=3000
        9000  hand-in 1 b@0 arrived=1000
        9000  hand-in 2 a@0 arrived=2000
        9000  hand-in 2 a@0 arrived=2000
        9001  room 1
        62000 tick
        62000 room 9
    "), @"
    9000  hand-in 3 a@0 arrived=3000 => 1 wait
    9000  hand-in 1 b@0 arrived=1000 => 2 wait
    9000  hand-in 2 a@0 arrived=2000 => 3 wait
    9000  hand-in 2 a@0 arrived=2000 => 3 wait
    9001  room 1 => 1
    62000 tick => 2 EvictedTTL 429 rejected-ttl-expired
    62000 room 9 => 3
    ");
}

#[test]
fn a_ticket_offered_twice_waits_once() {
    insta::assert_snapshot!(tell(FlowConfig::default(), "
        0 offer 1 a@0
        1 offer 1 a@0
        2 room 9
    "), @"
    0 offer 1 a@0 => queued
    1 offer 1 a@0 => queued
    2 room 9 => 1
    ");
}

#[test]
fn a_client_that_left_is_forgotten() {
    insta::assert_snapshot!(tell(FlowConfig::default(), "
        0 offer 1 a@0
        0 offer 2 a@0
        1 cancel 1
        2 cancel 1
        3 room 9
        4 cancel 2
    "), @"
    0 offer 1 a@0 => queued
    0 offer 2 a@0 => queued
    1 cancel 1 => true
    2 cancel 1 => false
    3 room 9 => 2
    4 cancel 2 => false
    ");
}

#[test]
fn earliest_deadline_first() {
    insta::assert_snapshot!(tell(with_ordering(OrderingPolicy::Edf), "
        0 offer 1 a@0
        1 offer 2 a@0 ttl=500
        2 offer 3 b@0 ttl=400
        3 room 9
    "), @"
    0 offer 1 a@0 => queued
    1 offer 2 a@0 ttl=500 => queued
    2 offer 3 b@0 ttl=400 => queued
    3 room 9 => 3, 2, 1
    ");
}

#[test]
fn earliest_first_token_promised_first() {
    insta::assert_snapshot!(tell(with_ordering(OrderingPolicy::SloDeadline), "
        0 offer 1 a@0
        1 offer 2 a@0 slo=500
        2 offer 3 b@0 slo=400
        3 offer 4 b@0
        4 room 9
    "), @"
    0 offer 1 a@0 => queued
    1 offer 2 a@0 slo=500 => queued
    2 offer 3 b@0 slo=400 => queued
    3 offer 4 b@0 => queued
    4 room 9 => 3, 2, 1, 4
    ");
}

#[test]
fn round_robin_outlives_the_flow_it_stood_on() {
    insta::assert_snapshot!(tell(with_fairness(FairnessPolicy::RoundRobin), "
        0 offer 10 a@0
        0 offer 11 a@0
        0 offer 12 a@0
        0 offer 20 b@0
        0 offer 30 c@0
        0 offer 31 c@0
        1 room 2
        2 offer 21 b@0
        3 room 2
        4 cancel 31
        5 room 9
    "), @"
    0 offer 10 a@0 => queued
    0 offer 11 a@0 => queued
    0 offer 12 a@0 => queued
    0 offer 20 b@0 => queued
    0 offer 30 c@0 => queued
    0 offer 31 c@0 => queued
    1 room 2 => 10, 20
    2 offer 21 b@0 => queued
    3 room 2 => 30, 11
    4 cancel 31 => true
    5 room 9 => 21, 12
    ");
}

#[test]
fn tokens_are_shared_by_weight() {
    let weight = FairnessWeight(NonZeroU16::new(2).unwrap());
    let weights = BTreeMap::from([(FairnessId::new("big"), weight)]);
    let cost = TokenCost { weights, ..TokenCost::default() };
    insta::assert_snapshot!(tell(with_fairness(FairnessPolicy::TokenFair(cost)), "
        0 offer 10 big@0 tokens=100
        0 offer 11 big@0 tokens=100
        0 offer 12 big@0 tokens=100
        0 offer 13 big@0 tokens=100
        0 offer 20 small@0 tokens=100
        0 offer 21 small@0 tokens=100
        0 offer 22 small@0 tokens=100
        1 room 6
        2 charge small@0 1000
        2 offer 14 big@0 tokens=100
        3 room 9
    "), @"
    0 offer 10 big@0 tokens=100 => queued
    0 offer 11 big@0 tokens=100 => queued
    0 offer 12 big@0 tokens=100 => queued
    0 offer 13 big@0 tokens=100 => queued
    0 offer 20 small@0 tokens=100 => queued
    0 offer 21 small@0 tokens=100 => queued
    0 offer 22 small@0 tokens=100 => queued
    1 room 6 => 10, 20, 11, 21, 12, 13
    2 charge small@0 1000 => charged
    2 offer 14 big@0 tokens=100 => queued
    3 room 9 => 22, 14
    ");
}

/// Long answers are a debt from their start, so that their tenant does not take all places before the first of them is
/// over. What they were not in truth is given back.
#[test]
fn the_answers_to_come_count_from_their_start() {
    let policy = FairnessPolicy::TokenFair(TokenCost::default());
    insta::assert_snapshot!(tell(with_fairness(policy), "
        0 offer 10 long@0 tokens=10 output=1000
        0 offer 11 long@0 tokens=10 output=1000
        0 offer 12 long@0 tokens=10 output=1000
        0 offer 20 short@0 tokens=100 output=50
        0 offer 21 short@0 tokens=100 output=50
        0 offer 22 short@0 tokens=100 output=50
        0 offer 23 short@0 tokens=100 output=50
        1 room 4
        2 charge long@0 20 of 1000
        3 room 2
    "), @"
    0 offer 10 long@0 tokens=10 output=1000 => queued
    0 offer 11 long@0 tokens=10 output=1000 => queued
    0 offer 12 long@0 tokens=10 output=1000 => queued
    0 offer 20 short@0 tokens=100 output=50 => queued
    0 offer 21 short@0 tokens=100 output=50 => queued
    0 offer 22 short@0 tokens=100 output=50 => queued
    0 offer 23 short@0 tokens=100 output=50 => queued
    1 room 4 => 10, 20, 21, 22
    2 charge long@0 20 of 1000 => charged
    3 room 2 => 11, 23
    ");
}

#[test]
fn idleness_saves_up_no_tokens() {
    let policy = FairnessPolicy::TokenFair(TokenCost::default());
    insta::assert_snapshot!(tell(with_fairness(policy), "
        0 offer 10 busy@0 tokens=1000
        0 offer 11 busy@0 tokens=1000
        0 offer 12 busy@0 tokens=1000
        0 offer 13 busy@0 tokens=1000
        1 room 2
        2 offer 20 late@0 tokens=1000
        2 offer 21 late@0 tokens=1000
        2 offer 22 late@0 tokens=1000
        3 room 9
    "), @"
    0 offer 10 busy@0 tokens=1000 => queued
    0 offer 11 busy@0 tokens=1000 => queued
    0 offer 12 busy@0 tokens=1000 => queued
    0 offer 13 busy@0 tokens=1000 => queued
    1 room 2 => 10, 11
    2 offer 20 late@0 tokens=1000 => queued
    2 offer 21 late@0 tokens=1000 => queued
    2 offer 22 late@0 tokens=1000 => queued
    3 room 9 => 12, 20, 13, 21, 22
    ");
}

#[test]
fn a_band_stops_at_its_ceiling() {
    let holdback = Holdback::spread(Domain::Rank, 0.4, 1.0).unwrap();
    let config = FlowConfig {
        usage_limit: UsageLimitPolicy::PriorityHoldback(holdback),
        ..FlowConfig::default()
    };
    insta::assert_snapshot!(tell(config, "
        0 offer 1 a@-1
        0 offer 2 a@-1
        0 offer 3 a@0
        1 load 4
        2 load 7
        3 offer 4 a@10
        3 offer 5 a@10
        4 load 9
        5 load 3
    "), @"
    0 offer 1 a@-1 => queued
    0 offer 2 a@-1 => queued
    0 offer 3 a@0 => queued
    1 load 4 => 3
    2 load 7 => -
    3 offer 4 a@10 => queued
    3 offer 5 a@10 => queued
    4 load 9 => 4
    5 load 3 => 5
    ");
}

#[test]
fn a_floor_keeps_the_lowest_band_alive() {
    insta::assert_snapshot!(tell(with_floors(0.25), "
        0 offer 1 a@10
        0 offer 2 a@10
        0 offer 3 a@10
        0 offer 4 a@10
        0 offer 5 a@10
        0 offer 6 a@10
        0 offer 7 a@10
        0 offer 91 a@0
        0 offer 92 a@0
        1 room 9
    "), @"
    0 offer 1 a@10 => queued
    0 offer 2 a@10 => queued
    0 offer 3 a@10 => queued
    0 offer 4 a@10 => queued
    0 offer 5 a@10 => queued
    0 offer 6 a@10 => queued
    0 offer 7 a@10 => queued
    0 offer 91 a@0 => queued
    0 offer 92 a@0 => queued
    1 room 9 => 1, 2, 3, 91, 4, 5, 6, 92, 7
    ");
}

#[test]
fn a_floor_is_not_saved_up_by_a_band_that_leaves() {
    insta::assert_snapshot!(tell(with_floors(0.25), "
        0 offer 1 a@10
        0 offer 2 a@10
        0 offer 3 a@10
        0 offer 4 a@10
        0 offer 5 a@10
        0 offer 91 a@0
        1 room 3
        2 cancel 91
        3 offer 92 a@0
        4 room 9
    "), @"
    0 offer 1 a@10 => queued
    0 offer 2 a@10 => queued
    0 offer 3 a@10 => queued
    0 offer 4 a@10 => queued
    0 offer 5 a@10 => queued
    0 offer 91 a@0 => queued
    1 room 3 => 1, 2, 3
    2 cancel 91 => true
    3 offer 92 a@0 => queued
    4 room 9 => 4, 5, 92
    ");
}

#[test]
fn metrics_name_so_many_flows_and_no_more() {
    let mut controller = Controller::new(FlowConfig::default(), serving());
    for (request, flow) in (0..).zip(["a", "b", "c", "c", "d"]) {
        let arrived = u64::from(request);
        let ticket = Ticket { arrived: at(arrived), ..ticket(request, flow, 0, 0) };
        assert_eq!(controller.offer(at(5), ticket), Offer::Queued);
    }
    let rows: String = controller
        .flow_sizes(2)
        .into_iter()
        .map(|FlowSize { flow, usage, oldest }| {
            let waited = at(5).saturating_since(oldest);
            let (requests, bytes) = (usage.requests, usage.bytes);
            format!("{}@{}: {requests} of {bytes} B, {waited:?}\n", flow.id, flow.priority)
        })
        .collect();
    insta::assert_snapshot!(rows, @"
    a@0: 1 of 1 B, 5ms
    b@0: 1 of 1 B, 4ms
    other@0: 3 of 3 B, 3ms
    ");
}

#[test]
fn names_are_the_epps_and_an_unknown_one_says_what_is_allowed() {
    for name in FairnessPolicy::NAMES {
        assert_eq!(name.parse::<FairnessPolicy>().unwrap().name(), *name);
    }
    for name in OrderingPolicy::NAMES {
        assert_eq!(name.parse::<OrderingPolicy>().unwrap().name(), *name);
    }
    for name in BandSelectionPolicy::NAMES {
        assert_eq!(name.parse::<BandSelectionPolicy>().unwrap().name(), *name);
    }
    insta::assert_snapshot!("best-head".parse::<FairnessPolicy>().unwrap_err(), @r#"unknown fairness policy "best-head": allowed are global-strict-fairness-policy, round-robin-fairness-policy, token-fair-fairness-policy"#);
}
