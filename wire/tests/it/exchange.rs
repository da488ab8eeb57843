//! Reports to the other gateways, parts for one, and what a gateway keeps of them.

use std::time::Duration;

use arbtest::arbitrary::{Result, Unstructured};
use picker_core::{
    Amounts, BlockHash, Chain, EventKind, Instant, PlacementEvent,
    exchange::{
        BandReserve, BandUse, Credit, EndpointUse, EventBatch, GatewayId, GatewayPart,
        GatewayReport, Inbox, TenantTokens,
    },
    flow::{FairnessId, FlowKey, Priority},
    ledger::EndpointKey,
};
use wire::exchange::{
    EVENT_BYTES_MAX, OwnEntry, SharedOthers, StreamPosition, decode_part, decode_report,
    encode_part, encode_report,
};

use crate::{messages::some_events, mutated};

/// Now, by the clock of sender and receiver: ages are whole milliseconds.
const NOW: Instant = Instant::from_nanos(5_000_000_000_000);

fn seconds(seconds: u64) -> Instant {
    Instant::from_nanos(seconds * 1_000_000_000)
}

fn millis(u: &mut Unstructured<'_>) -> Result<Duration> {
    Ok(Duration::from_millis(u.arbitrary::<u32>()?.into()))
}

fn endpoints(u: &mut Unstructured<'_>) -> Result<Vec<EndpointUse>> {
    let mut keys: Vec<u64> = u.arbitrary()?;
    keys.sort_unstable();
    keys.dedup();
    keys.into_iter()
        .map(|key| {
            Ok(EndpointUse {
                endpoint: EndpointKey(key),
                requests: u.arbitrary()?,
                tokens: u.arbitrary()?,
                busy_for: millis(u)?,
            })
        })
        .collect()
}

fn events(u: &mut Unstructured<'_>) -> Result<EventBatch> {
    let mut events = some_events(u)?;
    for event in &mut events {
        event.at = NOW.saturating_before(Duration::from_millis(u.int_in_range(0..=4_000_000)?));
    }
    Ok(EventBatch { first: u.arbitrary()?, events })
}

fn bands(u: &mut Unstructured<'_>) -> Result<Vec<BandUse>> {
    let mut priorities: Vec<i32> = (0..5).map(|_| u.arbitrary()).collect::<Result<_>>()?;
    priorities.sort_unstable_by(|one, other| other.cmp(one));
    priorities.dedup();
    priorities
        .into_iter()
        .map(|priority| {
            Ok(BandUse {
                priority: Priority(priority),
                waiting: u.arbitrary()?,
                oldest: millis(u)?,
                in_flight: u.arbitrary()?,
                arrivals: u.arbitrary()?,
            })
        })
        .collect()
}

fn tenants(u: &mut Unstructured<'_>) -> Result<Vec<TenantTokens>> {
    (0..u.int_in_range(0..=4)?)
        .map(|_| {
            let id = FairnessId::new(&"é".repeat(u.int_in_range(0..=200)?));
            let flow = FlowKey { id, priority: Priority(u.arbitrary()?) };
            Ok(TenantTokens { flow, tokens: u.arbitrary()? })
        })
        .collect()
}

fn amounts(u: &mut Unstructured<'_>) -> Result<Amounts> {
    Ok(Amounts { requests: u.arbitrary()?, tokens: u.arbitrary()? })
}

fn credit(u: &mut Unstructured<'_>) -> Result<Option<Credit>> {
    if u.arbitrary()? {
        return Ok(None);
    }
    let reserves = (0..u.int_in_range(0..=3)?)
        .map(|_| Ok(BandReserve { priority: Priority(u.arbitrary()?), places: u.arbitrary()? }));
    let reserves = reserves.collect::<Result<_>>()?;
    let (epoch, number, amounts) = (u.arbitrary()?, u.arbitrary()?, amounts(u)?);
    Ok(Some(Credit { epoch, number, amounts, reserves }))
}

fn some_report(u: &mut Unstructured<'_>) -> Result<GatewayReport> {
    Ok(GatewayReport {
        gateway: GatewayId(7),
        number: u.arbitrary()?,
        epoch: u.arbitrary()?,
        taken: u.arbitrary()?,
        endpoints: endpoints(u)?,
        events: events(u)?,
        next_event: u.arbitrary()?,
        bands: bands(u)?,
        tenants: tenants(u)?,
        limits: amounts(u)?,
        used: amounts(u)?,
        credit: credit(u)?,
    })
}

