//! Runs a case in the mock.

use crate::{
    Outcome,
    cases::{Case, Step},
    filter, hello,
};
use host_mock::{Envoy, LatePart, Level, Module, Plugin, Stream};
use std::{collections::BTreeMap, time::Duration};

pub(crate) fn run(case: &Case) -> Outcome {
    let module = Module::new(filter::wat(&case.filter).as_bytes()).unwrap();
    let plugin = Plugin::new("p", "")
        .allow_on_headers_stop_iteration(case.stop_iteration)
        .fail_policy(case.policy);
    let idle = Duration::from_secs(1);
    let builder = Envoy::builder(&module).plugin(plugin).stream_idle_timeout(idle);
    let builder = if case.retries > 0 { builder.late_part(LatePart::Repeated) } else { builder };
    let envoy = builder.cluster("up").cluster("gone").start().unwrap();
    let mut streams: BTreeMap<char, Stream> = BTreeMap::new();
    let mut left = Vec::new();
    for step in &case.script {
        match *step {
            Step::Get(name) => {
                streams.insert(
                    name,
                    envoy.worker(0).get("/", [("x-a", "1"), ("x-a", "2")].as_slice()),
                );
            }
            Step::Post(name) => {
                let headers = [("x-a", "1"), ("x-a", "2")];
                streams.insert(name, envoy.worker(0).post_headers("/", &headers));
            }
            Step::Chunk(name, len) => streams[&name].chunk(&vec![b'x'; len]),
            Step::End(name) => streams[&name].end(),
            Step::Leave(name) => {
                streams[&name].disconnect();
                left.push(name);
            }
            Step::Tick => envoy.run_for(Duration::from_millis(500)),
            Step::Idle => envoy.run_for(idle),
        }
        envoy.pump();
        answer_calls(&envoy);
        // Answering one may let another go upstream.
        for _ in 0..streams.len() {
            streams.values().for_each(answer);
        }
    }
    let clients = streams.iter().map(|(name, stream)| {
        if left.contains(name) {
            format!("{name}: left")
        } else {
            format!("{name}: {}", seen(stream))
        }
    });
    Outcome { clients: clients.collect(), trace: trace(&envoy) }
}

/// The upstream answers as soon as it has the whole request.
fn answer(stream: &Stream) {
    if let Some(sent) = stream.sent().filter(|sent| sent.complete)
        && stream.response().is_none()
        && !stream.is_over()
    {
        let x_a: Vec<_> = sent.headers.get_all("x-a").map(String::from_utf8_lossy).collect();
        let body = hello(sent.body.len(), &x_a.join(","));
        stream.respond(200, (), body.as_bytes());
    }
}

/// A cluster answers at once, unless it is asked to be slow; where nobody listens Envoy does.
fn answer_calls(envoy: &Envoy) {
    for call in envoy.http_calls() {
        match (call.cluster.as_str(), call.headers.text(":path")) {
            ("gone", _) => envoy.answer(call.token, 503, (), b"upstream connect error"),
            (_, Some("/slow")) => (),
            _ => envoy.answer(call.token, 200, (), hello(0, "").as_bytes()),
        }
    }
}

fn seen(stream: &Stream) -> String {
    match stream.response() {
        _ if stream.was_reset() => "closed".to_owned(),
        Some(response) if response.complete => format!("{} {}", response.status, response.text()),
        Some(response) => format!("{} {}(hangs)", response.status, response.text()),
        None => "hangs".to_owned(),
    }
}

fn trace(envoy: &Envoy) -> Vec<String> {
    let logs = envoy.logs();
    logs.into_iter().filter(|line| line.level == Level::Info).map(|line| line.message).collect()
}
