//! One pod computes the prompt, another answers: what the filter tells them, and what it counts there.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::time::Duration;

use host_mock::{Plugin, Stream};
use serde_json::{Value, json};
use wire::tally::{DisaggDecision, Labels, Measure};

use super::{
    push::Pod,
    tallied::Tallied,
    world::{WORKERS, Way, World, about, builder},
};

const NONE: &[(&str, &str)] = &[];

const PREFILLER: &str = "x-prefiller-host-port";

/// Every header that a decision may set.
const FORGED: [(&str, &str); 3] = [
    (PREFILLER, "192.0.2.66:22"),
    ("x-encoder-hosts-ports", "192.0.2.66:22"),
    ("x-data-parallel-host-port", "192.0.2.66:22"),
];

fn config(decider: &str) -> Value {
    config_with(&json!({"type": decider}))
}

fn config_with(decider: &Value) -> Value {
    config_by(decider, ["queue-scorer", "prefix-cache-scorer"])
}

/// Both stages by these scorers.
fn config_by(decider: &Value, scorers: [&str; 2]) -> Value {
    let profile = |name: &str| {
        let refs = [&format!("{name}-filter"), scorers[0], scorers[1]];
        let refs = refs.map(|name| json!({"pluginRef": name}));
        json!({"name": name, "plugins": refs})
    };
    let deciders = json!({"deciders": {"prefill": decider.get("type")}});
    json!({
        "plugins": [
            decider,
            {"type": "disagg-profile-handler", "parameters": deciders},
            {"type": "decode-filter"},
            {"type": "prefill-filter"},
            {"type": scorers[0]},
            {"type": scorers[1]},
        ],
        "schedulingProfiles": [profile("decode"), profile("prefill")],
    })
}

/// Always apart, and by what is in flight alone.
fn by_load() -> Value {
    let decider = json!({"type": "always-disagg-pd-decider"});
    config_by(&decider, ["active-request-scorer", "token-load-scorer"])
}

/// Pod 1 answers, pod 2 computes prompts.
fn stages(way: Way, config: &Value) -> World {
    let world = World::with(way, config);
    roles(&world, &["decode", "prefill"]);
    world
}