fn some_part(u: &mut Unstructured<'_>) -> Result<GatewayPart> {
    let mut gateways: Vec<GatewayId> =
        (0..3).map(|_| u.arbitrary().map(GatewayId)).collect::<Result<_>>()?;
    gateways.sort_unstable();
    gateways.dedup();
    Ok(GatewayPart {
        gateway: GatewayId(u.arbitrary()?),
        epoch: u.arbitrary()?,
        number: u.arbitrary()?,
        next_event: u.arbitrary()?,
        endpoints: endpoints(u)?,
        events: events(u)?,
        gateways,
        credit: credit(u)?,
        highest_waiting: u.arbitrary::<Option<i32>>()?.map(Priority),
        tenants: tenants(u)?,
    })
}

#[test]
fn what_is_told_reads_back() {
    arbtest::arbtest(|u| {
        let (report, part) = (some_report(u)?, some_part(u)?);
        let bytes = encode_report(&report, NOW).unwrap();
        assert_eq!(decode_report(GatewayId(7), &bytes, NOW), Ok(report));
        assert_eq!(decode_part(&encode_part(&part, NOW).unwrap(), NOW), Ok(part));
        Ok(())
    });
}

#[test]
fn broken_bytes_never_panic_and_what_is_taken_can_be_sent_on() {
    arbtest::arbtest(|u| {
        let (report, part) = (some_report(u)?, some_part(u)?);
        let bytes = mutated(u, &encode_report(&report, NOW).unwrap())?;
        if let Ok(taken) = decode_report(GatewayId(7), &bytes, NOW) {
            assert!(encode_report(&taken, NOW).is_ok());
        }
        let bytes = mutated(u, &encode_part(&part, NOW).unwrap())?;
        if let Ok(taken) = decode_part(&bytes, NOW) {
            assert!(encode_part(&taken, NOW).is_ok());
        }
        Ok(())
    });
}

