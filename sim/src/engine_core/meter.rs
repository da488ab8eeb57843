//! The engine's counters, gauges and histograms, under vLLM's names for them.

use std::{collections::BTreeMap, time::Duration};

use super::{
    Finish, Work,
    histogram::Histogram,
    request::{Sequence, Times},
};

/// Buckets for token counts.
const TOKENS: &[f64] = &[1., 2., 5., 10., 20., 50., 100., 200., 500., 1000., 2000.];
const STEP_TOKENS: &[f64] =
    &[1., 8., 16., 32., 64., 128., 256., 512., 1024., 2048., 4096., 8192., 16384.];
const CHOICES: &[f64] = &[1., 2., 5., 10., 20.];
const PREEMPTIONS: &[f64] = &[1., 2., 3., 4., 5., 10., 20.];
/// Buckets in seconds, as are those below.
const FIRST_TOKEN: &[f64] = &[
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1., 2.5, 5., 7.5, 10., 20.,
    40., 80., 160., 640., 2560.,
];
const NEXT_TOKEN: &[f64] = &[
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1., 2.5, 5., 7.5, 10., 20., 40.,
    80.,
];
const REQUEST: &[f64] = &[
    0.3, 0.5, 0.8, 1., 1.5, 2., 2.5, 5., 10., 15., 20., 30., 40., 50., 60., 120., 240., 480., 960.,
    1920., 7680.,
];

/// Number of combinations of adapters that are remembered: a real page grows without end.
const ADAPTER_SERIES_MAX: usize = 512;

/// State at the end of the last step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Time of the measurement, since the engine began.
    pub at: Duration,
    /// Number of requests in the batch.
    pub running: usize,
    /// Number of requests in the queue.
    pub waiting: usize,
    /// Number of queued requests that wait for an adapter slot.
    pub deferred: usize,
    /// Number of blocks of live requests.
    pub live_blocks: usize,
    /// Number of blocks without the null block.
    pub total_blocks: usize,
}

impl Gauges {
    /// Returns `vllm:kv_cache_usage_perc`, 0 to 1: cached blocks without users count as free.
    #[must_use]
    pub fn kv_usage(&self) -> f64 {
        if self.total_blocks == 0 {
            0.0
        } else {
            self.live_blocks as f64 / self.total_blocks as f64
        }
    }
}

/// Counters and histograms since the engine began. Names as in vLLM, without `vllm:`.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "each field is the metric of the same name")]
pub struct Meter {
    pub gauges: Gauges,
    pub steps: u64,
    /// Time at which each combination of running and waiting adapters was last seen
    /// (`lora_requests_info`), old ones included, as on a real page.
    pub adapters: BTreeMap<(String, String), Duration>,
    pub prefix_cache_queries: u64,
    pub prefix_cache_hits: u64,
    pub preemptions: u64,
    pub prompt_tokens: u64,
    pub generation_tokens: u64,
    pub success: BTreeMap<Finish, u64>,
    pub request_prompt_tokens: Histogram,
    pub request_generation_tokens: Histogram,
    pub iteration_tokens: Histogram,
    pub request_max_num_generation_tokens: Histogram,
    pub request_params_n: Histogram,
    pub request_params_max_tokens: Histogram,
    pub time_to_first_token: Histogram,
    pub inter_token_latency: Histogram,
    pub request_time_per_output_token: Histogram,
    pub e2e_request_latency: Histogram,
    pub request_queue_time: Histogram,
    pub request_inference_time: Histogram,
    pub request_prefill_time: Histogram,
    pub request_decode_time: Histogram,
    pub request_num_preemptions: Histogram,
    pub request_prefill_kv_computed_tokens: Histogram,
}

impl Default for Meter {
    fn default() -> Self {
        Self {
            gauges: Gauges::default(),
            steps: 0,
            adapters: BTreeMap::new(),
            prefix_cache_queries: 0,
            prefix_cache_hits: 0,
            preemptions: 0,
            prompt_tokens: 0,
            generation_tokens: 0,
            success: BTreeMap::new(),
            request_prompt_tokens: Histogram::new(TOKENS),
            request_generation_tokens: Histogram::new(TOKENS),
            iteration_tokens: Histogram::new(STEP_TOKENS),
            request_max_num_generation_tokens: Histogram::new(TOKENS),
            request_params_n: Histogram::new(CHOICES),
            request_params_max_tokens: Histogram::new(TOKENS),
            time_to_first_token: Histogram::new(FIRST_TOKEN),
            inter_token_latency: Histogram::new(NEXT_TOKEN),
            request_time_per_output_token: Histogram::new(NEXT_TOKEN),
            e2e_request_latency: Histogram::new(REQUEST),
            request_queue_time: Histogram::new(REQUEST),
            request_inference_time: Histogram::new(REQUEST),
            request_prefill_time: Histogram::new(REQUEST),
            request_decode_time: Histogram::new(REQUEST),
            request_num_preemptions: Histogram::new(PREEMPTIONS),
            request_prefill_kv_computed_tokens: Histogram::new(TOKENS),
        }
    }
}

