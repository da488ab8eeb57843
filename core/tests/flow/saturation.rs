//! The detectors' formulas, and the law that their room never overshoots.

use arbtest::arbitrary::{Result, Unstructured};
use picker_core::{
    Roles,
    saturation::{Concurrency, ConcurrencyMode, Detector, Load, Staleness, Utilization},
};

use crate::{laws::law, ticket::ms};

fn fresh(waiting: u32, kv_usage: f64) -> Load {
    Load { waiting, running: 10, kv_usage, metrics_age: Some(ms(50)), ..Load::default() }
}

fn utilization(detector: Utilization, loads: &[Load]) -> String {
    let room = Detector::Utilization(detector).room(loads);
    format!("{:.3}, room for {}", room.saturation(), room.places(1.0))
}

#[test]
fn utilization_is_the_mean_of_the_worse_of_queue_and_cache() {
    let loads = [fresh(4, 0.2), fresh(0, 0.4)];
    insta::assert_snapshot!(utilization(Utilization::default(), &loads), @"0.650, room for 4");
    // The EPP's gate would let so many through before the next scrape.
    insta::assert_snapshot!(utilization(Utilization::parity(), &loads), @"0.650, room for 4294967295");
    insta::assert_snapshot!(utilization(Utilization::default(), &[]), @"1.000, room for 0");
}

#[test]
fn what_was_sent_since_the_scrape_counts_as_waiting() {
    let load = Load { in_flight: 13, ..fresh(1, 0.0) };
    insta::assert_snapshot!(utilization(Utilization::default(), &[load]), @"0.600, room for 2");
    insta::assert_snapshot!(utilization(Utilization::parity(), &[load]), @"0.200, room for 4294967295");
}

#[test]
fn a_cache_in_use_hides_an_empty_queue() {
    insta::assert_snapshot!(utilization(Utilization::default(), &[fresh(0, 0.72)]), @"0.900, room for 5");
    insta::assert_snapshot!(utilization(Utilization::default(), &[fresh(0, 0.8)]), @"1.000, room for 0");
}

#[test]
fn stale_metrics_leave_the_ledger() {
    let stale = |in_flight| Load { metrics_age: Some(ms(201)), in_flight, ..fresh(10, 0.9) };
    let policy = |staleness, loads: &[Load]| {
        utilization(Utilization { staleness, ..Utilization::default() }, loads)
    };
    insta::assert_snapshot!(policy(Staleness::Estimate, &[stale(20)]), @"2.000, room for 0");
    insta::assert_snapshot!(policy(Staleness::Estimate, &[stale(12)]), @"0.675, room for 2");
    insta::assert_snapshot!(policy(Staleness::Estimate, &[stale(0)]), @"0.000, room for 5");
    insta::assert_snapshot!(policy(Staleness::Saturated, &[stale(0), fresh(0, 0.0)]), @"0.500, room for 5");
    insta::assert_snapshot!(policy(Staleness::Ignore, &[stale(20), fresh(1, 0.0)]), @"0.200, room for 4");
    insta::assert_snapshot!(policy(Staleness::Ignore, &[stale(20)]), @"0.000, room for 4294967295");
}

#[test]
fn concurrency_counts_requests_tokens_or_the_worse() {
    let load =
        |in_flight, in_flight_tokens| Load { in_flight, in_flight_tokens, ..Load::default() };
    let loads = [load(90, 0), load(10, 900_000)];
    let room = |mode| {
        let detector = Concurrency { mode, ..Concurrency::default() };
        let room = Detector::Concurrency(detector).room(&loads);
        format!("{:.3}, room for {}", room.saturation(), room.places(1.0))
    };
    insta::assert_snapshot!(room(ConcurrencyMode::Requests), @"0.500, room for 100");
    insta::assert_snapshot!(room(ConcurrencyMode::Tokens), @"0.450, room for 1100000");
    insta::assert_snapshot!(room(ConcurrencyMode::Hybrid), @"0.900, room for 20");
}

#[test]
fn the_worst_of_several_counts() {
    let detectors = [
        Detector::Utilization(Utilization::default()),
        Detector::Concurrency(Concurrency { max_requests: 12, ..Concurrency::default() }),
    ];
    let load = Load { in_flight: 11, ..fresh(1, 0.0) };
    let room = Detector::Max(detectors.into()).room(&[load]);
    insta::assert_snapshot!(format!("{:.3} {}", room.saturation(), room.places(1.0)), @"0.917 1");
}

