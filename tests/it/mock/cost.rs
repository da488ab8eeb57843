//! What a request costs, counted and not timed: the same on every machine, however busy it is. One
//! more host call, or a tenth more work, is noticed here before a clock can tell.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fmt::Write;

use host_mock::Stream;
use serde_json::json;

use super::{
    push::{Pod, Push},
    world::{CHAT, Way, World, builder},
};

#[path = "../../../wire/tests/sample/mod.rs"]
mod sample;

const NONE: &[(&str, &str)] = &[];

/// How far the VM's own work may be from the table, in percent, either way: a table that is far off
/// hides the next change.
const TOLERANCE: u64 = 10;

/// What is asked, and what it comes to.
const TABLE: &[(&str, Cost)] = &[
    ("1 kB", Cost::of([10, 23, 6], 98_056)),
    ("32 kB", Cost::of([10, 23, 6], 193_102)),
    ("220 kB", Cost::of([10, 23, 6], 728_883)),
    ("1 MB", Cost::of([10, 23, 6], 3_007_483)),
    (r#"220 kB, \n and \""#, Cost::of([10, 23, 6], 880_745)),
    (r"220 kB, two \u a paragraph", Cost::of([10, 23, 6], 983_865)),
    ("220 kB, JSON in JSON", Cost::of([10, 23, 6], 1_160_624)),
    (r"220 kB, all \u", Cost::of([10, 23, 6], 728_885)),
    ("1 kB, 10 pods", Cost::of([10, 23, 6], 110_808)),
    ("1 kB, 100 pods", Cost::of([10, 23, 6], 227_303)),
    ("1 kB, 250 pods", Cost::of([10, 23, 6], 413_684)),
    ("1 kB, 1,000 pods", Cost::of([10, 23, 6], 1_336_029)),
    ("32 kB, as before", Cost::of([10, 23, 6], 193_154)),
    ("1 kB, no decision header", Cost::of([10, 22, 6], 93_460)),
    ("1 kB, gate open", Cost::of([10, 24, 6], 108_740)),
    ("1 kB, property", Cost::of([10, 23, 6], 98_142)),
    ("1 kB, filter state", Cost::of([10, 23, 6], 98_249)),
    ("1 kB, buffer filter", Cost::of([10, 23, 6], 98_179)),
    ("no body", Cost::of([8, 4, 1], 21_266)),
    ("1 kB, 100 events", Cost::of([109, 153, 13], 286_361)),
    ("1 kB, 1 workers", Cost::of([10, 22, 6], 96_665)),
    ("1 kB, 2 workers", Cost::of([10, 22, 6], 104_592)),
    ("1 kB, 4 workers", Cost::of([10, 22, 6], 116_168)),
    ("1 kB, 16 workers", Cost::of([10, 22, 6], 187_721)),
];

/// The price of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cost {
    /// Envoy's calls into the VM.
    pub(super) callbacks: u64,
    /// The VM's calls of Envoy.
    pub(super) calls: u64,
    /// Those of them that have the VM allocate, some 8,000 instructions of Envoy's each.
    pub(super) allocations: u64,
    /// The VM's own work, in wasm instructions.
    pub(super) instructions: u64,
}

impl Cost {
    const fn of(crossings: [u64; 3], instructions: u64) -> Self {
        let [callbacks, calls, allocations] = crossings;
        Self { callbacks, calls, allocations, instructions }
    }

    /// Whether this is as good as what was expected, and no better.
    const fn is_like(self, expected: Self) -> bool {
        let counts = self.callbacks == expected.callbacks
            && self.calls == expected.calls
            && self.allocations == expected.allocations;
        let away = self.instructions.abs_diff(expected.instructions);
        counts && away * 100 <= expected.instructions * TOLERANCE
    }
}

/// Requests before those that are counted: the first ones read the snapshot, sign the worker in and
/// find every table empty.
const WARM_UP: u32 = 10;

/// Requests that are counted. Tables grow at some of them, so it takes a few to find the mean.
const COUNTED: u32 = 10;

