//! Values that the workers of one Envoy share.

use std::time::Duration;

use arbtest::arbitrary::{Result, Unstructured};
use picker_core::{
    Amounts, Instant, RequestId,
    flow::{FairnessId, FlowKey, Outcome, PhaseKind, Priority, Rejection, Ticket, TicketId},
    ledger::{
        Account, Accounts, BandCount, EndpointKey, Exchange, Heartbeat, Lease, Ledger,
        MeasuredLimits, Member, PoolPhase, Sends, Sheddable, WorkerId,
    },
    workers::{Message, QueueId, WorkerPeer},
};
use wire::{heartbeat, ledger, message};

use crate::mutated;

fn accounts(u: &mut Unstructured<'_>) -> Result<Accounts> {
    let mut accounts = Vec::new();
    for _ in 0..u.int_in_range(0..=5)? {
        let endpoint = EndpointKey(u.arbitrary()?);
        let free_at = Instant::from_nanos(u.arbitrary()?);
        let (requests, tokens, holds) = (u.arbitrary()?, u.arbitrary()?, u.arbitrary()?);
        let uncomputed = u.arbitrary()?;
        let sends = Sends::from_bits(u.arbitrary()?);
        accounts.push(Account { endpoint, requests, tokens, holds, uncomputed, free_at, sends });
    }
    Ok(accounts.into_iter().collect())
}

pub(crate) fn some_ledger(u: &mut Unstructured<'_>) -> Result<Ledger> {
    Ok(Ledger {
        snapshots: u.arbitrary()?,
        events: u.arbitrary()?,
        waiting: u.arbitrary()?,
        granted: u.arbitrary()?,
        lease: Lease {
            holder: WorkerId(u.arbitrary()?),
            queue: QueueId(u.arbitrary()?),
            epoch: u.arbitrary()?,
            until: Instant::from_nanos(u.arbitrary()?),
        },
        is_woken: u.arbitrary()?,
        phase: PoolPhase {
            kind: *u.choose(&[PhaseKind::Serving, PhaseKind::Empty])?,
            since: Instant::from_nanos(u.arbitrary()?),
        },
        members: (0..u.int_in_range(0..=4)?)
            .map(|_| Ok(Member { worker: WorkerId(u.arbitrary()?), changes: u.arbitrary()? }))
            .collect::<Result<_>>()?,
        accounts: accounts(u)?,
    })
}

fn some_heartbeat(u: &mut Unstructured<'_>) -> Result<Heartbeat> {
    Ok(Heartbeat {
        beats: u.arbitrary()?,
        changes: u.arbitrary()?,
        waiting: u.arbitrary()?,
        accounts: accounts(u)?,
        exchange: Exchange {
            epoch: u.arbitrary()?,
            submitted: u.arbitrary()?,
            granted: u.arbitrary()?,
            rejected: u.arbitrary()?,
        },
        bands: (0..u.int_in_range(0..=4)?).map(|_| some_band(u)).collect::<Result<_>>()?,
        limits: MeasuredLimits {
            amounts: Amounts { requests: some_limit(u)?, tokens: some_limit(u)? },
            at: Instant::from_nanos(u.arbitrary()?),
        },
        sheddable: u.arbitrary::<bool>()?.then(|| some_sheddable(u)).transpose()?,
    })
}

fn some_sheddable(u: &mut Unstructured<'_>) -> Result<Sheddable> {
    Ok(Sheddable {
        requests: u.int_in_range(1..=u32::MAX)?,
        priority: Priority(u.arbitrary()?),
        sent_at: Instant::from_nanos(u.arbitrary()?),
        queue: QueueId(u.arbitrary()?),
    })
}

fn some_limit(u: &mut Unstructured<'_>) -> Result<Option<u64>> {
    Ok(u.arbitrary::<Option<u32>>()?.map(u64::from))
}

fn some_band(u: &mut Unstructured<'_>) -> Result<BandCount> {
    Ok(BandCount {
        priority: Priority(u.arbitrary()?),
        waiting: u.arbitrary()?,
        in_flight: u.arbitrary()?,
        arrivals: u.arbitrary()?,
        oldest: Instant::from_nanos(u.arbitrary()?),
    })
}

