//! Bodies of requests that are placed before their body, held by flow control and released while it arrives: the pod gets
//! the same bytes, whatever the frames, the moment, the way into Envoy and the Envoy.
//!
//! A run takes seconds for each Envoy. `LLM_PICKER_UPLOADS=200` runs so many uploads in every way instead of a few, and
//! `LLM_PICKER_UPLOADS_SEED=7` a seed that an earlier run has printed.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test may panic, and says what it tried"
)]

mod plan;
mod sink;
mod upload;

use std::{
    collections::BTreeMap,
    env, fs,
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};
use stack::{Builder, Stack, Template, Way};
use tokio::time::sleep;
use wire::config::{Destination, Hold};

use super::{
    client::chat,
    istio::{Kustomization, versions},
    push, world,
};
use plan::{Moment, Plan};
use sink::SinkPod;
use upload::{Outcome, Upload};

/// Uploads for each stack in a short run: with a dozen stacks, half a minute.
const UPLOADS: usize = 16;

/// Largest body where the buffer filter takes no larger one, held or not: what the bootstraps say.
const BUFFER_FILTER_MAX: usize = 9_437_184;

/// Largest body elsewhere.
const UPLOAD_MAX: usize = 30 << 20;

/// Time that an upload may take, on a machine that does much else.
const LONGEST: Duration = Duration::from_secs(10);

/// A configuration of Envoy under test.
#[derive(Clone, Copy)]
enum Target {
    Local(Way),
    Istio(Kustomization),
}

impl Target {
    fn all() -> impl Iterator<Item = Self> {
        let local = Way::ALL.into_iter().map(Self::Local);
        local.chain(Kustomization::ALL.into_iter().map(Self::Istio))
    }

    fn way(self) -> Way {
        match self {
            Self::Local(way) => way,
            Self::Istio(kustomization) => kustomization.way,
        }
    }

    fn name(self) -> String {
        match self {
            Self::Local(way) => way.to_string(),
            Self::Istio(kustomization) => kustomization.name.to_owned(),
        }
    }

    /// True if a request that has waited can be sent on. `set_envoy_filter_state` of Envoy 1.36 writes nothing for a
    /// stream that another callback lets go.
    fn lets_go(self, version: Option<&str>) -> bool {
        self.way().destination() != Destination::FilterState || version != Some(versions::OLDER[0])
    }

    fn bytes_max(self) -> usize {
        match self.way().hold() {
            Hold::BufferFilter => BUFFER_FILTER_MAX,
            Hold::StopIteration => UPLOAD_MAX,
        }
    }

    fn set_up(self, version: Option<&str>, builder: Builder, config: &Value) -> Builder {
        match self {
            Self::Local(way) if version == Some(versions::OLDER[0]) => {
                builder.way(way).plugin(config.clone()).template(without_tags(way))
            }
            Self::Local(way) => builder.way(way).plugin(config.clone()),
            Self::Istio(it) => builder.way(it.way).template(it.template(config)),
        }
    }
}

/// The bootstrap of a way without the tags of spans, which Envoy takes from 1.37 on: what docs/operations.md says to do.
fn without_tags(way: Way) -> Template {
    let hold = match way.hold() {
        Hold::StopIteration => "stop-iteration",
        Hold::BufferFilter => "buffer-filter",
    };
    let destination = match way.destination() {
        Destination::Header => "header",
        Destination::Property => "property",
        Destination::FilterState => "filter-state",
    };
    let file = format!("../envoy/local/{hold}-{destination}.yaml");
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
    let (before, rest) = text.split_once("          tracing:\n").unwrap();
    let after = rest.lines().skip_while(|line| line.starts_with("            "));
    let bootstrap = format!("{before}{}\n", after.collect::<Vec<_>>().join("\n"));
    Template { bootstrap, files: Vec::new() }
}

/// The configuration of a pool that takes one request at a time.
fn gated() -> Value {
    let detector = "concurrency-detector";
    json!({
        "featureGates": ["flowControl"],
        "plugins": [{"type": detector, "parameters": {"maxConcurrency": 1}}],
        "flowControl": {"saturationDetector": {"pluginRef": detector}},
    })
}

/// The number of an environment variable.
fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap())
}

