//! A trace under one set of circumstances.

use std::time::Duration;

use anyhow::Result;
use picker_core::Chain;

use super::Options;
use crate::{
    figures::Figures,
    fleet::Pod,
    policy::Contender,
    prompts,
    trace::{HotPrefix, SharedPrefix, Trace},
    world::{self, Setting, Traffic},
};

/// Number of requests of each trace in a quick run.
const QUICK: usize = 600;
/// Interval that Mooncake's times are rounded to.
const TICK: Duration = Duration::from_secs(3);
const SEED: u64 = 42;
const PODS: usize = 8;

/// A trace, the pods and the gateways.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(super) name: String,
    pub(super) what: String,
    pub(crate) trace: Trace,
    chains: Vec<Chain>,
    setting: Setting,
    envoys: usize,
}

impl Scenario {
    fn new(name: impl Into<String>, what: impl Into<String>, trace: Trace) -> Self {
        Self {
            name: name.into(),
            what: what.into(),
            chains: prompts::chains(&trace),
            trace,
            setting: Setting {
                pods: vec![Pod::H100; PODS],
                metrics_age: Duration::from_millis(5),
                scrapes_every: None,
                scraper_dies: None,
            },
            envoys: 1,
        }
    }

    /// Returns a small scenario, for tests.
    #[cfg(test)]
    pub(crate) fn small(requests: usize) -> Result<Self> {
        Ok(Self::new("small", "", Trace::conversation()?.first(requests).faster(2.0)))
    }

    /// Returns the number of KV blocks of all pods.
    pub(super) fn blocks(&self) -> usize {
        self.setting.pods.iter().map(Pod::blocks).sum()
    }

    /// Replays the scenario under a policy.
    pub(crate) fn outcome(&self, contender: Contender) -> world::Outcome {
        let gateway = |number: usize| contender.router(&self.setting.pods, SEED + number as u64);
        let mut gateways: Vec<_> = (0..self.envoys).map(gateway).collect();
        let traffic = Traffic { trace: &self.trace, chains: &self.chains };
        world::replay(traffic, &self.setting, &mut gateways, SEED)
    }

    pub(super) fn replay(&self, contender: Contender) -> Figures {
        Figures::from_outcome(&self.trace, &self.outcome(contender))
    }
}

/// Returns the scenarios of rising load, and of workloads of other kinds.
pub(super) fn loads(options: &Options) -> Result<Vec<Scenario>> {
    let cut = |trace: Trace| if options.quick { trace.first(QUICK) } else { trace };
    let conversation = conversation(options)?;
    let mut all = Vec::new();
    for speed in [1.0, 2.0, 2.5, 3.0] {
        let what = "requests as recorded, about ten at once every 3 s of the trace";
        all.push(Scenario::new(
            format!("conversation x{speed}"),
            what,
            conversation.clone().faster(speed),
        ));
    }
    for speed in [2.0, 3.0] {
        let what = "each request at a random moment of its 3 s";
        let trace = conversation.clone().spread(TICK, SEED).faster(speed);
        all.push(Scenario::new(format!("conversation, spread, x{speed}"), what, trace));
    }
    for rate in [20.0, 40.0] {
        let what =
            "150 prefixes of 6,000 tokens, questions of 1,200, answers of 250, random arrivals";
        let shared = SharedPrefix {
            prefixes: 150,
            prefix: 6_000,
            question: 1_200,
            answer: 250,
            requests: 12_000,
            rate,
        };
        all.push(Scenario::new(
            format!("shared prefixes, {rate}/s"),
            what,
            cut(shared.trace(SEED)),
        ));
    }
    for speed in [8.0, 14.0] {
        let what = "no prompt has anything of another";
        all.push(Scenario::new(
            format!("Azure x{speed}"),
            what,
            cut(Trace::azure()?).faster(speed),
        ));
    }
    Ok(all)
}

/// Returns the scenarios of the same load with something wrong.
pub(super) fn faults(options: &Options) -> Result<Vec<Scenario>> {
    let trace = conversation(options)?.faster(2.0);
    let base = |name: &str, what: &str| Scenario::new(name, what, trace.clone());
    let hot = HotPrefix { share: 0.4, tokens: 8_192 }.over(trace.clone(), SEED);
    let mut slow = base("a slow pod", "one pod at half the speed");
    if let Some(pod) = slow.setting.pods.first_mut() {
        pod.speed = 0.5;
    }
    let mut dead = base("a dead scraper", "no metrics after a third of the time");
    dead.setting.scraper_dies = Some(trace.length() / 3);
    let mut old = base("metrics 2 s old", "read every 2 s");
    old.setting.scrapes_every = Some(Duration::from_secs(2));
    let mut two = base("2 Envoys", "that know nothing of each other");
    two.envoys = 2;
    let mut four = base("4 Envoys", "that know nothing of each other");
    four.envoys = 4;
    Ok(vec![
        base("nothing", "for comparison"),
        Scenario::new(
            "a hot prefix",
            "8,192 tokens in front of 40 % of the prompts, from half-time on",
            hot,
        ),
        slow,
        dead,
        old,
        two,
        four,
    ])
}

fn conversation(options: &Options) -> Result<Trace> {
    let trace = match &options.trace {
        Some(file) => Trace::published(file)?,
        None => Trace::conversation()?,
    };
    Ok(if options.quick { trace.first(QUICK) } else { trace })
}
