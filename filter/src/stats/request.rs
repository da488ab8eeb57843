//! Metrics of requests, under the EPP's names: their costs and times.
//!
//! Envoy's histograms hold whole numbers, so times are in milliseconds, or microseconds where those
//! would be too coarse, and the names say so. A histogram takes some kilobytes of each worker's
//! memory and is never forgotten: there is a set per pair of models, and only counters differ by tenant
//! too.

use std::{rc::Rc, time::Duration};

use picker_core::{Instant, SchedulingResult, flow::FlowKey, tokens};
use wire::response::Usage;

use super::label::label;
use crate::{
    host::Metric,
    models::Models,
    pace::mean_gap,
    vm::{
        self,
        metrics::{Histograms, Known, Lookup, SentMetrics},
    },
};

/// A request that is over.
pub(crate) struct Done<'a> {
    pub(crate) models: &'a Models,
    pub(crate) flow: &'a FlowKey,
    /// The EPP's code of its failure, if it failed.
    pub(crate) error: Option<&'static str>,
    /// `None` if it was never sent.
    pub(crate) sent: Option<SentRequest<'a>>,
}

/// The measures of a request that was sent.
pub(crate) struct SentRequest<'a> {
    pub(crate) decision: &'a SchedulingResult,
    pub(crate) received_at: Instant,
    pub(crate) ended_at: Instant,
    /// Time at which the response's body began, and the time that it took from there.
    pub(crate) body: Option<(Instant, Duration)>,
    pub(crate) is_streamed: bool,
    pub(crate) request_bytes: u64,
    pub(crate) response_bytes: u64,
    pub(crate) usage: Option<Usage>,
    /// Number of events of a streamed response.
    pub(crate) events: u32,
}

/// Counts and measures a request that is over.
pub(crate) fn record(done: &Done<'_>) {
    let Found { total, error, sent, unsent } = find(done);
    total.unwrap_or_else(|| define_total(done)).increment();
    if let Some(code) = done.error {
        error.unwrap_or_else(|| define_error(done, code)).increment();
    }
    if let Some(measured) = &done.sent {
        let metrics = sent.unwrap_or_else(|| define_sent(done));
        metrics.attempts.increment();
        record_sent(&metrics.histograms, measured);
    } else {
        unsent.unwrap_or_else(|| define_unsent(done)).increment();
    }
}

/// The metrics of a request that are defined.
#[derive(Default)]
struct Found {
    total: Option<Metric>,
    error: Option<Metric>,
    sent: Option<SentMetrics>,
    unsent: Option<Metric>,
}

/// Finds the metrics of a request, in one look at the table.
fn find(done: &Done<'_>) -> Found {
    vm::with(|vm| {
        let Some(known) = vm.requests.known(done.models, done.flow) else {
            return Found::default();
        };
        Found {
            total: known.total,
            error: done.error.and_then(|code| known.errors.get(code).copied()),
            sent: known.sent.clone().filter(|_| done.sent.is_some()),
            unsent: known.unsent,
        }
    })
}

fn remember(done: &Done<'_>, write: impl FnOnce(&mut Known)) {
    vm::with(|vm| vm.requests.entry(done.models, done.flow).map(write));
}

#[cold]
fn define_total(done: &Done<'_>) -> Metric {
    let metric = counter("request_total", &models(done.models), &tenant(done.flow));
    remember(done, |known| known.total = Some(metric));
    metric
}

#[cold]
fn define_error(done: &Done<'_>, code: &'static str) -> Metric {
    let labels = format!("{}.error_code={code}", tenant(done.flow));
    let metric = counter("request_error_total", &models(done.models), &labels);
    remember(done, |known| {
        known.errors.insert(code, metric);
    });
    metric
}

#[cold]
fn define_sent(done: &Done<'_>) -> SentMetrics {
    let attempts = attempts(done, ".status=success");
    let metrics = SentMetrics { attempts, histograms: histograms(&models(done.models)) };
    remember(done, |known| known.sent = Some(metrics.clone()));
    metrics
}

#[cold]
fn define_unsent(done: &Done<'_>) -> Metric {
    let metric = attempts(done, ".status=failure");
    remember(done, |known| known.unsent = Some(metric));
    metric
}

fn attempts(done: &Done<'_>, status: &str) -> Metric {
    let target = label("target_model_name", &done.models.sent);
    counter("scheduler_attempts_total", &target, status)
}

/// Counts a request that a rule has sent to another model.
pub(crate) fn count_rewrite(rewrite: &str, asked: &str, sent: &str) {
    let labels = label("model_rewrite_name", rewrite)
        + &label("model_name", asked)
        + &label("target_model", sent);
    counter("model_rewrite_decisions_total", &labels, "").increment();
}