/// Tells the law in this Envoy. A short run takes every fourth target, another one for each Envoy; the whole of a run has
/// them all, and the next run another Envoy for each.
async fn hold(version: Option<&str>, turn: u64) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let seed = number("LLM_PICKER_UPLOADS_SEED").unwrap_or(now);
    let long = number("LLM_PICKER_UPLOADS");
    let uploads = long.map_or(UPLOADS, |count| usize::try_from(count).unwrap());
    let mut failures = Vec::new();
    for (index, target) in (0..).zip(Target::all()) {
        let is_drawn = long.is_some() || (index + turn + seed).is_multiple_of(4);
        if is_drawn && target.lets_go(version) {
            let seed = seed.wrapping_mul(31).wrapping_add(index);
            failures.extend(in_target(version, target, seed, uploads).await);
        }
    }
    assert!(failures.is_empty(), "seed {seed}:\n{}", failures.join("\n"));
}

/// Holds and releases uploads, one after the other, and returns those that went wrong.
async fn in_target(
    version: Option<&str>,
    target: Target,
    seed: u64,
    uploads: usize,
) -> Vec<String> {
    let name = format!("{} {}", version.unwrap_or("newest"), target.name());
    eprintln!("{name}: seed {seed}, {uploads} uploads");
    let pod = SinkPod::start().await;
    let mut failures = Vec::new();
    let builder = versions::stack(version).upstreams(vec![pod.address]).without_scraper();
    let config = gated();
    let mut counts: BTreeMap<(String, &'static str), usize> = BTreeMap::new();
    let mut rng = fastrand::Rng::with_seed(seed);
    world::tell_within(
        LONGEST * u32::try_from(uploads).unwrap(),
        target.set_up(version, builder, &config),
        async |stack| {
            push::snapshot(stack, 1, &[pod.address]).await;
            for _ in 0..uploads {
                let plan = Plan::random(&mut rng, target.bytes_max());
                let outcome = held(stack, &pod, &plan).await;
                *counts.entry((plan.protocol.to_string(), outcome.name())).or_default() += 1;
                if !matches!(outcome, Outcome::Same) {
                    let failure = format!("{name}: {plan}: {outcome}");
                    eprintln!("{failure}");
                    failures.push(failure);
                }
            }
        },
    )
    .await;
    for ((protocol, outcome), count) in counts {
        eprintln!("| {name} | {protocol} | {outcome} | {count} |");
    }
    failures
}

/// Holds one upload, lets it go when the plan says so, and returns what the pod got.
async fn held(stack: &Stack, pod: &SinkPod, plan: &Plan) -> Outcome {
    let gateway = stack.gateway;
    let first = tokio::spawn(async move { chat(gateway, "first").await });
    let mut running = Some(pod.next_chat().await);
    let mut upload = Upload::begin(gateway, plan).await;
    until_waiting(stack, 1).await;
    let mut frames = plan.frames().enumerate();
    let mut release = || {
        let _ = running.take().map(|answer| answer.send(()));
    };
    if let Moment::During(delay) = plan.moment {
        let sending = async {
            for (_, frame) in &mut frames {
                if !upload.send(frame).await {
                    break;
                }
            }
        };
        let releasing = async {
            sleep(delay).await;
            release();
        };
        tokio::join!(sending, releasing);
    }
    for (index, frame) in frames {
        if plan.moment == Moment::Before(index) || !upload.has_room().await {
            release();
        }
        if !upload.send(frame).await {
            break;
        }
    }
    if plan.moment == Moment::AfterEnd {
        upload.end(plan).await;
        sleep(Duration::from_millis(2)).await;
        release();
    } else {
        release();
        upload.end(plan).await;
    }
    let outcome = upload.outcome(plan).await;
    drop(first.await);
    until_waiting(stack, 0).await;
    outcome
}

/// Waits until that many requests are held.
async fn until_waiting(stack: &Stack, count: u64) {
    while push::held(stack).await != count {
        sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn in_envoy_1_36_the_pod_gets_the_same_bytes() {
    hold(Some(versions::OLDER[0]), 0).await;
}

#[tokio::test]
async fn in_envoy_1_37_the_pod_gets_the_same_bytes() {
    hold(Some(versions::OLDER[1]), 1).await;
}

#[tokio::test]
async fn in_envoy_1_39_the_pod_gets_the_same_bytes() {
    hold(Some(versions::OLDER[2]), 2).await;
}

#[tokio::test]
async fn in_the_newest_envoy_the_pod_gets_the_same_bytes() {
    hold(None, 3).await;
}
