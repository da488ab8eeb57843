//! Laws of the whole engine, over random events.
#![cfg(not(target_arch = "wasm32"))]

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use arbtest::arbitrary::{Error, Unstructured};
use picker_core::{
    BLOCK_BYTES, Chain, Chainer, ClientId, Config, End, Endpoint, Event, EventKind, Fault, Health,
    Incarnation, InferenceRequest, Instant, Metrics, PickError, PlacementEvent, Randomness,
    RequestId, ResponseClass, ResponseStart, Scheduler, SchedulingResult, Seed, Snapshot,
    TokenUsage,
    ledger::{Account, Ledger, Sends},
};

/// Of something arbitrary, which may run out.
type Arbitrary<T> = Result<T, Error>;

fn any_address(u: &mut Unstructured<'_>) -> Arbitrary<SocketAddr> {
    Ok(SocketAddr::from(([10, 0, 0, 1], u.int_in_range(1..=6)?)))
}

fn any_endpoint(u: &mut Unstructured<'_>) -> Arbitrary<Endpoint> {
    let metrics = Metrics::default()
        .aged(Duration::from_millis(u.int_in_range(0..=3_000)?))
        .waiting(u.int_in_range(0..=9)?)
        .kv_usage(u.arbitrary()?);
    Ok(Endpoint {
        address: any_address(u)?,
        health: if u.ratio(1, 4)? { Health::Down } else { Health::Up },
        metrics: u.ratio(3, 4)?.then_some(metrics),
        labels: Vec::new(),
        incarnation: Incarnation::default(),
    })
}

/// Chains blocks of four kinds one after another; one chain in eight is damaged on its way.
fn any_chain(u: &mut Unstructured<'_>) -> Arbitrary<Chain> {
    let mut chainer = Chainer::new(&Seed::default(), 99);
    for _ in 0..u.int_in_range(0..=5)? {
        chainer.update(&[u.int_in_range(b'a'..=b'd')?; BLOCK_BYTES]);
    }
    let mut chain = chainer.finish();
    if u.ratio(1, 8)? {
        chain.blocks = u.arbitrary()?;
    }
    Ok(chain)
}

/// Something that happens: a request with its ledger, or an event.
#[derive(Clone)]
enum Act {
    InferenceRequest(RequestId, InferenceRequest, Ledger),
    Event(Event),
}

/// Makes what other workers may have in flight, on members and on endpoints that left.
fn any_ledger(u: &mut Unstructured<'_>) -> Arbitrary<Ledger> {
    let account = |u: &mut Unstructured<'_>| {
        Ok(Account {
            endpoint: any_address(u)?.into(),
            requests: u.int_in_range(1..=50)?,
            tokens: u.int_in_range(0..=9_000)?,
            holds: u.int_in_range(0..=9_000)?,
            uncomputed: u.int_in_range(0..=9)?,
            free_at: Instant::from_nanos(u.arbitrary()?),
            sends: Sends::from_bits(u.arbitrary()?),
        })
    };
    let accounts =
        (0..u.int_in_range(0..=6)?).map(|_| account(u)).collect::<Arbitrary<Vec<_>>>()?;
    Ok(Ledger { accounts: accounts.into_iter().collect(), ..Ledger::default() })
}

fn any_fault(u: &mut Unstructured<'_>) -> Arbitrary<Fault> {
    Ok(if u.arbitrary()? {
        Fault::Endpoint
    } else {
        Fault::Unclear(ClientId(u.int_in_range(0..=3)?))
    })
}

fn any_answer(u: &mut Unstructured<'_>) -> Arbitrary<ResponseClass> {
    let failed = ResponseClass::Failed(any_fault(u)?);
    Ok(*u.choose(&[ResponseClass::Taken, ResponseClass::Refused, failed])?)
}

fn any_end(u: &mut Unstructured<'_>) -> Arbitrary<End> {
    let broken = End::Broken(any_fault(u)?);
    Ok(*u.choose(&[End::Whole, broken, End::Gone])?)
}

fn any_act(u: &mut Unstructured<'_>, now: Instant) -> Arbitrary<Act> {
    let request = RequestId(u.int_in_range(0..=9)?);
    Ok(Act::Event(match u.int_in_range(0..=9)? {
        0 => {
            let endpoints = (0..u.int_in_range(0..=6)?).map(|_| any_endpoint(u));
            let endpoints = endpoints.collect::<Arbitrary<_>>()?;
            Event::Snapshot {
                snapshot: Snapshot { endpoints, ..Snapshot::default() },
                received_at: now,
            }
        }
        1..=3 => {
            return Ok(Act::InferenceRequest(
                request,
                InferenceRequest { chain: any_chain(u)?, ..InferenceRequest::default() },
                any_ledger(u)?,
            ));
        }
        4 => Event::Answered {
            request,
            at: now,
            served_by: if u.arbitrary()? { Some(any_address(u)?) } else { None },
            answer: any_answer(u)?,
        },
        5 => Event::Ended { request, at: now, end: any_end(u)? },
        6 => Event::FirstToken { request, at: now },
        7 => {
            let (prompt, cached, output) = (u.arbitrary()?, u.arbitrary()?, u.arbitrary()?);
            Event::Metered { request, at: now, usage: TokenUsage { prompt, cached, output } }
        }
        _ => {
            let (failed, broke) =
                (EventKind::Failed(any_fault(u)?), EventKind::Broke(any_fault(u)?));
            let all = [EventKind::Placed, EventKind::Withdrawn, failed, broke, EventKind::Served];
            let (endpoint, verdict) = (any_address(u)?, *u.choose(&all)?);
            Event::Noted(PlacementEvent { at: now, endpoint, chain: any_chain(u)?, verdict })
        }
    }))
}

