//! The scheduler's state as it is shown: scores, loads, and a request's counts in the ledger.

use std::{net::SocketAddr, time::Duration};

use super::{Pick, Scheduler};
use crate::{
    ledger::{Ledger, Target, Work},
    model::{InferenceRequest, Instant, SchedulingResult, TextMeasure},
    pool::{OutlierDetector, Sent, prefix::Matches},
    saturation::{Load, StageSaturations, StaleEndpoints},
    schedule::{Clock, Explanation, ExtensionPoint, OutputEstimate, PluginTime, Stopwatch},
};

/// Most tokens of KV cache that are believed of one request: a sum over the 16,384 requests that a worker
/// remembers stays within 32 bits.
const HOLDS_MAX: u32 = 262_143;

/// The EPP's plugin that does what the prefix index does here.
const PREFIX_PRODUCER: &str = "approx-prefix-cache-producer";

impl Scheduler {
    /// Explains what [`Self::decide`] would return, with every score of every endpoint. Nothing changes.
    #[must_use]
    pub fn explain(
        &self,
        now: Instant,
        request: &InferenceRequest,
        ledger: &Ledger,
    ) -> Explanation {
        let mut matches = Matches::default();
        self.index.matches(&request.chain, &mut matches);
        let pick = Pick { now, request, ledger, matches: &matches, stopwatch: None };
        let mut rng = self.rng.clone();
        let mut candidates = self.candidates(pick).unwrap_or_default();
        let _ = self.outliers.narrow(now, &mut candidates);
        let context = self.context(now, request);
        let profiles = self.config.scheduling.explain(&context, &candidates, &mut rng);
        let decision = self.choose(pick, &mut self.rng.clone());
        Explanation { decision, profiles }
    }

    /// Measures how long each plugin takes in the choice that [`Self::decide`] would make. Nothing changes.
    #[must_use]
    pub fn time_plugins(
        &self,
        now: Instant,
        request: &InferenceRequest,
        ledger: &Ledger,
        clock: Clock,
    ) -> Vec<PluginTime> {
        let stopwatch = Stopwatch::new(clock);
        let mut matches = Matches::default();
        stopwatch.time(ExtensionPoint::DataProducer, PREFIX_PRODUCER, || {
            self.index.matches(&request.chain, &mut matches);
        });
        let pick = Pick { now, request, ledger, matches: &matches, stopwatch: Some(&stopwatch) };
        let _ = self.choose(pick, &mut self.rng.clone());
        stopwatch.into_times()
    }

    /// Returns the load of each endpoint, with the requests in flight there, in the snapshot's order.
    #[must_use]
    pub fn survey(&self, now: Instant, ledger: &Ledger) -> Vec<(SocketAddr, Load)> {
        let Some(pool) = &self.pool else { return Vec::new() };
        let addresses = pool.members().iter().map(|member| member.address);
        let sent = Sent { own: &ledger.accounts, others: None };
        let counts_output = self.config.output_estimate.counts_as_load();
        addresses.zip(pool.loads(now, sent, counts_output)).collect()
    }

    /// Returns the loads of the endpoints that add room: those that can be chosen, and are not ejected.
    pub(super) fn choosable_loads(&self, now: Instant, ledger: &Ledger) -> Vec<Load> {
        let Some(pool) = &self.pool else { return Vec::new() };
        let sent = Sent { own: &ledger.accounts, others: self.others.as_deref() };
        let mut loads = pool.loads(now, sent, self.config.output_estimate.counts_as_load());
        self.limit_loads(now, pool, &mut loads);
        self.outliers.choosable(now, pool.members(), loads, &ledger.accounts)
    }

    /// Returns the endpoints that can be chosen and have no fresh metrics, by the detector.
    #[must_use]
    pub fn stale(&self, now: Instant, ledger: &Ledger) -> StaleEndpoints {
        self.config.detector.stale(&self.choosable_loads(now, ledger))
    }

    /// Returns the saturation of each stage of the pool.
    #[must_use]
    pub fn stages(&self, now: Instant, ledger: &Ledger) -> StageSaturations {
        self.config.detector.stages(&self.choosable_loads(now, ledger))
    }

    /// True if this endpoint has failed too often, and has not served since.
    #[must_use]
    pub(crate) fn ejects(&self, endpoint: SocketAddr) -> bool {
        self.outlier_state(endpoint, OutlierDetector::ejects)
    }

    /// Returns the number of times that an endpoint was ejected or taken back.
    pub(crate) fn ejections(&self) -> u64 {
        self.outliers.changes()
    }

    /// Returns the work that the prompt of a request is for the endpoint that computes it.
    #[must_use]
    pub fn work(&self, request: &InferenceRequest, result: &SchedulingResult) -> Work {
        let apart = result.computed_apart().map(|prefill| prefill.endpoint);
        let endpoint = apart.or_else(|| result.ranked.first().copied());
        let rates = &self.learned.rates;
        let pool = rates.of_pool();
        let slow = endpoint.and_then(|endpoint| rates.of_slow(self.slot(endpoint)?, pool));
        let tokens = result.computing().uncached_tokens;
        let seconds = f64::from(tokens) / slow.unwrap_or(pool);
        let takes = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        let holds = result.sight.uncached_tokens.saturating_add(self.output_tokens(request));
        Work { tokens, takes, holds: holds.min(HOLDS_MAX) }
    }

    /// Returns the tokens that the answer to a request is expected to have.
    pub(crate) fn output_tokens(&self, request: &InferenceRequest) -> u32 {
        match self.config.output_estimate {
            OutputEstimate::Learnt => {
                let outputs = &self.learned.outputs;
                outputs.expected(&outputs.kinds(request))
            }
            OutputEstimate::OfPrompt(ratio) => ratio.tokens(request.tokens()),
        }
    }

    /// Returns a request's counts in the ledger, by its scheduling result.
    pub(crate) fn target(&self, request: &InferenceRequest, result: &SchedulingResult) -> Target {
        let work = self.work(request, result);
        Target {
            // A result ranks at least one endpoint; without any it could not be sent either.
            endpoint: result.ranked.first().copied().map_or_else(Default::default, Into::into),
            prefill: result.computed_apart().map(|prefill| prefill.endpoint.into()),
            tokens: work.tokens,
            load: self.counts_tokens.then_some(work),
            holds: work.holds,
            priority: request.priority,
            is_announced: self.announces(request),
        }
    }

    /// Estimates the tokens of a prompt by what the model's prompts had before, where they are not known.
    pub fn measure(&self, request: &mut InferenceRequest) {
        let bytes_per_token = self.learned.texts.of_model(&request.model);
        let estimate = request.prompt_tokens.unwrap_or_else(|| request.estimate(bytes_per_token));
        request.prompt_tokens = Some(estimate);
    }

    /// Returns the bytes per token of the pool's prompts, as far as answers told.
    #[must_use]
    pub fn texts(&self) -> Vec<TextMeasure> {
        self.learned.texts.measures()
    }

    /// True once a snapshot has come.
    #[must_use]
    pub fn knows_snapshot(&self) -> bool {
        self.pool.is_some()
    }

    /// Counts the entries of the prefix index, over all endpoints.
    #[must_use]
    pub fn indexed(&self) -> usize {
        self.index.entries()
    }
}