fn any_load(u: &mut Unstructured<'_>) -> Result<Load> {
    let in_flight = u.int_in_range(0..=15)?;
    Ok(Load {
        waiting: u.int_in_range(0..=6)?,
        running: u.int_in_range(0..=8)?,
        kv_usage: f64::from(u.int_in_range(0..=100)?) / 100.0,
        metrics_age: *u.choose(&[None, Some(ms(0)), Some(ms(500))])?,
        in_flight,
        sent_since: u.int_in_range(0..=in_flight)?,
        in_flight_tokens: u.int_in_range(0..=10_000)?,
        kv_to_come: f64::from(u.int_in_range(0..=150)?) / 100.0,
        busy_for: 0.0,
        limit: None,
        roles: Roles::default(),
    })
}

fn any_detector(u: &mut Unstructured<'_>) -> Result<Detector> {
    let modes = [ConcurrencyMode::Requests, ConcurrencyMode::Tokens, ConcurrencyMode::Hybrid];
    let concurrency = |u: &mut Unstructured<'_>| -> Result<Detector> {
        let (max_requests, max_tokens) = (u.int_in_range(1..=40)?, u.int_in_range(1..=20_000)?);
        let mode = *u.choose(&modes)?;
        Ok(Detector::Concurrency(Concurrency { max_requests, max_tokens, mode, headroom: 0.0 }))
    };
    let utilization = Detector::Utilization(Utilization {
        queue_depth: u.int_in_range(1..=8)?,
        ..Utilization::default()
    });
    Ok(match u.int_in_range(0..=2)? {
        0 => utilization,
        1 => concurrency(u)?,
        _ => Detector::Max(vec![utilization, concurrency(u)?]),
    })
}

/// The pool as measured after requests went wherever a budget lets them, with them in the ledger,
/// is never more saturated than the budget said.
#[test]
fn a_room_is_never_too_large() {
    law(|u| {
        let detector = any_detector(u)?;
        let mut loads = Vec::new();
        for _ in 0..u.int_in_range(1..=4)? {
            loads.push(any_load(u)?);
        }
        let roles = ["decode", "prefill", "both", "encode"].map(|it| Roles::from_label(Some(it)));
        let [decodes, prefills, ..] = roles;
        let in_stages = u.arbitrary()?;
        for load in loads.iter_mut().filter(|_| in_stages) {
            load.roles = *u.choose(&roles)?;
        }
        let mut room =
            if in_stages { detector.room_in_stages(&loads) } else { detector.room(&loads) };
        for sent in 0.. {
            let places = room.places(1.0);
            assert_eq!(places > 0, room.saturation() < 1.0, "after {sent}");
            if places == 0 || u.is_empty() {
                break;
            }
            let (index, tokens) = (u.choose_index(loads.len())?, u.int_in_range(1..=500)?);
            let computes = if in_stages { u.choose_index(loads.len())? } else { index };
            loads[computes].in_flight_tokens += u64::from(tokens);
            loads[computes].in_flight += 1;
            loads[computes].sent_since += 1;
            // An endpoint does both, or another answers; an endpoint of one stage is not asked to do
            // the other.
            let (prefill, decode) = (loads[computes].roles, loads[index].roles);
            if index != computes && prefill != decodes && decode != prefills {
                loads[index].in_flight += 1;
                loads[index].sent_since += 1;
            }
            room.take(tokens);
            let now = detector.room(&loads).saturation();
            assert!(now <= room.saturation() + 1e-9, "{now} > {} after {sent}", room.saturation());
        }
        Ok(())
    });
}

/// The budget of a single endpoint is exact: as many as the EPP would send if its metrics were
/// never late. Where the cache to come decides, what another request takes of it is an estimate.
#[test]
fn the_room_of_one_endpoint_is_exact() {
    law(|u| {
        let detector = Detector::Utilization(Utilization::default());
        let mut load = Load { metrics_age: Some(ms(0)), kv_to_come: 0.0, ..any_load(u)? };
        let room = detector.room(&[load]).places(1.0);
        let mut sent = 0;
        while detector.room(&[load]).saturation() < 1.0 {
            load.in_flight += 1;
            load.sent_since += 1;
            sent += 1;
        }
        // Also beside requests on the page that the ledger does not know of.
        assert_eq!(room, sent);
        Ok(())
    });
}