/// Pods 1, 2, … have these roles.
fn roles(world: &World, roles: &[&'static str]) {
    let staged =
        |(number, role): (u8, &&'static str)| Pod { role: Some(role), ..Pod::idle(number) };
    world.pods(&(1..).zip(roles).map(staged).collect::<Vec<_>>());
}

/// Requests and prompt tokens in flight on pods 1, 2, ….
fn in_flight<const PODS: usize>(world: &World) -> [(u32, u32); PODS] {
    std::array::from_fn(|place| world.in_flight(&format!("10.0.0.{}:8000", place + 1)))
}

/// Who computes the prompt of a request that was sent.
fn prefiller(stream: &Stream) -> String {
    stream.sent().unwrap().headers.text(PREFILLER).unwrap().to_owned()
}

#[test]
fn the_decode_pod_is_told_who_computes_the_prompt() {
    for way in
        [Way::STOP_ITERATION_HEADER, Way::STOP_ITERATION_PROPERTY, Way::STOP_ITERATION_FILTER_STATE]
    {
        let world = stages(way, &config("always-disagg-pd-decider"));
        for worker in 0..WORKERS {
            let stream = world.chat_with(worker, &FORGED, &about("rivers"));
            assert_eq!(world.pod(&stream).number, 1, "{way:?}");
            let headers = stream.sent().unwrap().headers;
            let told = FORGED.map(|(name, _)| headers.get_all(name).collect::<Vec<_>>());
            assert_eq!(told, [vec![&b"10.0.0.2:8000"[..]], vec![], vec![]], "{way:?}");
        }
        world.is_well();
    }
}

#[test]
fn what_a_client_forges_is_taken_out_where_nothing_is_set() {
    for way in Way::ALL {
        let world = World::with(way, &json!({}));
        world.pods(&Pod::idles(1));
        let worker = world.envoy.worker(1);
        for stream in [world.chat_with(0, &FORGED, "hello"), worker.get("/v1/models", &FORGED)] {
            let headers = stream.sent().unwrap().headers;
            assert!(FORGED.iter().all(|(name, _)| headers.get(name).is_none()), "{way:?}");
        }
        world.is_well();
    }
}

/// The decode pod has the prompt after the first answer, whichever worker sent that.
#[test]
fn a_cached_prompt_is_not_computed_apart_again() {
    let parameters = json!({"nonCachedTokens": 512});
    let decider = json!({"type": "prefix-based-pd-decider", "parameters": parameters});
    let world = stages(Way::STOP_ITERATION_HEADER, &config_with(&decider));
    let told = |worker| {
        let stream = world.chat(worker, &about("rivers"));
        let told = stream.sent().unwrap().headers.text(PREFILLER).map(str::to_owned);
        stream.respond(200, (), b"{}");
        told
    };
    assert_eq!(told(0).as_deref(), Some("10.0.0.2:8000"));
    assert_eq!(told(3), None);
    let tallied = Tallied::of(&world, &[]);
    let counted =
        |decision| tallied.sum(&Labels::model("tiny"), Measure::DisaggDecisions(decision));
    assert_eq!(counted(DisaggDecision::PrefillDecode), 1);
    assert_eq!(counted(DisaggDecision::DecodeOnly), 1);
    world.is_well();
}

const EVENTS: &[(&str, &str)] = &[("content-type", "text/event-stream")];
const WORD: &[u8] = b"data: {\"choices\":[{\"delta\":{\"content\":\"word\"}}]}\n\n";

/// Begins a stream with its first content.
fn begin(stream: &Stream) {
    stream.respond_headers(200, EVENTS);
    stream.respond_chunk(WORD);
}

/// The prompt where it is computed, and until it is; the request where it is answered, to its end.
#[test]
fn it_counts_at_both() {
    let world = World::with(Way::STOP_ITERATION_HEADER, &by_load());
    roles(&world, &["decode", "prefill"]);
    let ask = |worker, topic| world.chat(worker, &about(topic));
    let (first, second) = (ask(0, "rivers"), ask(3, "mountains"));
    let [decode, (requests, tokens)] = in_flight(&world);
    assert_eq!((decode, requests), ((2, 0), 2));
    begin(&first);
    let [decode, (requests, left)] = in_flight(&world);
    assert_eq!((decode, requests), ((2, 0), 1), "the answer begins");
    assert!(0 < left && left < tokens, "{left} of {tokens}");
    first.respond_end();
    assert_eq!(in_flight(&world), [(1, 0), (1, left)], "and ends");
    // A prompt that was computed there is not to be computed again.
    let again = ask(1, "rivers");
    let [_, (requests, tokens)] = in_flight(&world);
    assert_eq!(requests, 2);
    assert!(tokens - left < left / 4, "{tokens}, and {left} before");
    again.respond(200, NONE, b"{}");
    second.respond(200, NONE, b"{}");
    assert_eq!(in_flight(&world), [(0, 0); 2]);
    world.is_well();
}

#[test]
fn nothing_is_left_at_either_however_it_ends() {
    let world = World::with(Way::STOP_ITERATION_HEADER, &by_load());
    roles(&world, &["decode", "prefill"]);
    let ends: [fn(&Stream); 6] = [
        |stream| stream.respond(503, NONE, b"{}"),
        |stream| stream.respond(400, NONE, b"{}"),
        Stream::refuse,
        Stream::upstream_resets,
        Stream::upstream_times_out,
        Stream::disconnect,
    ];
    for (turn, end) in ends.into_iter().enumerate() {
        // Not one and the same prompt: each is to be computed anew.
        let stream = world.chat(turn % WORKERS, &about(&format!("river number {turn}")));
        let [decode, (requests, tokens)] = in_flight(&world);
        assert!(decode == (1, 0) && requests == 1 && tokens > 0, "{turn}: {decode:?} {tokens}");
        end(&stream);
        assert_eq!(in_flight(&world), [(0, 0); 2], "{turn}");
        // A success between them: three failures in a row and the pod would be left alone.
        world.chat(0, "hello").respond(200, NONE, b"{}");
    }
}

/// The next decode pod of the list has the same pod compute the prompt.
#[test]
fn only_the_answer_moves_when_envoy_goes_on() {
    let world = World::with(Way::STOP_ITERATION_HEADER, &by_load());
    roles(&world, &["decode", "decode", "prefill"]);
    let stream = world.chat(0, &about("rivers"));
    let at = world.pod(&stream).number;
    let other = 3 - at;
    stream.upstream_address(&format!("10.0.0.{other}:8000"));
    stream.respond_headers(200, EVENTS);
    let served = |number| (u32::from(number == other), 0);
    let [one, two, (computed, _)] = in_flight(&world);
    assert_eq!(([one, two], computed), ([served(1), served(2)], 1), "headers compute nothing");
    stream.respond_chunk(WORD);
    assert_eq!(in_flight(&world), [served(1), served(2), (0, 0)]);
    stream.respond_end();
    assert_eq!(in_flight(&world), [(0, 0); 3]);
    world.is_well();
}

/// What the dead worker had at both is taken back by another.
#[test]
fn a_dead_worker_leaves_nothing_at_either() {
    let world = World::with(Way::STOP_ITERATION_HEADER, &by_load());
    roles(&world, &["decode", "prefill"]);
    let lost = [world.chat(3, &about("rivers")), world.chat(3, &about("stars"))];
    begin(&lost[0]);
    assert_eq!(in_flight(&world).map(|(requests, _)| requests), [2, 1]);
    world.envoy.worker(3).kill();
    world.chat(0, "hello").respond(200, NONE, b"{}");
    world.envoy.run_for(Duration::from_secs(7));
    assert_eq!(in_flight(&world), [(0, 0); 2]);
}

/// No scrape says that a pod computes: the next request goes elsewhere all the same, whichever worker
/// has it.
#[test]
fn all_workers_see_who_computes() {
    let world = World::with(Way::STOP_ITERATION_HEADER, &by_load());
    roles(&world, &["decode", "prefill", "prefill", "prefill", "prefill"]);
    let topics = ["rivers", "stars", "hills", "clouds"];
    let sent: Vec<Stream> =
        (0..).zip(topics).map(|(worker, topic)| world.chat(worker, &about(topic))).collect();
    let mut each: Vec<String> = sent.iter().map(prefiller).collect();
    let last = each.clone();
    each.sort_unstable();
    each.dedup();
    assert_eq!(each.len(), topics.len(), "one prompt a pod: {last:?}");
    // Whose prompt is computed takes the next one, while it is still being answered elsewhere.
    begin(&sent[2]);
    assert_eq!(prefiller(&world.chat(0, &about("lakes"))), last[2]);
    world.is_well();
}

/// One prompt at a time, whatever room there is for answers; and a prompt that is computed makes room
/// at once, not at the next tick.
#[test]
fn a_full_stage_holds_requests_until_a_prompt_is_computed() {
    let mut config = by_load();
    let detector = json!({"type": "concurrency-detector", "parameters": {"maxConcurrency": 1}});
    config["plugins"].as_array_mut().unwrap().push(detector);
    config["featureGates"] = json!(["flowControl"]);
    config["flowControl"] = json!({"saturationDetector": {"pluginRef": "concurrency-detector"}});
    let world = World::with(Way::STOP_ITERATION_HEADER, &config);
    roles(&world, &["decode", "decode", "decode", "prefill"]);
    let first = world.chat(0, &about("rivers"));
    let held = world.chat(1, &about("stars"));
    assert!(first.sent().is_some() && held.sent().is_none() && held.response().is_none());
    begin(&first);
    world.envoy.run_for(Duration::from_millis(4));
    assert!(held.sent().is_some(), "{:?}", held.response());
    assert_eq!(world.in_flight("10.0.0.4:8000").0, 1);
    world.is_well();
}

#[test]
fn without_a_pod_for_the_prompt_the_request_is_refused() {
    let world = World::with(Way::STOP_ITERATION_HEADER, &config("always-disagg-pd-decider"));
    world.pods(&Pod::idles(2));
    let stream = world.chat(0, "hello");
    let response = stream.response().unwrap();
    assert_eq!(stream.status(), Some(429));
    assert!(response.text().contains("prefill-filter left none"), "{}", response.text());
}

#[test]
fn what_cannot_be_told_is_not_configured() {
    let mut config = config("always-disagg-pd-decider");
    let envoy = json!({"hold": "bufferFilter", "destination": "property"});
    config.as_object_mut().unwrap().insert("envoy".to_owned(), envoy);
    let envoy = builder().plugin(Plugin::new("picker", config.to_string())).start().unwrap();
    let told = "must not go with a profile handler that sets headers";
    let logs = envoy.logs();
    assert!(logs.iter().any(|line| line.message.contains(told)), "{logs:?}");
}
