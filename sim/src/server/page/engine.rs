//! The engine's own families, `vllm:…`, in the order of a real page.

use super::{super::shared::Shared, exposition::Exposition};
use crate::engine_core::{Finish, Gauges, Meter, histogram::Histogram};

mod cache_config;

/// The label of the only engine.
const ENGINE: (&str, &str) = ("engine", "0");

struct Engine<'a> {
    page: &'a mut Exposition,
    model: (&'a str, &'a str),
}

pub(super) fn write(page: &mut Exposition, shared: &Shared) {
    let desk = shared.desk();
    let meter = desk.core.meter();
    let mut engine = Engine { page, model: ("model_name", shared.options.model()) };
    engine.state(&meter.gauges);
    engine.caches(meter);
    engine.tokens(meter);
    engine.ends(meter, shared.traffic().rejected);
    engine.sizes(meter);
    engine.times(meter);
    if !shared.options.lora_modules.is_empty() {
        engine.adapters(meter, shared);
    }
    cache_config::write(engine.page, shared.engine());
}

impl Engine<'_> {
    fn state(&mut self, gauges: &Gauges) {
        for what in ["flops", "read_bytes", "write_bytes"] {
            self.counter(&format!("vllm:estimated_{what}_per_gpu"), 0);
        }
        let waiting = gauges.waiting as f64;
        let deferred = gauges.deferred as f64;
        self.gauge("vllm:num_requests_running", gauges.running as f64);
        self.gauge("vllm:num_requests_waiting", waiting);
        let reasons = [("capacity", waiting - deferred), ("deferred", deferred)];
        self.gauges("vllm:num_requests_waiting_by_reason", "reason", &reasons);
        let states = [("awake", 1.0), ("weights_offloaded", 0.0), ("discard_all", 0.0)];
        self.gauges("vllm:engine_sleep_state", "sleep_state", &states);
        self.gauge("vllm:kv_cache_usage_perc", gauges.kv_usage());
    }

    fn caches(&mut self, meter: &Meter) {
        self.counter("vllm:prefix_cache_queries", meter.prefix_cache_queries);
        self.counter("vllm:prefix_cache_hits", meter.prefix_cache_hits);
        for unused in ["external_prefix_cache_queries", "external_prefix_cache_hits"] {
            self.counter(&format!("vllm:{unused}"), 0);
        }
        self.counter("vllm:mm_cache_queries", 0);
        self.counter("vllm:mm_cache_hits", 0);
        self.counter("vllm:num_preemptions", meter.preemptions);
    }

    fn tokens(&mut self, meter: &Meter) {
        let all = meter.prefix_cache_queries;
        let hits = meter.prefix_cache_hits;
        self.counter("vllm:prompt_tokens", meter.prompt_tokens);
        let computed = all.saturating_sub(hits);
        let sources =
            [("local_compute", computed), ("local_cache_hit", hits), ("external_kv_transfer", 0)];
        self.counters("vllm:prompt_tokens_by_source", "source", &sources);
        self.counter("vllm:prompt_tokens_cached", hits);
        let tiers =
            [("device", hits), ("host", 0), ("p2p", 0), ("disk", 0), ("external_unspecified", 0)];
        self.counters("vllm:prompt_tokens_cached_by_source", "source", &tiers);
        self.counter("vllm:generation_tokens", meter.generation_tokens);
    }

    fn ends(&mut self, meter: &Meter, rejected: u64) {
        let ended = |finish| meter.success.get(&finish).copied().unwrap_or(0);
        let reasons = [
            ("stop", ended(Finish::Stop)),
            ("length", ended(Finish::Length)),
            ("abort", ended(Finish::Abort)),
            ("error", 0),
            ("repetition", 0),
        ];
        self.counters("vllm:request_success", "finished_reason", &reasons);
        let model = self.model;
        self.page.counter(
            "vllm:admission_rejections",
            &[
                (&[model, ("reason", "max_num_queued_reqs")], rejected as f64),
                (&[model, ("reason", "max_num_queued_tokens")], 0.0),
            ],
        );
    }

    fn sizes(&mut self, meter: &Meter) {
        self.histogram("request_prompt_tokens", &meter.request_prompt_tokens);
        self.histogram("request_generation_tokens", &meter.request_generation_tokens);
        self.histogram("iteration_tokens_total", &meter.iteration_tokens);
        let max = &meter.request_max_num_generation_tokens;
        self.histogram("request_max_num_generation_tokens", max);
        self.histogram("request_params_n", &meter.request_params_n);
        self.histogram("request_params_max_tokens", &meter.request_params_max_tokens);
    }

    fn times(&mut self, meter: &Meter) {
        self.histogram("time_to_first_token_seconds", &meter.time_to_first_token);
        self.histogram("inter_token_latency_seconds", &meter.inter_token_latency);
        let per_token = &meter.request_time_per_output_token;
        self.histogram("request_time_per_output_token_seconds", per_token);
        self.histogram("e2e_request_latency_seconds", &meter.e2e_request_latency);
        self.histogram("request_queue_time_seconds", &meter.request_queue_time);
        self.histogram("request_inference_time_seconds", &meter.request_inference_time);
        self.histogram("request_prefill_time_seconds", &meter.request_prefill_time);
        self.histogram("request_decode_time_seconds", &meter.request_decode_time);
        self.histogram("request_num_preemptions", &meter.request_num_preemptions);
        let computed = &meter.request_prefill_kv_computed_tokens;
        self.histogram("request_prefill_kv_computed_tokens", computed);
    }

    /// Writes the adapters. The value is the time when a combination was last seen: a reader takes
    /// the newest series.
    fn adapters(&mut self, meter: &Meter, shared: &Shared) {
        let max = shared.options.max_loras.to_string();
        self.page.family("vllm:lora_requests_info", "gauge");
        for ((running, waiting), at) in &meter.adapters {
            let labels = [
                ("max_lora", max.as_str()),
                ("running_lora_adapters", running.as_str()),
                ("waiting_lora_adapters", waiting.as_str()),
            ];
            let at = shared.origin_unix + at.as_secs_f64();
            self.page.sample("vllm:lora_requests_info", &labels, at);
        }
    }

    fn gauge(&mut self, name: &str, value: f64) {
        self.page.gauge(name, &[(&[ENGINE, self.model], value)]);
    }

    fn counter(&mut self, name: &str, value: u64) {
        self.page.counter(name, &[(&[ENGINE, self.model], value as f64)]);
    }

    fn histogram(&mut self, name: &str, histogram: &Histogram) {
        self.page.histogram(&format!("vllm:{name}"), &[(&[ENGINE, self.model], histogram)]);
    }

    /// Writes a gauge of several values, told apart by the label `by`.
    fn gauges(&mut self, name: &str, by: &str, values: &[(&str, f64)]) {
        let labels: Vec<_> = values.iter().map(|(is, _)| sorted(self.model, by, is)).collect();
        let samples = labels.iter().zip(values).map(|(labels, value)| (&labels[..], value.1));
        self.page.gauge(name, &samples.collect::<Vec<_>>());
    }

    /// Writes a counter of several values, told apart by the label `by`.
    fn counters(&mut self, name: &str, by: &str, values: &[(&str, u64)]) {
        let labels: Vec<_> = values.iter().map(|(is, _)| sorted(self.model, by, is)).collect();
        let samples =
            labels.iter().zip(values).map(|(labels, value)| (&labels[..], value.1 as f64));
        self.page.counter(name, &samples.collect::<Vec<_>>());
    }
}

/// Returns the usual labels and one more, in alphabetical order.
fn sorted<'a>(model: (&'a str, &'a str), by: &'a str, is: &'a str) -> [(&'a str, &'a str); 3] {
    let mut labels = [ENGINE, model, (by, is)];
    labels.sort_unstable();
    labels
}