#[test]
fn another_version_is_refused_and_a_cut_off_one_too() {
    let report = encode_report(&GatewayReport::default(), NOW).unwrap();
    let part = encode_part(&GatewayPart::default(), NOW).unwrap();
    let newer = |bytes: &[u8]| [&bytes[..3], &[2], &bytes[4..]].concat();
    let say_report =
        |bytes: &[u8]| decode_report(GatewayId(7), bytes, NOW).unwrap_err().to_string();
    let say_part = |bytes: &[u8]| decode_part(bytes, NOW).unwrap_err().to_string();
    insta::assert_snapshot!([
        say_report(&newer(&report)),
        say_report(&part),
        say_report(&report[..report.len() - 1]),
        say_report(&vec![0; (512 << 10) + 1]),
        say_part(&newer(&part)),
        say_part(&report),
        say_part(&part[..part.len() - 1]),
    ].join("\n"), @r#"
    found version 2; allowed: 1
    does not begin with "LPX"
    cut off or not decodable
    report out of bounds; allowed: 512 KiB
    found version 2; allowed: 1
    does not begin with "LPY"
    cut off or not decodable
    "#);
}

#[test]
fn lists_out_of_order_are_refused() {
    let at = |key| EndpointUse { endpoint: EndpointKey(key), ..EndpointUse::default() };
    let twice = GatewayPart { endpoints: vec![at(1), at(1)], ..GatewayPart::default() };
    assert!(encode_part(&twice, NOW).is_err());
    let gateways = vec![GatewayId(2), GatewayId(1)];
    assert!(encode_part(&GatewayPart { gateways, ..GatewayPart::default() }, NOW).is_err());
    let band = |priority| BandUse { priority: Priority(priority), ..BandUse::default() };
    let rising = GatewayReport { bands: vec![band(1), band(2)], ..GatewayReport::default() };
    assert!(encode_report(&rising, NOW).is_err());
}

fn placed(hashes: usize, at: Instant) -> PlacementEvent {
    PlacementEvent {
        at,
        endpoint: ([10, 0, 0, 1], 8000).into(),
        chain: Chain { hashes: vec![BlockHash(1); hashes], blocks: 1 },
        verdict: EventKind::Placed,
    }
}

#[test]
fn events_that_do_not_fit_are_left_for_the_next_report() {
    let long = placed(4_096, NOW);
    let events = EventBatch { first: 3, events: vec![long; 20] };
    let report = GatewayReport { events, ..GatewayReport::default() };
    let bytes = encode_report(&report, NOW).unwrap();
    let taken = decode_report(GatewayId(7), &bytes, NOW).unwrap().events;
    assert_eq!((taken.first, taken.events.len()), (3, EVENT_BYTES_MAX / (8 * 4_096 + 64)));
}

#[test]
fn an_event_is_as_old_at_the_other_end() {
    let events = EventBatch { first: 0, events: vec![placed(1, seconds(60))] };
    let part = GatewayPart { events, ..GatewayPart::default() };
    let bytes = encode_part(&part, seconds(62)).unwrap();
    let taken = decode_part(&bytes, seconds(1_000)).unwrap();
    assert_eq!(taken.events.events[0].at, seconds(998));
    let young = decode_part(&bytes, seconds(1)).unwrap();
    assert_eq!(young.events.events[0].at, seconds(0), "of a machine that is up for a second");
}

#[test]
fn what_a_gateway_keeps_reads_back_and_anything_else_is_absent() {
    arbtest::arbtest(|u| {
        let part = some_part(u)?;
        let kept = SharedOthers::after(None, part.gateway, part, NOW, |_| Vec::new());
        let Some((kept, _)) = kept else { return Ok(()) };
        let bytes = kept.encode();
        assert_eq!(SharedOthers::decode(&bytes), Some(kept));
        let _ = SharedOthers::decode(&mutated(u, &bytes)?);
        Ok(())
    });
    assert_eq!(SharedOthers::decode(&[]), None);
}

fn entry(position: u64, events: usize) -> OwnEntry {
    OwnEntry { position, events: vec![placed(1, NOW); events] }
}

#[test]
fn the_cursor_goes_past_whole_entries() {
    let entries = [entry(0, 2), entry(1, 0), entry(2, 3), entry(3, 1)];
    let at = |next| {
        let StreamPosition { position, number } = StreamPosition::default().after(next, &entries);
        (position, number)
    };
    assert_eq!(
        [at(0), at(1), at(2), at(4), at(5), at(6), at(99)],
        [(0, 0), (0, 0), (2, 2), (2, 2), (3, 5), (4, 6), (4, 6),]
    );
    let batch = StreamPosition { position: 2, number: 2 }.batch(entries[2..].to_vec());
    assert_eq!((batch.first, batch.events.len()), (2, 4));
}

#[test]
fn events_that_the_ring_lost_take_no_number_from_others() {
    let end = StreamPosition { position: 0, number: u64::MAX };
    let last = entry(u64::MAX, 1);
    assert_eq!(end.after(u64::MAX, &[last]).position, u64::MAX);
    let cursor = StreamPosition { position: 2, number: 7 };
    let entries = [entry(5, 2)];
    let moved = cursor.after(9, &entries);
    assert_eq!(moved.position, 5);
    let mut inbox = Inbox::default();
    inbox.take(EventBatch { first: 0, events: vec![placed(1, NOW); 12] });
    assert_eq!(inbox.take(moved.batch(entries.to_vec())).len(), 2, "both are new");
}

#[test]
fn a_lost_message_repeats_and_none_is_learnt_twice() {
    arbtest::arbtest(|u| {
        // A ring of this gateway, the hub's end of its stream, and the parts that come back or not.
        let (mut ring, mut hub, mut kept) = (Vec::new(), Inbox::default(), None::<SharedOthers>);
        let (mut made, mut learnt, mut number) = (0, 0, 0);
        let own = GatewayId(7);
        for _ in 0..u.int_in_range(1..=30)? {
            let events = u.int_in_range(0..=3)?;
            ring.push(entry(ring.len() as u64, events));
            made += events;
            let from = |ring: &[OwnEntry], position: u64| {
                ring.iter().filter(|it| it.position >= position).cloned().collect::<Vec<_>>()
            };
            let cursor = kept.as_ref().map_or_else(StreamPosition::default, |it| it.cursor);
            let batch = cursor.batch(from(&ring, cursor.position));
            if u.arbitrary()? {
                learnt += hub.take(batch).len();
            }
            number += 1;
            let part = GatewayPart {
                gateway: own,
                epoch: 1,
                number,
                next_event: hub.next(),
                ..GatewayPart::default()
            };
            if u.arbitrary()? {
                let next = SharedOthers::after(kept.as_ref(), own, part, NOW, |at| from(&ring, at));
                kept = next.map(|(kept, _)| kept);
                assert!(kept.is_some());
            }
        }
        let cursor = kept.as_ref().map_or_else(StreamPosition::default, |it| it.cursor);
        let rest = ring.iter().filter(|it| it.position >= cursor.position).cloned().collect();
        learnt += hub.take(cursor.batch(rest)).len();
        assert_eq!(learnt, made);
        Ok(())
    });
}
