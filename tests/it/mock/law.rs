//! Laws over random scripts, in every way into Envoy.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{collections::BTreeMap, time::Duration};

use arbtest::{
    arbitrary::{Result, Unstructured},
    arbtest,
};
use host_mock::Stream;
use serde_json::json;

use super::{
    push::{Pod, Push},
    world::{CHAT, WORKERS, Way, World, about, chat_body},
};

const NONE: &[(&str, &str)] = &[];

/// Steps of one script.
const STEPS: usize = 60;

/// One request with what is still to be sent of its body.
struct Open {
    stream: Stream,
    rest: Vec<u8>,
}

/// Every request gets one answer or one destination, whatever comes; no VM ever dies of it, and
/// nothing is logged as an error.
#[test]
fn every_request_gets_one_answer_or_one_destination() {
    arbtest(|u| {
        let way = *u.choose(&Way::ALL)?;
        let mode = if u.arbitrary()? { "FailOpen" } else { "FailClose" };
        let world =
            World::with(way, &json!({"failureMode": mode, "envoy": {"maxBodyBytes": 20_000}}));
        let mut open = Vec::new();
        for _ in 0..STEPS {
            step(u, &world, &mut open)?;
        }
        for request in open {
            finish(request, &world);
        }
        world.is_well();
        Ok(())
    })
    .budget_ms(6_000);
}

fn step(u: &mut Unstructured<'_>, world: &World, open: &mut Vec<Open>) -> Result<()> {
    let worker = u.int_in_range(0..=WORKERS - 1)?;
    match u.int_in_range(0..=9)? {
        0 => push(u, world, worker)?,
        1 => world.envoy.run_for(Duration::from_millis(u.int_in_range(0..=5_000)?)),
        2..=5 => open.push(arrive(u, world, worker)?),
        _ if open.is_empty() => (),
        6 => {
            let at = u.choose_index(open.len())?;
            finish(open.swap_remove(at), world);
        }
        7 => open.swap_remove(u.choose_index(open.len())?).stream.disconnect(),
        _ => {
            let at = u.choose_index(open.len())?;
            send_some(u, open.get_mut(at).unwrap())?;
        }
    }
    Ok(())
}

fn push(u: &mut Unstructured<'_>, world: &World, worker: usize) -> Result<()> {
    let mut pods = Pod::idles(u.int_in_range(0..=3)?);
    for pod in &mut pods {
        (pod.up, pod.waiting) = (u.ratio(3, 4)?, u.int_in_range(0..=4)?);
    }
    let mut push = world.push(&pods);
    if u.ratio(1, 4)? {
        let at = u.choose_index(push.body.len())?;
        push.body.truncate(at);
    }
    let headers = if u.ratio(3, 4)? { push.headers() } else { Push::of(&[]).headers() };
    assert!(world.ingest(worker, &headers, &push.body).is_over(), "a push that is left hanging");
    Ok(())
}

fn arrive(u: &mut Unstructured<'_>, world: &World, worker: usize) -> Result<Open> {
    let topic = *u.choose(&["rivers", "stars", "clouds"])?;
    let body = match u.int_in_range(0..=9)? {
        0 => Vec::new(),
        1 => u.bytes(40).unwrap_or_default().to_vec(),
        2 => vec![b' '; 30_000],
        _ => chat_body(&about(topic)),
    };
    let path = *u.choose(&[CHAT, CHAT, CHAT, "/v1/completions", "/v1/models", ""])?;
    let stream = world.envoy.worker(worker).post_headers(path, NONE);
    Ok(Open { stream, rest: body })
}

fn send_some(u: &mut Unstructured<'_>, request: &mut Open) -> Result<()> {
    let size = u.int_in_range(0..=request.rest.len())?;
    let piece: Vec<u8> = request.rest.drain(..size).collect();
    request.stream.chunk(&piece);
    if u.ratio(1, 8)? && request.stream.sent().is_some() {
        request.stream.upstream_resets();
    }
    Ok(())
}

/// Sends the rest and has the pod answer, if it is asked.
fn finish(Open { stream, rest }: Open, world: &World) {
    match rest.len() % 3 {
        0 => stream.last_chunk(&rest),
        1 => {
            stream.chunk(&rest);
            stream.end();
        }
        _ => {
            stream.chunk(&rest);
            stream.trailers(&[("x-checksum", "1")]);
        }
    }
    let destinations = world.destinations(&stream);
    assert!(stream.sent().is_some() || stream.status().is_some(), "neither sent nor answered");
    if let Some(list) = destinations {
        assert!(list.split(',').all(|address| Pod::at(address).number <= 3), "{list}");
    }
    match stream.sent() {
        Some(_) if stream.is_over() => (),
        Some(sent) => {
            assert!(sent.complete, "sent, and then held");
            stream.respond(if rest.len() % 2 == 0 { 200 } else { 503 }, NONE, b"{}");
        }
        None => {
            assert!(
                matches!(stream.status(), Some(400 | 408 | 413 | 503)),
                "{:?}",
                stream.status()
            );
        }
    }
    assert!(stream.is_over());
}

/// Once a pod has answered a prompt, the prompt is there, whichever worker it comes to next,
/// however it goes on, and whatever fails in between, as long as no pod fails so often
/// that it is avoided: three times in a row, as far as any one worker knows.
#[test]
fn a_prompt_that_was_answered_stays_where_it_is() {
    arbtest(|u| {
        // By the prefix alone: what else is in flight would count as load.
        let world = World::with(
            Way::STOP_ITERATION_HEADER,
            &json!({"plugins": [{"type": "prefix-cache-scorer"}], "decisionHeader": true}),
        );
        world.pods(&Pod::idles(3));
        let mut homes: BTreeMap<&str, Pod> = BTreeMap::new();
        let mut open: Vec<(&str, Stream)> = Vec::new();
        let mut failures: BTreeMap<u8, u32> = BTreeMap::new();
        for _ in 0..STEPS {
            if open.is_empty() || u.ratio(3, 5)? {
                let topic = *u.choose(&["rivers", "stars", "clouds", "trees"])?;
                let more = about("the rest").repeat(u.int_in_range(0..=2)?);
                let prompt = format!("{}{more}", about(topic));
                let stream = world.chat(u.int_in_range(0..=WORKERS - 1)?, &prompt);
                let pod = world.pod(&stream);
                assert_eq!(pod, *homes.get(topic).unwrap_or(&pod), "{topic}");
                open.push((topic, stream));
                continue;
            }
            let (topic, stream) = open.swap_remove(u.choose_index(open.len())?);
            let pod = world.pod(&stream);
            let failed = failures.entry(pod.number).or_default();
            let outcome = u.int_in_range(0..=4)?;
            let fails = matches!(outcome, 1 | 2) && *failed < 2;
            match outcome {
                0 => stream.disconnect(),
                1 | 2 if fails => {
                    *failed += 1;
                    if outcome == 1 {
                        stream.upstream_resets();
                    } else {
                        stream.respond(503, NONE, b"{}");
                    }
                }
                _ => {
                    stream.respond(200, NONE, b"{}");
                    assert_eq!(*homes.entry(topic).or_insert(pod), pod, "{topic}");
                }
            }
        }
        world.is_well();
        Ok(())
    })
    .budget_ms(6_000);
}