/// Finds a counter, or defines it; beyond the limit, the one for all other labels.
fn counter(name: &str, models: &str, more: &str) -> Metric {
    let own = format!("{PREFIX}{name}{models}{more}");
    match vm::with(|vm| vm.requests.find_counter(&own)) {
        Lookup::Metric(metric) => metric,
        Lookup::Nothing => define_counter(own),
        Lookup::NoRoom => {
            let other = format!("{PREFIX}{name}{OTHER}");
            let found = vm::with(|vm| vm.requests.counted.get(&other).copied());
            found.unwrap_or_else(|| define_counter(other))
        }
    }
}

fn define_counter(name: String) -> Metric {
    let metric = Metric::counter(&name);
    vm::with(|vm| vm.requests.counted.insert(name, metric));
    metric
}

/// Finds the histograms of a pair of models, or defines them.
fn histograms(models: &str) -> Rc<Histograms> {
    let may_measure = vm::with(|vm| vm.requests.may_measure(models));
    let models = if may_measure { models } else { OTHER };
    let found = vm::with(|vm| vm.requests.measured.get(models).map(Rc::clone));
    found.unwrap_or_else(|| {
        let histograms = Rc::new(define_histograms(models));
        let kept = Rc::clone(&histograms);
        vm::with(|vm| vm.requests.measured.insert(models.to_owned(), kept));
        histograms
    })
}

const PREFIX: &str = "llm_d_epp_";
const OTHER: &str = ".model_name=other;.target_model_name=other;";

fn models(models: &Models) -> String {
    label("model_name", &models.asked) + &label("target_model_name", &models.sent)
}

fn tenant(FlowKey { id, priority }: &FlowKey) -> String {
    format!("{}.priority={priority}", label("fairness_id", id.as_str()))
}

fn define_histograms(models: &str) -> Histograms {
    let histogram = |name: &str| Metric::histogram(&format!("{PREFIX}{name}{models}"));
    let ttft = |streaming: bool| {
        let name = format!("{PREFIX}request_ttft_milliseconds{models}.streaming={streaming}");
        Metric::histogram(&name)
    };
    Histograms {
        duration: histogram("request_duration_milliseconds"),
        request_bytes: histogram("request_size_bytes"),
        response_bytes: histogram("response_size_bytes"),
        input_tokens: histogram("request_input_tokens"),
        output_tokens: histogram("request_output_tokens"),
        cached_tokens: histogram("request_cached_tokens"),
        per_output_token: histogram("request_ntpot_microseconds"),
        ttft: ttft(false),
        streamed_ttft: ttft(true),
        streamed_tpot: histogram("request_streaming_tpot_microseconds"),
        streamed_itl: histogram("request_streaming_itl_microseconds"),
        hit_ratio: histogram("prefix_indexer_hit_ratio_percent"),
        hit_bytes: histogram("prefix_indexer_hit_bytes"),
    }
}

fn record_sent(histograms: &Histograms, sent: &SentRequest<'_>) {
    let duration = sent.ended_at.saturating_since(sent.received_at);
    histograms.duration.record(millis(duration));
    histograms.request_bytes.record(sent.request_bytes);
    histograms.response_bytes.record(sent.response_bytes);
    record_prefix(histograms, sent.decision);
    if let Some((first, streamed)) = sent.body {
        let ttft = millis(first.saturating_since(sent.received_at));
        let histogram = if sent.is_streamed { histograms.streamed_ttft } else { histograms.ttft };
        histogram.record(ttft);
        if sent.is_streamed {
            record_stream(histograms, sent, streamed);
        }
    }
    if let Some(usage) = sent.usage {
        record_usage(histograms, usage, duration);
    }
}

fn record_prefix(histograms: &Histograms, decision: &SchedulingResult) {
    let (blocks, matched) = prefix(decision);
    if blocks > 0 {
        histograms.hit_ratio.record(u64::from(matched) * 100 / u64::from(blocks));
        histograms.hit_bytes.record(u64::from(tokens(matched)) * 4);
    }
}

/// Records the mean time between tokens: of the tokens that the usage counts, and of the events that came.
fn record_stream(histograms: &Histograms, sent: &SentRequest<'_>, streamed: Duration) {
    let tokens = sent.usage.map_or(0, |usage| usage.output_tokens);
    if let Some(tpot) = mean_gap(streamed, tokens) {
        histograms.streamed_tpot.record(micros(tpot));
    }
    if let Some(itl) = mean_gap(streamed, sent.events) {
        histograms.streamed_itl.record(micros(itl));
    }
}

fn record_usage(histograms: &Histograms, usage: Usage, duration: Duration) {
    histograms.input_tokens.record(usage.prompt_tokens.into());
    histograms.output_tokens.record(usage.output_tokens.into());
    if let Some(cached) = usage.cached_tokens {
        histograms.cached_tokens.record(cached.into());
    }
    if usage.output_tokens > 0 {
        histograms.per_output_token.record(micros(duration / usage.output_tokens));
    }
}

/// Counts the prompt's blocks, and those that the chosen endpoint is expected to have cached.
fn prefix(decision: &SchedulingResult) -> (u32, u32) {
    (decision.blocks, decision.sight.matched)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
