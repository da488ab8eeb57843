//! Laws of the whole engine, over random events.
#![cfg(not(target_arch = "wasm32"))]

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use arbtest::arbitrary::{Result, Unstructured};
use engine::{
    Ask, BLOCK_BYTES, Chain, Chainer, Config, Decision, Effect, Endpoint, Engine, Event, Health,
    Instant, Metrics, Note, RequestId, Seed, Snapshot, Verdict,
};

fn any_address(u: &mut Unstructured<'_>) -> Result<SocketAddr> {
    Ok(SocketAddr::from(([10, 0, 0, 1], u.int_in_range(1..=6)?)))
}

fn any_endpoint(u: &mut Unstructured<'_>) -> Result<Endpoint> {
    let metrics = Metrics {
        age: Duration::from_millis(u.int_in_range(0..=3_000)?),
        waiting: u.int_in_range(0..=9)?,
        running: 0,
        kv_usage: u.arbitrary()?,
        cache: None,
        adapters: None,
    };
    Ok(Endpoint {
        address: any_address(u)?,
        health: if u.ratio(1, 4)? { Health::Down } else { Health::Up },
        metrics: u.ratio(3, 4)?.then_some(metrics),
        labels: Vec::new(),
    })
}

/// One block of four kinds after another; one in eight is damaged on its way.
fn any_chain(u: &mut Unstructured<'_>) -> Result<Chain> {
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

fn any_event(u: &mut Unstructured<'_>, now: Instant) -> Result<Event> {
    let request = RequestId(u.int_in_range(0..=9)?);
    Ok(match u.int_in_range(0..=7)? {
        0 => {
            let endpoints = (0..u.int_in_range(0..=6)?).map(|_| any_endpoint(u));
            let endpoints = endpoints.collect::<Result<_>>()?;
            Event::Snapshot {
                snapshot: Snapshot { pool: String::new(), endpoints },
                received_at: now,
            }
        }
        1..=3 => Event::Arrived { request, ask: Ask { chain: any_chain(u)? } },
        4 => Event::Answered { request, success: u.arbitrary()? },
        5 => Event::Ended { request },
        _ => {
            let verdict = if u.arbitrary()? { Verdict::Placed } else { Verdict::Withdrawn };
            Event::Noted(Note { endpoint: any_address(u)?, chain: any_chain(u)?, verdict })
        }
    })
}

fn any_script(u: &mut Unstructured<'_>) -> Result<Vec<(Instant, Event)>> {
    let mut now = Instant::default();
    let mut script = Vec::new();
    while !u.is_empty() {
        now = now + Duration::from_millis(u.int_in_range(0..=500)?);
        script.push((now, any_event(u, now)?));
    }
    Ok(script)
}

/// What a decision promises, to a pool of `members`.
fn check(decision: &Decision, members: &[Endpoint]) {
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
    assert!(decision.matched <= decision.blocks);
}

#[test]
fn decisions_are_sound_and_every_arrival_is_answered_once() {
    arbtest::arbtest(|u| {
        let mut engine = Engine::new(Config::default(), u.arbitrary()?);
        let mut members = Vec::new();
        for (now, event) in any_script(u)? {
            let arrived =
                if let Event::Arrived { request, .. } = &event { Some(*request) } else { None };
            if let Event::Snapshot { snapshot, .. } = &event {
                members.clone_from(&snapshot.endpoints);
                let mut seen = BTreeSet::new();
                members.retain(|member| seen.insert(member.address));
            }
            let mut answers = Vec::new();
            for effect in engine.handle(now, event) {
                match effect {
                    Effect::Send { request, decision } => {
                        check(&decision, &members);
                        answers.push(request);
                    }
                    Effect::Refuse { request, .. } => {
                        assert!(members.is_empty());
                        answers.push(request);
                    }
                    Effect::Tell(_) => (),
                }
            }
            assert_eq!(answers, Vec::from_iter(arrived));
        }
        Ok(())
    });
}

#[test]
fn the_same_seed_gives_the_same_transcript() {
    arbtest::arbtest(|u| {
        let seed = u.arbitrary()?;
        let script = any_script(u)?;
        let play = || -> Vec<Effect> {
            let mut engine = Engine::new(Config::default(), seed);
            script.iter().cloned().flat_map(|(now, event)| engine.handle(now, event)).collect()
        };
        assert_eq!(play(), play());
        Ok(())
    });
}