/// True if an event was said to be perhaps news for the other workers.
fn may_publish(scheduler: &Scheduler, event: &Event) -> bool {
    match *event {
        Event::Answered { request, served_by, answer: class, .. } => {
            scheduler.may_publish_start(request, ResponseStart { served_by, class })
        }
        Event::Ended { request, end, .. } => scheduler.may_publish_end(request, None, end),
        Event::Snapshot { .. }
        | Event::Sent { .. }
        | Event::FirstToken { .. }
        | Event::Metered { .. }
        | Event::Streamed { .. }
        | Event::Reported { .. }
        | Event::Noted(_) => false,
    }
}

/// Decides and commits, as a worker does that no other gets in the way of.
fn play(
    scheduler: &mut Scheduler,
    now: Instant,
    act: Act,
) -> (Option<Result<SchedulingResult, PickError>>, Vec<PlacementEvent>) {
    match act {
        Act::Event(event) => {
            let may_tell = may_publish(scheduler, &event);
            let notes = scheduler.handle(event);
            assert!(may_tell || notes.is_empty(), "{notes:?} were not announced");
            (None, notes)
        }
        Act::InferenceRequest(request, ask, ledger) => {
            let decision = scheduler.decide(now, &ask, &ledger);
            let notes = decision.clone().map_or(Vec::new(), |decision| {
                scheduler.handle(Event::Sent { request, at: now, ask, decision })
            });
            (Some(decision), notes)
        }
    }
}

fn any_script(u: &mut Unstructured<'_>) -> Arbitrary<Vec<(Instant, Act)>> {
    let mut now = Instant::default();
    let mut script = Vec::new();
    while !u.is_empty() {
        now = now + Duration::from_millis(u.int_in_range(0..=500)?);
        script.push((now, any_act(u, now)?));
    }
    Ok(script)
}

/// Asserts what a decision promises, to a pool of `members`.
fn check(decision: &SchedulingResult, members: &[Endpoint]) {
    let distinct: BTreeSet<&SocketAddr> = decision.ranked.iter().collect();
    assert_eq!(distinct.len(), decision.ranked.len(), "an address is ranked twice");
    assert!((1..=3).contains(&decision.ranked.len()));
    let up = |member: &&Endpoint| member.health == Health::Up;
    for ranked in &decision.ranked {
        let listed = |member: &&Endpoint| member.address == *ranked;
        assert!(members.iter().any(|member| listed(&member)), "{ranked} is not in the pool");
        let first = members.iter().find(listed);
        assert!(first.as_ref().is_some_and(up) || !members.iter().any(|member| up(&member)));
    }
    for (scorer, score) in &decision.scores {
        assert!((0.0..=1.0).contains(&score.get()), "{scorer:?} gave {score:?}");
    }
    assert!(decision.sight.matched <= decision.blocks);
}

#[test]
fn decisions_are_sound() {
    arbtest::arbtest(|u| {
        let mut scheduler =
            Scheduler::new(Config::default(), Randomness::from_seed(u.arbitrary()?));
        let mut members = Vec::new();
        for (now, act) in any_script(u)? {
            if let Act::Event(Event::Snapshot { snapshot, .. }) = &act {
                members.clone_from(&snapshot.endpoints);
                let mut seen = BTreeSet::new();
                members.retain(|member| seen.insert(member.address));
            }
            match play(&mut scheduler, now, act) {
                (Some(Ok(decision)), _) => check(&decision, &members),
                (Some(Err(_)), notes) => assert!(members.is_empty() && notes.is_empty()),
                (None, _) => (),
            }
        }
        Ok(())
    });
}

#[test]
fn the_same_seed_gives_the_same_transcript() {
    arbtest::arbtest(|u| {
        let seed = u.arbitrary()?;
        let script = any_script(u)?;
        let transcript = || -> Vec<_> {
            let mut scheduler = Scheduler::new(Config::default(), Randomness::from_seed(seed));
            script.iter().cloned().map(|(now, act)| play(&mut scheduler, now, act)).collect()
        };
        assert_eq!(transcript(), transcript());
        Ok(())
    });
}