fn some_flow(u: &mut Unstructured<'_>) -> Result<FlowKey> {
    let id = FairnessId::new(&"é".repeat(u.int_in_range(0..=200)?));
    Ok(FlowKey { id, priority: Priority(u.arbitrary()?) })
}

fn some_ticket(u: &mut Unstructured<'_>) -> Result<Ticket> {
    let duration = |u: &mut Unstructured<'_>| u.arbitrary().map(Duration::from_nanos);
    Ok(Ticket {
        id: TicketId { worker: u.arbitrary()?, request: u.arbitrary()? },
        flow: some_flow(u)?,
        bytes: u.arbitrary()?,
        prompt_tokens: u.arbitrary()?,
        uncached_tokens: u.arbitrary()?,
        output_tokens: u.arbitrary()?,
        arrived: Instant::from_nanos(u.arbitrary()?),
        ttl: if u.arbitrary()? { Some(duration(u)?) } else { None },
        slo_ttft: if u.arbitrary()? { Some(duration(u)?) } else { None },
    })
}

const OUTCOMES: [Outcome; 9] = [
    Outcome::Dispatched,
    Outcome::RejectedCapacity,
    Outcome::RejectedNoEndpoints,
    Outcome::RejectedShuttingDown,
    Outcome::RejectedInternal,
    Outcome::EvictedTtl,
    Outcome::EvictedNoEndpoints,
    Outcome::EvictedContextCancelled,
    Outcome::EvictedDisplaced,
];

fn some_message(u: &mut Unstructured<'_>) -> Result<Message> {
    let worker = WorkerId(u.arbitrary()?);
    let request = RequestId(u.arbitrary()?);
    let epoch = u.arbitrary()?;
    Ok(match u.int_in_range(0..=8)? {
        0 => {
            let count = u.int_in_range(0..=5)?;
            let tickets = (0..count).map(|_| some_ticket(u)).collect::<Result<_>>()?;
            let reply_to = QueueId(u.arbitrary()?);
            Message::Submit { worker, reply_to, epoch, again: u.arbitrary()?, tickets }
        }
        1 => Message::Cancel { worker, request },
        2 => Message::Wake,
        3 => {
            let flow = some_flow(u)?;
            Message::Charge { flow, tokens: u.arbitrary()?, expected: u.arbitrary()? }
        }
        4 => {
            let count = u.int_in_range(0..=WorkerPeer::GRANTS_MAX)?;
            let requests = (0..count).map(|_| Ok(RequestId(u.arbitrary()?))).collect::<Result<_>>();
            Message::Grant { requests: requests?, epoch, at: Instant::from_nanos(u.arbitrary()?) }
        }
        5 => Message::Evict { below: Priority(u.arbitrary()?), reply_to: QueueId(u.arbitrary()?) },
        6 => Message::Evicted,
        7 => {
            let flow = some_flow(u)?;
            Message::Correct { flow, charged: u.arbitrary()?, found: u.arbitrary()? }
        }
        _ => {
            let (outcome, expected_wait) = (*u.choose(&OUTCOMES)?, u.arbitrary()?);
            let rejection = Rejection { outcome, expected_wait };
            Message::Reject { request, rejection, epoch }
        }
    })
}

#[test]
fn what_is_shared_reads_back() {
    arbtest::arbtest(|u| {
        let (ledger, heartbeat, message) = (some_ledger(u)?, some_heartbeat(u)?, some_message(u)?);
        assert_eq!(ledger::decode(&ledger::encode(&ledger)), ledger);
        assert_eq!(heartbeat::decode(&heartbeat::encode(&heartbeat)), Some(heartbeat));
        assert_eq!(message::decode(&message::encode(&message).unwrap()), Ok(message));
        Ok(())
    });
}