/// A request from its headers to its end, while nothing else happens; the mean of some.
pub(super) fn cost(world: &World, request: impl Fn(&World, u32) -> Stream) -> Cost {
    cost_of(world, [WARM_UP, COUNTED], request)
}

/// The mean cost of so many requests, after so many that are not counted.
fn cost_of(
    world: &World,
    [warm_up, counted]: [u32; 2],
    request: impl Fn(&World, u32) -> Stream,
) -> Cost {
    let go = |number| {
        let stream = request(world, number);
        assert!(stream.is_over(), "{:?}", stream.response());
        assert_eq!(stream.status(), Some(200), "{:?}", stream.response());
    };
    (0..warm_up).for_each(go);
    let before = world.envoy.crossings();
    (warm_up..warm_up + counted).for_each(go);
    let after = world.envoy.crossings();
    let each = |after: u64, before: u64| (after - before) / u64::from(counted);
    let crossings = [
        each(after.callbacks, before.callbacks),
        each(after.calls, before.calls),
        each(after.allocations, before.allocations),
    ];
    Cost::of(crossings, each(after.instructions, before.instructions))
}

/// A prompt that shares nothing with that of another number.
fn prompt(number: u32, bytes: usize, text: &str) -> Vec<u8> {
    sample::chat(bytes, text).replace("You are", &format!("Number {number} is")).into_bytes()
}

fn post(world: &World, body: &[u8]) -> Stream {
    world.envoy.worker(0).post(CHAT, NONE, body)
}

fn answered(stream: Stream) -> Stream {
    stream.respond(200, &[("content-type", "application/json")], b"{}");
    stream
}

/// A world with this many idle pods.
fn world(pods: u8, way: Way, keys: &serde_json::Value) -> World {
    let world = World::with(way, keys);
    world.pods(&Pod::idles(pods));
    world
}

fn header(pods: u8) -> World {
    world(pods, Way::STOP_ITERATION_HEADER, &json!({}))
}

/// As many pods as a large pool has.
fn large(pods: u16) -> World {
    let world = World::with(Way::STOP_ITERATION_HEADER, &json!({}));
    let push = Push { body: Push::of_many(pods).body, ..world.push(&[]) };
    assert_eq!(world.ingest(0, &push.headers(), &push.body).status(), Some(204));
    world
}

/// A request of 1 kB where so many workers take turns: each has learnt by its next one what the others placed.
fn cost_among(workers: u16) -> Cost {
    let host = builder().workers(workers.into());
    let world = World::on(host, Way::STOP_ITERATION_HEADER, &json!({}));
    world.pods(&Pod::idles(3));
    let workers = u32::from(workers);
    cost_of(&world, [4 * workers, 4 * workers], |world, number| {
        let worker = world.envoy.worker((number % workers) as usize);
        answered(worker.post(CHAT, NONE, &prompt(number, 1 << 10, sample::ESCAPED)))
    })
}