impl Meter {
    /// Notes the adapters of batch and queue at this moment.
    pub(super) fn adapters(&mut self, at: Duration, running: &[&str], waiting: &[&str]) {
        let now = (running.join(","), waiting.join(","));
        if self.adapters.len() == ADAPTER_SERIES_MAX && !self.adapters.contains_key(&now) {
            let oldest = self.adapters.iter().min_by_key(|(_, seen)| **seen);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                self.adapters.remove(&oldest);
            }
        }
        self.adapters.insert(now, at);
    }

    /// Counts a request that enters the batch, for the first time or again after a preemption.
    pub(super) fn admit(&mut self, at: Duration, sequence: &mut Sequence) {
        if sequence.cached.is_none() {
            sequence.cached = Some(sequence.computed);
            self.prefix_cache_queries += sequence.prompt as u64;
            self.prefix_cache_hits += sequence.computed as u64;
        }
        sequence.times.admitted.get_or_insert(at);
    }

    pub(super) fn step(&mut self, work: Work) {
        self.steps += 1;
        self.iteration_tokens.observe(f64::from(work.prefill_tokens + work.decodes));
    }

    /// Counts a token, which the request's own count already has.
    pub(super) fn token(&mut self, at: Duration, sequence: &mut Sequence) {
        let Times { arrived, first, last, .. } = sequence.times;
        self.generation_tokens += 1;
        if first.is_none() {
            self.prompt_tokens += sequence.prompt as u64;
            self.time_to_first_token.observe((at.saturating_sub(arrived)).as_secs_f64());
            sequence.times.first = Some(at);
        } else {
            self.inter_token_latency.observe((at.saturating_sub(last)).as_secs_f64());
        }
        sequence.times.last = at;
    }

    pub(super) fn finish(&mut self, at: Duration, sequence: &Sequence, finish: Finish) {
        let Times { arrived, admitted, first, .. } = sequence.times;
        let admitted = admitted.unwrap_or(arrived);
        let first = first.unwrap_or(at);
        let seconds = |to: Duration, from: Duration| to.saturating_sub(from).as_secs_f64();
        let computed = sequence.prompt - sequence.cached.unwrap_or(0);
        *self.success.entry(finish).or_default() += 1;
        self.request_prompt_tokens.observe(sequence.prompt as f64);
        self.request_generation_tokens.observe(sequence.generated as f64);
        self.request_max_num_generation_tokens.observe(sequence.generated as f64);
        self.request_params_n.observe(1.0);
        self.request_params_max_tokens.observe(sequence.max_tokens as f64);
        self.e2e_request_latency.observe(seconds(at, arrived));
        self.request_queue_time.observe(seconds(admitted, arrived));
        self.request_inference_time.observe(seconds(at, admitted));
        self.request_prefill_time.observe(seconds(first, admitted));
        self.request_decode_time.observe(seconds(at, first));
        if sequence.generated > 1 {
            let mean = seconds(at, first) / (sequence.generated - 1) as f64;
            self.request_time_per_output_token.observe(mean);
        }
        self.request_num_preemptions.observe(f64::from(sequence.preemptions));
        self.request_prefill_kv_computed_tokens.observe(computed as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_combination_of_adapters_makes_room_and_none_without_need() {
        let mut meter = Meter::default();
        let names: Vec<String> = (0..=ADAPTER_SERIES_MAX).map(|n| format!("{n:04}")).collect();
        let see = |meter: &mut Meter, seconds: usize, name: &str| {
            let at = Duration::from_secs(u64::try_from(seconds).unwrap());
            meter.adapters(at, &[name], &[]);
        };
        for (at, name) in names.iter().take(ADAPTER_SERIES_MAX).enumerate() {
            see(&mut meter, at, name);
        }
        // The first of the alphabet is the newest now, and takes no other's place.
        see(&mut meter, ADAPTER_SERIES_MAX, &names[0]);
        assert_eq!(meter.adapters.len(), ADAPTER_SERIES_MAX);
        see(&mut meter, ADAPTER_SERIES_MAX + 1, &names[ADAPTER_SERIES_MAX]);
        let kept = |name: &str| meter.adapters.contains_key(&(name.to_owned(), String::new()));
        assert_eq!(meter.adapters.len(), ADAPTER_SERIES_MAX);
        assert!(kept(&names[0]) && kept(&names[ADAPTER_SERIES_MAX]) && !kept(&names[1]));
    }
}
