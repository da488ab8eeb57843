//! Pushes: who may, what is taken, and that all workers see it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::time::Duration;

use host_mock::Metric;

use super::{
    push::{Pod, Push},
    story::tell,
    world::{WORKERS, World, about},
};

const NONE: &[(&str, String)] = &[];

/// Status and message of what worker 0 says to a push, under the signature of `signed`.
fn answer(world: &World, push: &Push, signed: &Push) -> String {
    let stream = world.ingest(0, &signed.headers(), &push.body);
    said(&stream)
}

fn said(stream: &host_mock::Stream) -> String {
    let response = stream.response().unwrap();
    assert_eq!(stream.sent(), None, "an ingest never lets anything through");
    if response.body.is_empty() {
        return response.status.to_string();
    }
    let body: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
    format!("{} {}", response.status, body["error"]["message"].as_str().unwrap())
}

#[test]
fn only_a_fresh_push_of_the_secrets_holder_is_taken() {
    let world = World::new();
    let good = world.push(&[Pod::idle(1)]);
    let wrong_secret = Push { secret: "another key of thirty-two bytes", ..good.clone() };
    let changed = Push { body: world.push(&[Pod::idle(9)]).body, ..good.clone() };
    let at = |time| Push { time, ..good.clone() };
    let nonsense = [&good.body[..4], b" and then nonsense"].concat();
    let garbage = Push { body: nonsense, ..good.clone() };
    let truncated = Push { body: good.body[..good.body.len() - 1].to_vec(), ..good.clone() };
    let large = Push { body: vec![0; 100_001], ..good.clone() };
    let empty = Push { body: Vec::new(), ..good.clone() };
    let older = Push { sequence: 0, ..good.clone() };
    let earlier = Push { time: good.time - 1, sequence: 99, ..good.clone() };
    let transcript = [
        ("wrong secret", answer(&world, &good, &wrong_secret)),
        ("changed body", answer(&world, &changed, &good)),
        ("30.001 s ago", answer(&world, &good, &at(good.time - 30_001))),
        ("30.001 s ahead", answer(&world, &good, &at(good.time + 30_001))),
        ("garbage", answer(&world, &garbage, &garbage)),
        ("truncated", answer(&world, &truncated, &truncated)),
        ("truncated on the way", answer(&world, &truncated, &good)),
        ("too large", answer(&world, &large, &large)),
        ("empty", answer(&world, &empty, &empty)),
        ("good", answer(&world, &good, &good)),
        ("replayed", answer(&world, &good, &good)),
        ("older sequence", answer(&world, &older, &older)),
        ("earlier", answer(&world, &earlier, &earlier)),
    ]
    .map(|(what, answer)| format!("{what}: {answer}"));
    insta::assert_snapshot!(transcript.join("\n"), @r#"
    wrong secret: 401 the signature does not match
    changed body: 401 the signature does not match
    30.001 s ago: 401 signed at 1767225569999 ms, but it is 1767225600000 ms here; allowed: 30000 ms apart
    30.001 s ahead: 401 signed at 1767225630001 ms, but it is 1767225600000 ms here; allowed: 30000 ms apart
    garbage: 400 cannot read the snapshot: cut off or not decodable
    truncated: 400 cannot read the snapshot: cut off or not decodable
    truncated on the way: 401 the signature does not match
    too large: 413 found a snapshot of over 100000 bytes; see ingest.maxBytes
    empty: 400 cannot read the snapshot: does not begin with "LPS"
    good: 204
    replayed: 409 found time 1767225600000 sequence 1; allowed: newer than time 1767225600000 sequence 1, which is stored
    older sequence: 409 found time 1767225600000 sequence 0; allowed: newer than time 1767225600000 sequence 1, which is stored
    earlier: 409 found time 1767225599999 sequence 99; allowed: newer than time 1767225600000 sequence 1, which is stored
    "#);
    let count =
        |outcome| world.envoy.metric(&format!("llm_picker_envoy_snapshots_{outcome}_total"));
    assert_eq!(count("stored"), Some(Metric::Counter(1)));
    assert_eq!(count("refused"), Some(Metric::Counter(12)));
    assert_eq!(world.pod(&world.chat(3, "hello")).number, 1, "the good one counts");
    world.is_well();
}

#[test]
fn what_is_no_push_is_told_what_is_missing() {
    let world = World::new();
    let good = world.push(&[Pod::idle(1)]);
    let worker = world.envoy.worker(1).through("ingest").unwrap();
    let post = |headers: &[(&str, String)]| said(&worker.post("/v1/snapshot", headers, &good.body));
    let [time, sequence, signature] = good.headers();
    let upper = (signature.0, signature.1.to_uppercase());
    let bytes: &[(&str, &[u8])] = &[(time.0, b"\xff"), (sequence.0, b"1"), (signature.0, b"\xe9")];
    let with_trailers = worker.post_headers("/v1/snapshot", &good.headers());
    with_trailers.chunk(&good.body);
    with_trailers.trailers(&[("x-checksum", "1")]);
    let transcript = [
        ("GET", said(&worker.get("/v1/snapshot", NONE))),
        ("no header", post(NONE)),
        ("no signature", post(&[time.clone(), sequence.clone()])),
        ("no sequence", post(&[time.clone(), signature.clone()])),
        ("in upper case", post(&[time.clone(), sequence.clone(), upper.clone()])),
        ("signed minus", post(&[(time.0, "-1".into()), sequence.clone(), signature.clone()])),
        ("2^64", post(&[(time.0, "18446744073709551616".into()), sequence, signature])),
        ("no UTF-8", said(&worker.post("/v1/snapshot", bytes, &good.body))),
        ("with trailers", said(&with_trailers)),
    ]
    .map(|(what, answer)| format!("{what}: {answer}").replace(&upper.1, "{upper}"));
    insta::assert_snapshot!(transcript.join("\n"), @r#"
    GET: 405 found method GET; allowed: POST
    no header: 401 the header x-llm-picker-time is missing
    no signature: 401 the header x-llm-picker-signature is missing
    no sequence: 401 the header x-llm-picker-sequence is missing
    in upper case: 400 x-llm-picker-signature: found "{upper}"; allowed: 64 hexadecimal digits in lower case
    signed minus: 400 x-llm-picker-time: found "-1"; allowed: a decimal number below 2^64
    2^64: 400 x-llm-picker-time: found "18446744073709551616"; allowed: a decimal number below 2^64
    no UTF-8: 400 x-llm-picker-time: found "�"; allowed: a decimal number below 2^64
    with trailers: 204
    "#);
    world.is_well();
}

/// Nothing of a stranger's body is buffered: the answer is there before its first byte.
#[test]
fn a_stranger_is_refused_before_the_body_comes() {
    let world = World::new();
    let good = world.push(&[Pod::idle(1)]);
    let [time, sequence, signature] = good.headers();
    let old = (time.0, "1".to_owned());
    let long = ("content-length", "100001".to_owned());
    let ingest = world.envoy.worker(0).through("ingest").unwrap();
    let headers: [&[(&str, String)]; 5] = [
        NONE,
        &[time.clone(), sequence.clone()],
        &[time.clone(), sequence.clone(), (signature.0, "ab".to_owned())],
        &[old, sequence.clone(), signature.clone()],
        &[time, sequence, signature, long],
    ];
    let answers = headers.map(|headers| {
        let stream = ingest.post_headers("/v1/snapshot", headers);
        let answer = said(&stream);
        stream.chunk(&[0; 1 << 20]);
        answer
    });
    insta::assert_snapshot!(answers.join("\n"), @"
    401 the header x-llm-picker-time is missing
    401 the header x-llm-picker-signature is missing
    400 x-llm-picker-signature: found \"ab\"; allowed: 64 hexadecimal digits in lower case
    401 signed at 1 ms, but it is 1767225600000 ms here; allowed: 30000 ms apart
    413 found a snapshot of over 100000 bytes; see ingest.maxBytes
    ");
    world.is_well();
}

/// While a new secret takes the place of an old one, both are taken.
#[test]
fn two_secrets_are_taken_and_a_third_is_not() {
    let config = r#"{"ingest": {"secretEnv": ["LLM_PICKER_SECRET", "NEW", "UNSET"]}}"#;
    let told = super::configuration::refusal(config);
    assert_eq!(told, "invalid ingest.secretEnv of 3 items: must have 1 to 2");
    const OLD: &str = super::push::SECRET;
    let (new, third) = ("the secret that comes next", "a secret from somewhere else");
    let picker = host_mock::Plugin::new("picker", "{}").allow_on_headers_stop_iteration(true);
    let ingest = |names: &str| {
        host_mock::Plugin::new("ingest", format!(r#"{{"ingest": {{"secretEnv": {names}}}}}"#))
            .allow_on_headers_stop_iteration(true)
    };
    let builder = super::world::builder().env("NEW", new).plugin(picker);
    let envoy = builder.plugin(ingest(r#"["LLM_PICKER_SECRET", "NEW"]"#)).start().unwrap();
    let sequence = std::cell::Cell::new(0);
    let push = |secret: &'static str| {
        sequence.set(sequence.get() + 1);
        let time = u64::try_from(envoy.now().as_millis()).unwrap();
        let push = Push { time, sequence: sequence.get(), secret, ..Push::of(&[Pod::idle(1)]) };
        let worker = envoy.worker(0).through("ingest").unwrap();
        worker.post("/v1/snapshot", &push.headers(), &push.body).status().unwrap()
    };
    assert_eq!([push(OLD), push(new), push(third), push(OLD)], [204, 204, 401, 204]);
    // Of two variables one may be unset, and then the other is all that is taken.
    envoy.reconfigure(ingest(r#"["NEW", "UNSET"]"#)).unwrap();
    assert_eq!([push(OLD), push(new)], [401, 204]);
}

/// A push comes in on some worker's connection, and requests on all of them.
#[test]
fn what_one_worker_stored_all_workers_use() {
    let world = World::new();
    for (worker, number) in [(2, 1), (0, 2), (3, 3), (1, 4)] {
        let push = world.push(&[Pod::idle(number)]);
        let stream = world.ingest(worker, &push.headers(), &push.body);
        assert_eq!(stream.status(), Some(204));
        for reader in 0..WORKERS {
            assert_eq!(world.pod(&world.chat(reader, &about("rivers"))).number, number);
        }
    }
    world.is_well();
}

/// Two scrapers, or two connections of one, whose pushes overtake each other.
#[test]
fn of_pushes_that_cross_the_newer_stays() {
    let world = World::new();
    let older = world.push(&[Pod::idle(1)]);
    let newer = world.push(&[Pod::idle(2)]);
    let ingest = |worker| world.envoy.worker(worker).through("ingest").unwrap();
    let slow = ingest(0).post_headers("/v1/snapshot", &older.headers());
    let quick = ingest(1).post_headers("/v1/snapshot", &newer.headers());
    slow.chunk(&older.body);
    quick.chunk(&newer.body);
    quick.end();
    slow.end();
    assert_eq!((quick.status(), slow.status()), (Some(204), Some(409)));
    assert_eq!(world.pod(&world.chat(2, "hello")).number, 2);
    // A scraper that starts again counts from 0, at a later time.
    world.envoy.run_for(Duration::from_millis(1));
    let restarted = Push { sequence: 0, ..world.push(&[Pod::idle(3)]) };
    assert_eq!(answer(&world, &restarted, &restarted), "204");
    assert_eq!(world.pod(&world.chat(3, "hello")).number, 3);
    world.is_well();
}

#[test]
fn a_snapshot_ages_by_envoys_clock_and_by_the_metrics_own_age() {
    let world = World::new();
    let read = |millis| Pod { age: Duration::from_millis(millis), ..Pod::idle(1) };
    world.pods(&[read(7)]);
    let age = |worker| {
        let decision = World::decision(&world.chat(worker, "hello"));
        decision
            .split(';')
            .find_map(|field| field.strip_prefix("snapshot-age-ms="))
            .unwrap()
            .to_owned()
    };
    assert_eq!(age(0), "7");
    world.envoy.run_for(Duration::from_millis(50));
    assert_eq!((age(0), age(3)), ("57".to_owned(), "57".to_owned()));
    world.envoy.run_for(Duration::from_secs(3600));
    assert_eq!(age(1), "3600057", "the last snapshot serves on");
    world.pods(&[read(0)]);
    assert_eq!(age(2), "0");
    world.pods(&[Pod { kv_usage: None, ..Pod::idle(1) }]);
    assert_eq!(age(2), "unknown");
    world.is_well();
}

/// Past two seconds a pod's load is not gone by; what it has cached still is.
#[test]
fn when_pushes_stop_requests_still_go_to_their_cache() {
    let world = World::new();
    tell(
        &world,
        "
        pods 0.0 0.5
        0 asks a about rivers => pod 1
        a gets 200
        pods 0.9 0.0
        10000 ms pass
        1 asks b about rivers => pod 1
        2 asks c about rivers => pod 1
        ",
    );
    world.is_well();
}

/// Whoever reaches the listener can make up the headers of a push: what it sends counts as an upload.
#[test]
fn pushes_that_stand_still_or_pin_too_much_end() {
    let world = World::new();
    let headers = world.push(&[Pod::idle(1)]).headers();
    let begin = |bytes: usize| {
        let ingest = world.envoy.worker(0).through("ingest").unwrap();
        let stream = ingest.post_headers("/v1/snapshot", &headers);
        stream.chunk(&vec![0; bytes]);
        stream
    };
    let stands = begin(10);
    world.envoy.run_for(Duration::from_secs(9));
    assert_eq!(stands.status(), None);
    world.envoy.run_for(Duration::from_secs(3));
    assert_eq!(said(&stands), "408 found a body that stands still");
    let many: Vec<_> = (0..2_700).map(|_| begin(100_000)).collect();
    world.envoy.run_for(Duration::from_millis(500));
    let ended = many.iter().filter(|stream| stream.status() == Some(503)).count();
    assert!((16..64).contains(&ended), "{ended} of 270 MB");
    // Those of the scraper are taken meanwhile.
    world.pods(&[Pod::idle(1)]);
    drop(many);
    world.is_well();
}

/// A repeated push of the other secret is refused, and is as if it had not come.
#[test]
fn a_repeated_push_changes_no_prompts_key() {
    let builder = super::world::builder().env("NEW", "the secret that comes next");
    let picker = host_mock::Plugin::new("picker", r#"{"decisionHeader": true}"#);
    let ingest = r#"{"ingest": {"secretEnv": ["LLM_PICKER_SECRET", "NEW"]}}"#;
    let plugins = [picker, host_mock::Plugin::new("ingest", ingest)];
    let plugins = plugins.map(|plugin| plugin.allow_on_headers_stop_iteration(true));
    let envoy = plugins.into_iter().fold(builder, host_mock::Builder::plugin).start().unwrap();
    let push = |sequence, secret| {
        let time = u64::try_from(envoy.now().as_millis()).unwrap();
        Push { time, sequence, secret, ..Push::of(&[Pod::idle(1), Pod::idle(2)]) }
    };
    let send = |push: &Push| {
        let worker = envoy.worker(0).through("ingest").unwrap();
        worker.post("/v1/snapshot", &push.headers(), &push.body).status().unwrap()
    };
    let old = push(1, "the secret that comes next");
    assert_eq!([send(&old), send(&push(2, super::push::SECRET))], [204, 204]);
    let ask = || {
        // Workers learn of another key at their ticks.
        envoy.run_for(Duration::from_millis(1_100));
        let body = super::world::chat_body(&about("rivers"));
        World::decision(&envoy.worker(0).post(super::world::CHAT, NONE, &body))
    };
    let _ = ask();
    assert!(ask().contains("prefix-hit=1.00"));
    assert_eq!(send(&old), 409);
    let told = ask();
    assert!(told.contains("prefix-hit=1.00"), "{told}");
}