/// All that is measured, by the names of the table.
fn measured() -> Vec<(String, Cost)> {
    let mut costs = Vec::new();
    let mut of = |name: &str, cost| costs.push((name.to_owned(), cost));
    for (size, name) in [(1, "1 kB"), (32, "32 kB"), (220, "220 kB"), (1_024, "1 MB")] {
        let ask = |world: &World, number| {
            answered(post(world, &prompt(number, size << 10, sample::PLAIN)))
        };
        of(name, cost(&header(3), ask));
    }
    let escapes = [
        (r#"220 kB, \n and \""#, sample::ESCAPED),
        (r"220 kB, two \u a paragraph", sample::MIXED),
        ("220 kB, JSON in JSON", sample::NESTED),
        (r"220 kB, all \u", sample::UNICODE),
    ];
    for (name, text) in escapes {
        let ask = |world: &World, number| answered(post(world, &prompt(number, 220 << 10, text)));
        of(name, cost(&header(3), ask));
    }
    let small =
        |world: &World, number| answered(post(world, &prompt(number, 1 << 10, sample::ESCAPED)));
    for pods in [10, 100, 250] {
        of(&format!("1 kB, {pods} pods"), cost(&header(pods), small));
    }
    of("1 kB, 1,000 pods", cost(&large(1_000), small));
    let again = |world: &World, _| answered(post(world, &prompt(1, 32 << 10, sample::PLAIN)));
    of("32 kB, as before", cost(&header(3), again));
    let quiet = json!({"decisionHeader": false});
    of("1 kB, no decision header", cost(&world(3, Way::STOP_ITERATION_HEADER, &quiet), small));
    let gated = json!({"featureGates": ["flowControl"]});
    of("1 kB, gate open", cost(&world(3, Way::STOP_ITERATION_HEADER, &gated), small));
    of("1 kB, property", cost(&world(3, Way::STOP_ITERATION_PROPERTY, &json!({})), small));
    of("1 kB, filter state", cost(&world(3, Way::STOP_ITERATION_FILTER_STATE, &json!({})), small));
    of("1 kB, buffer filter", cost(&world(3, Way::BUFFER_FILTER_PROPERTY, &json!({})), small));
    let no_body = |world: &World, _| answered(world.envoy.worker(0).get("/v1/other", NONE));
    of("no body", cost(&header(3), no_body));
    let streamed = |world: &World, number| {
        let stream = post(world, &prompt(number, 1 << 10, sample::ESCAPED));
        stream.respond_headers(200, &[("content-type", "text/event-stream")]);
        for _ in 0..100 {
            stream.respond_chunk(b"data: {\"choices\":[{\"delta\":{\"content\":\" word\"}}]}\n\n");
        }
        stream.respond_end();
        stream
    };
    of("1 kB, 100 events", cost(&header(3), streamed));
    for workers in [1, 2, 4, 16] {
        of(&format!("1 kB, {workers} workers"), cost_among(workers));
    }
    costs
}

/// What the others placed is read with the ledger: a request crosses into Envoy as often among sixteen workers as
/// alone. It learns from each of theirs, so that the VM's own work still grows.
#[test]
fn a_request_crosses_as_often_however_many_workers_there_are() {
    let crossings = |workers| {
        let Cost { callbacks, calls, allocations, .. } = cost_among(workers);
        (callbacks, calls, allocations)
    };
    assert_eq!(crossings(16), crossings(1));
}

/// What is freed is used again, so that a VM that has met its load takes no more of the machine's memory.
#[test]
fn a_warm_worker_takes_no_more_memory() {
    let world = header(3);
    let ask = |number: u32| {
        let size = [1, 8, 32, 220][(number % 4) as usize] << 10;
        // The same prompts again and again: the prefix index grows with what is new.
        let stream = post(&world, &prompt(number % 12, size, sample::MIXED));
        assert_eq!(answered(stream).status(), Some(200));
    };
    (0..60).for_each(ask);
    let warm = world.envoy.worker(0).memory_bytes();
    (60..400).for_each(ask);
    assert_eq!(world.envoy.worker(0).memory_bytes(), warm);
}

/// The table as it would have to be, to be put in the place of the other.
fn table(measured: &[(String, Cost)]) -> String {
    measured.iter().fold(String::new(), |mut table, (name, cost)| {
        let Cost { callbacks, calls, allocations, instructions } = cost;
        let _ = writeln!(
            table,
            "    (r#\"{name}\"#, Cost::of([{callbacks}, {calls}, {allocations}], {instructions})),"
        );
        table
    })
}

#[test]
fn a_request_costs_what_the_table_says() {
    let measured = measured();
    let names = measured.iter().map(|(name, _)| name.as_str());
    assert!(names.eq(TABLE.iter().map(|(name, _)| *name)), "the table:\n{}", table(&measured));
    let pairs = measured.iter().zip(TABLE);
    let off: Vec<_> = pairs
        .filter(|((_, found), (_, expected))| !found.is_like(*expected))
        .map(|((name, found), (_, expected))| format!("{name}: {expected:?}, found {found:?}"))
        .collect();
    assert!(off.is_empty(), "{off:#?}\nIf that is meant, the table is now:\n{}", table(&measured));
}
