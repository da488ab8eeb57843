//! The EPP's hermetic tests, in the mock.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{net::SocketAddr, time::Duration};

use host_mock::Stream;
use picker_core::Snapshot;
use serde_json::Value;
use wire::tally::Measure;

use super::{
    push::{Pod, Push},
    tallied::Tallied,
    world::{CHAT, Way, World, chat_body},
};
use crate::hermetic::{ANSWERS, Outcome, PASSTHROUGH, ROWS, Row, config, passthrough};

fn addresses() -> Vec<SocketAddr> {
    (1..=3).map(|number| Pod::idle(number).endpoint().address).collect()
}

fn ask(world: &World, worker: usize, row: &Row) -> Stream {
    let endpoints = row.endpoints(&addresses());
    let push =
        Push { body: Push::of_endpoints(Snapshot::default(), endpoints).body, ..world.push(&[]) };
    assert_eq!(world.ingest(0, &push.headers(), &push.body).status(), Some(204));
    let (worker, headers) = (world.envoy.worker(worker), row.headers(&addresses()));
    if row.parts.is_empty() {
        // What computes nothing goes by a look at the store that is 50 ms old.
        world.envoy.run_for(Duration::from_millis(50));
        return worker.get(Row::PATH, &*headers);
    }
    let stream = worker.post_headers(Row::PATH, &*headers);
    row.parts.iter().for_each(|part| stream.chunk(part.as_bytes()));
    stream.end();
    stream
}

fn tell(world: &World, worker: usize, row: &Row) {
    let (stream, name) = (ask(world, worker, row), row.name);
    match row.outcome {
        Outcome::Pod(number, model) => {
            assert_eq!(usize::from(world.pod(&stream).number), number, "{name}");
            let body: Value =
                serde_json::from_slice(&stream.sent().unwrap().body).unwrap_or_default();
            assert_eq!(body.get("model").and_then(Value::as_str).unwrap_or(""), model, "{name}");
            stream.respond(200, (), b"{}");
        }
        Outcome::Refused(status, reason, message) => {
            let response = stream.response().unwrap();
            let told = response.headers.text("x-llm-d-request-dropped-reason");
            assert_eq!((response.status, told), (status, reason), "{name}");
            assert!(response.text().contains(message), "{name}: {}", response.text());
        }
    }
}

#[test]
fn requests_in_every_way() {
    for way in Way::ALL {
        let world = World::with(way, &config());
        ROWS.iter().enumerate().for_each(|(number, row)| tell(&world, number % 4, row));
        world.is_well();
        let world = World::with(way, &passthrough());
        tell(&world, 0, &PASSTHROUGH);
        world.is_well();
    }
}

#[test]
fn answers() {
    let world = World::with(Way::STOP_ITERATION_HEADER, &config());
    world.pods(&[Pod::idle(1)]);
    for (name, kind, parts) in ANSWERS {
        let stream = world.envoy.worker(0).post(CHAT, (), &chat_body("hello"));
        stream.respond_headers(200, &[("content-type", *kind)]);
        parts.iter().for_each(|part| stream.respond_chunk(part.as_bytes()));
        stream.respond_end();
        assert_eq!(stream.response().unwrap().text(), parts.concat(), "{name}");
    }
    let tallied = Tallied::of(&world, &[Pod::idle(1)]);
    let counts: Vec<_> = tallied.sets().iter().flat_map(|set| &set.counts).collect();
    for (measure, tokens) in [(Measure::InputTokens, 7), (Measure::OutputTokens, 10)] {
        assert!(
            counts.iter().any(|(it, count)| *it == measure && count.sum == tokens),
            "{counts:?}"
        );
    }
    world.is_well();
}
