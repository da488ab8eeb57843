//! Every event in every order against every phase of a request, over the real .wasm: no VM dies of it.
//!
//! Objectives, pods and rewrites change by snapshot and the configuration by reload while requests are
//! read, held, sent and answered, clients leave, messages come late and VMs die. Other laws say which
//! answers are right; this one says that there is no order of events that panics.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::time::Duration;

use arbtest::{
    arbitrary::{Result, Unstructured},
    arbtest,
};
use host_mock::{FailPolicy, Plugin, Stream};
use picker_core::{ModelRewrite, RewriteRule, RewriteTarget, Snapshot};
use serde_json::{Value, json};

use super::{
    push::{Pod, Push},
    world::{CHAT, WORKERS, Way, World, chat_body},
};

const NONE: &[(&str, &str)] = &[];

/// Steps of one script: enough for requests of every phase to stand side by side.
const STEPS: usize = 150;

/// After the last event: a lease's term, the time after which a worker is dead, and some ticks.
const QUIET: Duration = Duration::from_secs(8);

struct Sweep {
    world: World,
    streams: Vec<Stream>,
    is_killed: [bool; WORKERS],
}

impl Sweep {
    fn new(u: &mut Unstructured<'_>) -> Result<Self> {
        let world = World::with(Way::STOP_ITERATION_HEADER, &configuration(u)?);
        Ok(Self { world, streams: Vec::new(), is_killed: [false; WORKERS] })
    }

    fn step(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let envoy = &self.world.envoy;
        match u.int_in_range(0..=24)? {
            0..=5 => self.ask(u)?,
            6..=7 => self.read_on(u)?,
            8..=12 => self.answer(u)?,
            13 => {
                if let Some(stream) = self.any(u)? {
                    stream.disconnect();
                }
            }
            14..=15 => self.push(u)?,
            16 => {
                let plugin = Plugin::new("picker", configuration(u)?.to_string())
                    .allow_on_headers_stop_iteration(true)
                    .fail_policy(FailPolicy::Reload);
                envoy.reconfigure(plugin).unwrap();
            }
            17..=18 => drop(envoy.deliver(0)),
            23 => envoy.end_old_instances(),
            19 => drop(envoy.pump_shuffled(u.arbitrary()?)),
            20 => envoy.advance(Duration::from_millis(u.int_in_range(1..=400)?)),
            21..=22 => envoy.run_for(Duration::from_millis(u.int_in_range(1..=2_500)?)),
            _ if u.ratio(1, 8)? => {
                // One of them stays, so that a worker is left to see that the others are dead.
                let worker = u.int_in_range(1..=WORKERS - 1)?;
                envoy.worker(worker).kill();
                if let Some(is_killed) = self.is_killed.get_mut(worker) {
                    *is_killed = true;
                }
            }
            _ => (),
        }
        Ok(())
    }

    /// A request whose body is whole, partly there or absent.
    fn ask(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let worker = self.world.envoy.worker(u.choose_index(WORKERS)?);
        let headers = [
            ("x-llm-d-inference-objective", *u.choose(&["urgent", "batch", "other", ""])?),
            ("x-llm-d-inference-fairness-id", *u.choose(&["ann", "bob"])?),
            ("x-llm-d-inference-ttl", *u.choose(&["60s", "60s", "100ms"])?),
        ];
        let body = chat_body(u.choose(&["rivers", "stars and clouds"])?);
        let stream = match u.int_in_range(0..=5)? {
            0 => worker.get("/v1/models", NONE),
            1 => worker.post(CHAT, &headers, b"no JSON"),
            2 => worker.post_headers(CHAT, &headers),
            _ => worker.post(CHAT, &headers, &body),
        };
        self.streams.push(stream);
        Ok(())
    }

    fn read_on(&self, u: &mut Unstructured<'_>) -> Result<()> {
        let Some(stream) = self.any(u)? else { return Ok(()) };
        if stream.sent().is_some_and(|sent| sent.complete) {
            return Ok(());
        }
        match u.int_in_range(0..=3)? {
            0 => stream.chunk(b"{\"model\": \"tiny\", "),
            1 => stream.last_chunk(&chat_body("rivers")),
            2 => stream.trailers(&[("x-checksum", "1")]),
            _ => stream.end(),
        }
        Ok(())
    }

