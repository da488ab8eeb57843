//! A trace under one set of circumstances.

mod closed;
mod faults;
mod gateways;
mod open;

use std::{sync::OnceLock, time::Duration};

use anyhow::Result;
use picker_core::Chain;

pub(super) use closed::loops;
pub(super) use faults::faults;
pub(super) use gateways::{GATEWAYS, gateways};
pub(super) use open::loads;

use super::Options;
use crate::{
    figures::Figures,
    fleet::Pod,
    picker::Exchange,
    policy::Contender,
    prompts,
    trace::Trace,
    world::{self, Setting, Traffic},
};

/// Number of requests of each trace in a quick run.
const QUICK: usize = 600;
/// Chance of the first run; that of each further one is the next number.
const SEED: u64 = 42;
const PODS: usize = 8;

/// A trace, the pods and the gateways.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(super) name: String,
    pub(super) what: String,
    pub(crate) trace: Trace,
    /// Chains of the prompts, made when they are first needed: most tests need one scenario of many.
    chains: OnceLock<Vec<Chain>>,
    setting: Setting,
    envoys: usize,
    /// True if the gateways exchange what they know.
    exchanges: bool,
    seed: u64,
}

impl Scenario {
    fn new(name: impl Into<String>, what: impl Into<String>, trace: Trace) -> Self {
        Self {
            name: name.into(),
            what: what.into(),
            chains: OnceLock::new(),
            trace,
            setting: Setting {
                pods: vec![Pod::H100; PODS],
                metrics_age: Duration::from_millis(5),
                scrapes_every: None,
                scraper_dies: None,
            },
            envoys: 1,
            exchanges: false,
            seed: SEED,
        }
    }

    /// Sets the pods.
    fn over(mut self, pods: Vec<Pod>) -> Self {
        self.setting.pods = pods;
        self
    }

    /// Gives every pod room for so many tokens.
    fn with_kv_tokens(mut self, kv_tokens: usize) -> Self {
        self.setting.pods.iter_mut().for_each(|pod| pod.kv_tokens = kv_tokens);
        self
    }

    /// Sets the number of gateways, which know nothing of each other.
    fn behind(self, envoys: usize) -> Self {
        Self { envoys, ..self }
    }

    /// Lets the gateways exchange what they know.
    fn exchanging(self) -> Self {
        Self { exchanges: true, ..self }
    }

    /// Sets the chance of everything but the trace.
    fn seeded(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// Returns a small scenario, for tests.
    #[cfg(test)]
    pub(crate) fn small(requests: usize) -> Result<Self> {
        Ok(Self::new("small", "", Trace::conversation()?.first(requests).faster(2.0)))
    }

    /// Returns the conversation with requests at random moments, at three times its speed, for tests.
    #[cfg(test)]
    pub(crate) fn spread_for_test(requests: usize) -> Result<Self> {
        let trace = Trace::conversation()?.first(requests).spread(Duration::from_secs(3), SEED);
        Ok(Self::new("spread", "", trace.faster(3.0)))
    }

    /// Returns an open load by the beginning of its name, for tests.
    #[cfg(test)]
    pub(crate) fn tight(name: &str, requests: usize) -> Option<Self> {
        let found = open::tight(SEED).into_iter().find(|it| it.name.starts_with(name))?;
        Some(Self { trace: found.trace.clone().first(requests), ..found })
    }

    /// Returns a scenario of the closed loops by its name, for tests.
    #[cfg(test)]
    pub(crate) fn closed_loop(name: &str) -> Option<Self> {
        loops(false, SEED).into_iter().find(|it| it.name == name)
    }

    /// Returns the role of each pod, for tests.
    #[cfg(test)]
    pub(crate) fn roles(&self) -> Vec<crate::fleet::Role> {
        self.setting.pods.iter().map(|pod| pod.role).collect()
    }

    /// Returns the number of KV blocks of all pods.
    pub(super) fn blocks(&self) -> usize {
        self.setting.pods.iter().map(Pod::blocks).sum()
    }

    /// True if clients wait for their answers.
    pub(super) fn is_closed(&self) -> bool {
        !self.trace.follow_ups.is_empty()
    }

    /// Replays the scenario under a policy.
    pub(crate) fn outcome(&self, contender: Contender) -> world::Outcome {
        let exchange = self.exchanges.then(|| Exchange::new(self.envoys));
        let gateway = |number: usize| {
            // Far from the seed of the next run, which has gateways of its own.
            let (pods, seed) = (&self.setting.pods, self.seed + 1_000 * number as u64);
            match &exchange {
                Some(exchange) => contender.exchanging(exchange, number, pods, seed),
                None => contender.router(pods, seed),
            }
        };
        let mut gateways: Vec<_> = (0..self.envoys).map(gateway).collect();
        let chains = self.chains.get_or_init(|| prompts::chains(&self.trace));
        let traffic = Traffic { trace: &self.trace, chains };
        world::replay(traffic, &self.setting, &mut gateways, self.seed)
    }

    pub(crate) fn replay(&self, contender: Contender) -> Figures {
        Figures::from_outcome(&self.trace, &self.outcome(contender))
    }
}

/// Returns all scenarios of one run: open loads, closed loops and bursts, faults, and several gateways.
pub(super) fn all(options: &Options, run: u64) -> Result<[Vec<Scenario>; 4]> {
    let seed = SEED + run;
    let several = gateways(options, seed)?;
    let kinds =
        [loads(options, seed)?, loops(options.quick, seed), faults(options, seed)?, several];
    Ok(kinds.map(|kind| {
        let wanted = kind.into_iter().filter(|it| options.wants(&it.name));
        wanted.map(|it| it.seeded(seed)).collect()
    }))
}

fn conversation(options: &Options) -> Result<Trace> {
    let trace = match &options.trace {
        Some(file) => Trace::published(file)?,
        None => Trace::conversation()?,
    };
    Ok(if options.quick { trace.first(QUICK) } else { trace })
}
