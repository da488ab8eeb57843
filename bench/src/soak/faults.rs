//! The faults, one after the other in random order, each undone before the next.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};
use stack::{Clock, Stack};
use tokio::time::{Instant, sleep};

/// Places a pod has in each of the two configurations that take turns.
pub(super) const PLACES: [usize; 2] = [4, 6];

/// Time that a request may be held.
pub(super) const TTL: Duration = Duration::from_secs(10);

/// Time between two faults.
const PAUSE: Duration = Duration::from_secs(4);

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Envoy is stopped, for shorter or longer than a worker's silence that counts as death.
    Freeze(Duration),
    /// A pod is killed, and comes back with an empty cache.
    PodKilled,
    /// A pod accepts connections and answers nothing, then goes on.
    PodHangs,
    /// The scraper is killed, and another one started.
    ScraperKilled,
    /// Envoy's wall clock steps, and steps back.
    Clock(i64),
    /// The plugin gets another configuration.
    Reload,
    /// The plugin gets a configuration that is none.
    FaultyReload,
}

/// The time during which an Envoy was frozen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frozen {
    pub(super) from: Instant,
    pub(super) to: Instant,
}

/// The faults so far.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// The faults, each with its time.
    pub(super) faults: Vec<(Instant, Fault)>,
    pub(super) frozen: Vec<Frozen>,
}

impl Fault {
    const ALL: [Self; 12] = [
        Self::Freeze(Duration::from_secs(1)),
        Self::Freeze(Duration::from_secs(7)),
        Self::PodKilled,
        Self::PodHangs,
        Self::ScraperKilled,
        Self::Clock(-60_000),
        Self::Clock(60_000),
        Self::Clock(11_000),
        Self::Clock(-3_600_000),
        Self::Clock(3_600_000),
        Self::Reload,
        Self::FaultyReload,
    ];

    /// Returns the name in the table.
    pub(super) fn name(self) -> String {
        match self {
            Self::Freeze(time) => format!("Envoy stopped for {} s", time.as_secs()),
            Self::PodKilled => "pod killed, restarted after 3 s".to_owned(),
            Self::PodHangs => "pod hangs for 3 s".to_owned(),
            Self::ScraperKilled => "scraper killed, restarted after 5 s".to_owned(),
            Self::Clock(step) => format!("Envoy's clock {:+} s for 15 s", step / 1000),
            Self::Reload => "other limit".to_owned(),
            Self::FaultyReload => "faulty configuration".to_owned(),
        }
    }
}

/// Makes faults until `end`, each of all kinds once before any comes again.
pub(super) async fn make(
    stack: &mut Stack,
    clock: &Clock,
    end: Instant,
    random: &mut fastrand::Rng,
) -> Result<Record> {
    let mut record = Record::default();
    let mut wide = false;
    loop {
        let mut all = Fault::ALL;
        random.shuffle(&mut all);
        for fault in all {
            sleep(PAUSE).await;
            if Instant::now() >= end {
                return Ok(record);
            }
            record.faults.push((Instant::now(), fault));
            match fault {
                Fault::Freeze(time) => record.frozen.push(freeze(stack, time).await?),
                Fault::PodKilled | Fault::PodHangs => fail_pod(stack, fault, random).await?,
                Fault::ScraperKilled => {
                    stack.kill_scraper().await?;
                    sleep(Duration::from_secs(5)).await;
                    stack.start_scraper().await?;
                }
                Fault::Clock(step) => {
                    clock.step(step)?;
                    sleep(Duration::from_secs(15)).await;
                    clock.step(0)?;
                }
                Fault::Reload => {
                    wide = !wide;
                    stack.reload(plugin(if wide { PLACES[1] } else { PLACES[0] }))?;
                }
                Fault::FaultyReload => stack.reload(json!({"plugins": "none"}))?,
            }
        }
    }
}

async fn freeze(stack: &mut Stack, time: Duration) -> Result<Frozen> {
    let from = Instant::now();
    stack.freeze_envoy().await?;
    sleep(time).await;
    stack.thaw_envoy().await?;
    Ok(Frozen { from, to: Instant::now() })
}

async fn fail_pod(stack: &mut Stack, fault: Fault, random: &mut fastrand::Rng) -> Result<()> {
    let number = random.usize(..stack.pods.len());
    let Some(pod) = stack.pods.get_mut(number) else { return Ok(()) };
    if fault == Fault::PodKilled {
        pod.kill().await?;
        sleep(Duration::from_secs(3)).await;
        return pod.restart().await;
    }
    pod.freeze().await?;
    sleep(Duration::from_secs(3)).await;
    pod.thaw().await
}

/// Returns the plugin's configuration with so many places a pod.
pub(super) fn plugin(places: usize) -> Value {
    let fairness = "round-robin-fairness-policy";
    json!({
        "featureGates": ["flowControl"],
        "plugins": [
            {"type": "queue-scorer"}, {"type": "prefix-cache-scorer"}, {"type": "max-score-picker"},
            {"type": "single-profile-handler"}, {"type": fairness},
            {"type": "concurrency-detector", "parameters": {"maxConcurrency": places}}
        ],
        "schedulingProfiles": [{"name": "default", "plugins": [
            {"pluginRef": "queue-scorer", "weight": 2}, {"pluginRef": "prefix-cache-scorer", "weight": 3}
        ]}],
        "flowControl": {
            "defaultRequestTTL": format!("{}s", TTL.as_secs()),
            "saturationDetector": {"pluginRef": "concurrency-detector"},
            "defaultPriorityBand": {"fairnessPolicyRef": fairness}
        },
        "objectives": [{"name": "interactive", "priority": 100}, {"name": "batch", "priority": 10}],
        "failureMode": "FailClose"
    })
}