    fn answer(&self, u: &mut Unstructured<'_>) -> Result<()> {
        let Some(stream) = self.any(u)? else { return Ok(()) };
        if stream.sent().is_none_or(|sent| !sent.complete) {
            return Ok(());
        }
        let events = [("content-type", "text/event-stream")];
        match u.int_in_range(0..=8)? {
            0 => stream.upstream_resets(),
            1 => stream.refuse(),
            2 => stream.upstream_times_out(),
            3 => stream.respond(*u.choose(&[200, 404, 500, 503])?, NONE, b"{}"),
            4 => stream.respond_headers(200, &events),
            5 => stream.respond_chunk(b"data: {\"choices\": [{\"text\": \"a\"}]}\n\n"),
            6 => stream.respond_trailers(&[("endpoint-load-metrics", "TEXT cpu_utilization=0.3")]),
            7 => stream.respond_end(),
            _ => stream.upstream_address("10.0.0.2:8000"),
        }
        Ok(())
    }

    /// A snapshot of other pods, objectives and rewrites than the last one.
    fn push(&self, u: &mut Unstructured<'_>) -> Result<()> {
        let pods = Pod::idles(u.int_in_range(0..=3)?);
        let mut objectives = Vec::new();
        for name in ["batch", "other", "urgent"] {
            if u.ratio(2, 3)? {
                objectives.push((name, u.int_in_range(-2..=9)?));
            }
        }
        let mut push = match u.int_in_range(0..=2)? {
            0 => Push::of_endpoints(Snapshot::default(), Vec::new()),
            1 => Push::with_rewrites(&pods, vec![rewrite()]),
            _ => Push::with_objectives(&pods, &objectives),
        };
        let stamp = self.world.push(&pods);
        (push.time, push.sequence) = (stamp.time, stamp.sequence);
        let worker = u.choose_index(WORKERS)?;
        let stream = self.world.ingest(worker, &push.headers(), &push.body);
        assert!(stream.is_over(), "a push that is left hanging");
        Ok(())
    }

    fn any(&self, u: &mut Unstructured<'_>) -> Result<Option<&Stream>> {
        let open: Vec<&Stream> = self.streams.iter().filter(|stream| !stream.is_over()).collect();
        if open.is_empty() {
            return Ok(None);
        }
        Ok(open.get(u.choose_index(open.len())?).copied())
    }

    /// No VM died but those that were killed.
    fn lives(&self) {
        for (worker, is_killed) in self.is_killed.iter().enumerate() {
            let failure = self.world.envoy.worker(worker).failure();
            let panicked = failure.filter(|why| !is_killed || why.contains("panicked"));
            assert_eq!(panicked, None, "worker {worker}");
        }
        let logs = self.world.envoy.logs();
        let panics = logs.iter().map(|line| &line.message);
        let panics = panics.filter(|text| text.contains("panicked"));
        assert_eq!(panics.collect::<Vec<_>>(), [] as [&String; 0]);
    }
}

/// Flow control on or off, with or without objectives of its own.
fn configuration(u: &mut Unstructured<'_>) -> Result<Value> {
    let mut configuration = json!({
        "decisionHeader": true,
        "envoy": {"hold": "stopIteration", "destination": "header"},
        "failureMode": *u.choose(&["FailOpen", "FailClose"])?,
        "plugins": [
            {"type": "concurrency-detector", "parameters": {"maxConcurrency": u.int_in_range(1..=2)?}},
            {"type": "prefix-cache-scorer"},
        ],
        "flowControl": {"saturationDetector": {"pluginRef": "concurrency-detector"}, "maxRequests": 8},
    });
    if u.ratio(2, 3)? {
        configuration["featureGates"] = json!(["flowControl"]);
    }
    if u.ratio(1, 3)? {
        configuration["objectives"] = json!([{"name": "urgent", "priority": 3}]);
    }
    Ok(configuration)
}

fn rewrite() -> ModelRewrite {
    let target = RewriteTarget { model: "large".to_owned(), weight: 1 };
    let rule = RewriteRule { models: vec!["tiny".to_owned()], targets: vec![target] };
    ModelRewrite { name: "to-large".to_owned(), rules: vec![rule] }
}

#[test]
fn no_order_of_events_panics() {
    arbtest(|u| {
        let mut sweep = Sweep::new(u)?;
        for _ in 0..STEPS {
            sweep.step(u)?;
            sweep.lives();
        }
        sweep.world.envoy.run_for(QUIET);
        sweep.lives();
        Ok(())
    })
    .size_min(4_000)
    .size_max(16_000)
    .budget_ms(10_000);
}
