//! What an engine shows of itself.

use std::{net::SocketAddr, time::Duration};

use super::Scheduler;
use crate::{
    ledger::{Ledger, Work},
    model::{InferenceRequest, Instant, SchedulingResult},
    pool::prefix::Matches,
    saturation::Load,
    schedule::Explanation,
};

impl Scheduler {
    /// What [`Self::decide`] would say, and every score of every endpoint. Nothing changes.
    #[must_use]
    pub fn explain(&self, now: Instant, ask: &InferenceRequest, ledger: &Ledger) -> Explanation {
        let mut matches = Matches::default();
        self.index.matches(&ask.chain, &mut matches);
        let mut rng = self.rng.clone();
        let mut candidates = self.candidates((now, ask, ledger), &matches).unwrap_or_default();
        let _ = self.avoidance.narrow(now, &mut candidates);
        let scene = self.scene(now, ask);
        let profiles = self.config.scheduling.explain(&scene, &candidates, &mut rng);
        let decision = self.choose((now, ask, ledger), &matches, &mut self.rng.clone());
        Explanation { decision, profiles }
    }

    /// What is known of each endpoint and in flight there, in the snapshot's order.
    #[must_use]
    pub fn survey(&self, now: Instant, ledger: &Ledger) -> Vec<(SocketAddr, Load)> {
        let Some(pool) = &self.pool else { return Vec::new() };
        let addresses = pool.members().iter().map(|member| member.address);
        addresses.zip(pool.loads(now, &ledger.accounts)).collect()
    }

    /// What the prompt of a decision is for whoever computes it.
    #[must_use]
    pub fn work(&self, decision: &SchedulingResult) -> Work {
        let apart = decision.computed_apart().map(|prefill| prefill.endpoint);
        let endpoint = apart.or_else(|| decision.ranked.first().copied());
        let (rates, pool) = (&self.learned.rates, self.learned.rates.of_pool());
        let slow = endpoint.and_then(|endpoint| rates.of_slow(self.slot(endpoint)?, pool));
        let tokens = decision.computing().uncached_tokens;
        let seconds = f64::from(tokens) / slow.unwrap_or(pool);
        Work { tokens, takes: Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX) }
    }

    /// Entries of the prefix index, over all endpoints.
    #[must_use]
    pub fn indexed(&self) -> usize {
        self.index.entries()
    }
}