#[test]
fn broken_values_never_panic_and_what_is_taken_can_be_sent_on() {
    arbtest::arbtest(|u| {
        let (ledger, heartbeat, message) = (some_ledger(u)?, some_heartbeat(u)?, some_message(u)?);
        let taken = ledger::decode(&mutated(u, &ledger::encode(&ledger))?);
        assert_eq!(ledger::decode(&ledger::encode(&taken)), taken);
        if let Some(taken) = heartbeat::decode(&mutated(u, &heartbeat::encode(&heartbeat))?) {
            assert_eq!(heartbeat::decode(&heartbeat::encode(&taken)), Some(taken));
        }
        if let Ok(taken) = message::decode(&mutated(u, &message::encode(&message).unwrap())?) {
            assert_eq!(message::decode(&message::encode(&taken).unwrap()), Ok(taken));
        }
        Ok(())
    });
}

#[test]
fn a_ledger_costs_forty_bytes_an_account_and_none_is_an_empty_one() {
    let account = |key| Account { endpoint: EndpointKey(key), requests: 1, ..Account::default() };
    let ledger = Ledger {
        snapshots: 7,
        accounts: (0..1_000).rev().map(account).collect(),
        ..Ledger::default()
    };
    let bytes = ledger::encode(&ledger);
    assert_eq!(bytes.len(), 80 + 40 * 1_000);
    let mut other_version = bytes.clone();
    other_version[3] = 1;
    for unreadable in [&[], &bytes[..bytes.len() - 1], &bytes[..64], &other_version[..]] {
        assert_eq!(ledger::decode(unreadable), Ledger::default());
    }
    assert_eq!(heartbeat::decode(&[]), None);
    assert_eq!(heartbeat::decode(&bytes), None);
}

/// Shared data outlives the module that wrote it, so its layout may change only with its version.
#[test]
fn the_layout_is_pinned() {
    let account = Account {
        endpoint: EndpointKey(0x0102),
        requests: 3,
        tokens: 4,
        holds: 15,
        uncomputed: 16,
        free_at: Instant::from_nanos(12),
        sends: Sends::from_bits(13),
    };
    let lease =
        Lease { holder: WorkerId(7), queue: QueueId(8), epoch: 9, until: Instant::from_nanos(10) };
    let ledger = Ledger {
        snapshots: 5,
        events: 6,
        waiting: 1,
        granted: 2,
        lease,
        is_woken: true,
        phase: PoolPhase { kind: PhaseKind::Serving, since: Instant::from_nanos(11) },
        members: [Member { worker: WorkerId(13), changes: 14 }].into_iter().collect(),
        accounts: [account].into_iter().collect(),
    };
    let hex: String = ledger::encode(&ledger).iter().map(|byte| format!("{byte:02x}")).collect();
    insta::assert_snapshot!(hex, @"4c504c0701000000020000000800000005000000000000000600000000000000070000000000000009000000000000000a0000000000000003000000010000000b0000000000000001000000000000000d000000000000000e00000000000000020100000000000003000000040000000f000000100000000c000000000000000d00000000000000");
}

#[test]
fn no_more_tickets_than_one_message_holds() {
    let ticket = Ticket {
        id: TicketId::default(),
        flow: FlowKey { id: FairnessId::new(&"t".repeat(300)), priority: Priority(0) },
        bytes: u64::MAX,
        prompt_tokens: u32::MAX,
        uncached_tokens: u32::MAX,
        output_tokens: u32::MAX,
        arrived: Instant::from_nanos(u64::MAX),
        ttl: Some(Duration::MAX),
        slo_ttft: Some(Duration::MAX),
    };
    let hand_in = |count| Message::Submit {
        worker: WorkerId(1),
        reply_to: QueueId(1),
        epoch: 1,
        again: false,
        tickets: vec![ticket.clone(); count],
    };
    let full = message::encode(&hand_in(WorkerPeer::TICKETS_MAX)).unwrap();
    assert!(full.len() < 32 << 10);
    assert_eq!(message::decode(&full), Ok(hand_in(WorkerPeer::TICKETS_MAX)));
    let refused = message::encode(&hand_in(WorkerPeer::TICKETS_MAX + 1)).unwrap_err();
    assert_eq!(refused.to_string(), "tickets out of bounds; allowed: 64");
}
