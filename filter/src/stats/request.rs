//! What requests cost and how long they took, under the EPP's names.
//!
//! Envoy's histograms hold whole numbers, so times are in milliseconds, or microseconds where those
//! would be too coarse, and the names say so. A histogram takes some kilobytes of each worker's
//! memory and is never forgotten: they are told apart by model, and only the counters by tenant too.

use std::{
    cell::{OnceCell, RefCell},
    collections::BTreeMap,
    rc::Rc,
    time::Duration,
};

use picker_core::{Instant, SchedulingResult, flow::FlowKey, tokens};
use wire::response::Usage;

use super::label::{LABEL_MAX, dotted, plain};
use crate::{host::Metric, models::Models, response::mean_gap};

/// Label sets of counters at one time, as in the EPP. What comes beyond is "other".
const COUNTED_MAX: usize = 1000;

/// Models and tenants whose metrics are found without building their names, which takes a quarter
/// of the work for a small request. As many as have counters of their own.
const KNOWN_MAX: usize = COUNTED_MAX;

/// Pairs of models with histograms of their own: a dozen each.
const MEASURED_MAX: usize = 100;

/// A request that is over.
pub(crate) struct Done<'a> {
    pub(crate) models: &'a Models,
    pub(crate) flow: &'a FlowKey,
    /// What it failed with, by the EPP's code.
    pub(crate) error: Option<&'static str>,
    /// `None` if it was never sent.
    pub(crate) sent: Option<Sent<'a>>,
}

/// What there is to say of a request that was sent.
pub(crate) struct Sent<'a> {
    pub(crate) decision: &'a SchedulingResult,
    pub(crate) received_at: Instant,
    pub(crate) ended_at: Instant,
    /// When the response's body began, and for how long it came.
    pub(crate) body: Option<(Instant, Duration)>,
    pub(crate) is_streamed: bool,
    pub(crate) request_bytes: u64,
    pub(crate) response_bytes: u64,
    pub(crate) usage: Option<Usage>,
    pub(crate) events: u32,
}

/// The metrics of one plugin instance. Each is defined when it is first needed: which there are
/// depends on who asks.
#[derive(Default)]
pub(crate) struct RequestStats {
    counted: RefCell<BTreeMap<String, Metric>>,
    measured: RefCell<BTreeMap<String, Rc<Histograms>>>,
    known: RefCell<BTreeMap<Models, BTreeMap<FlowKey, Rc<Known>>>>,
}

/// The metrics of one tenant's requests for one model, each defined when it is first needed.
struct Known {
    total: Metric,
    errors: RefCell<BTreeMap<&'static str, Metric>>,
    sent: OnceCell<(Metric, Rc<Histograms>)>,
    unsent: OnceCell<Metric>,
}

struct Histograms {
    duration: Metric,
    request_bytes: Metric,
    response_bytes: Metric,
    input_tokens: Metric,
    output_tokens: Metric,
    cached_tokens: Metric,
    per_output_token: Metric,
    ttft: Metric,
    streamed_ttft: Metric,
    streamed_tpot: Metric,
    streamed_itl: Metric,
    hit_ratio: Metric,
    hit_bytes: Metric,
}

impl RequestStats {
    /// Counts and measures it.
    pub(crate) fn record(&self, done: &Done<'_>) {
        let known = self.known(done.models, done.flow);
        known.total.increment();
        if let Some(code) = done.error {
            self.error(&known, done, code).increment();
        }
        let attempts = |status| {
            let target = dotted("target_model_name", &done.models.sent);
            self.counter("scheduler_attempts_total", &target, status)
        };
        if let Some(sent) = &done.sent {
            let (attempts, histograms) = known.sent.get_or_init(|| {
                (attempts(".status=success"), self.histograms(&models(done.models)))
            });
            attempts.increment();
            histograms.record(sent);
        } else {
            known.unsent.get_or_init(|| attempts(".status=failure")).increment();
        }
    }

    fn known(&self, models: &Models, flow: &FlowKey) -> Rc<Known> {
        let found =
            self.known.borrow().get(models).and_then(|flows| flows.get(flow)).map(Rc::clone);
        found.unwrap_or_else(|| self.know(models, flow))
    }

    #[cold]
    fn know(&self, of: &Models, flow: &FlowKey) -> Rc<Known> {
        let known = Rc::new(Known {
            total: self.counter("request_total", &models(of), &tenant(flow)),
            errors: RefCell::default(),
            sent: OnceCell::new(),
            unsent: OnceCell::new(),
        });
        let mut all = self.known.borrow_mut();
        let is_short = of.asked.len().max(of.sent.len()) <= LABEL_MAX;
        if is_short && all.values().map(BTreeMap::len).sum::<usize>() < KNOWN_MAX {
            all.entry(of.clone()).or_default().insert(flow.clone(), Rc::clone(&known));
        }
        known
    }

    fn error(&self, known: &Known, done: &Done<'_>, code: &'static str) -> Metric {
        let labels = || format!("{}.error_code={code}", tenant(done.flow));
        let define = || self.counter("request_error_total", &models(done.models), &labels());
        *known.errors.borrow_mut().entry(code).or_insert_with(define)
    }

    /// Counts that a rule has sent a request to another model.
    pub(crate) fn count_rewrite(&self, rewrite: &str, asked: &str, sent: &str) {
        let labels = dotted("model_rewrite_name", rewrite)
            + &dotted("model_name", asked)
            + &dotted("target_model", sent);
        self.counter("model_rewrite_decisions_total", &labels, "").increment();
    }

    fn counter(&self, name: &str, models: &str, who: &str) -> Metric {
        let mut counted = self.counted.borrow_mut();
        let full = format!("{PREFIX}{name}{models}{who}");
        if let Some(counter) = counted.get(&full) {
            return *counter;
        }
        let is_full = counted.len() >= COUNTED_MAX;
        let full = if is_full { format!("{PREFIX}{name}{OTHER}") } else { full };
        *counted.entry(full).or_insert_with_key(|name| Metric::counter(name))
    }

    fn histograms(&self, models: &str) -> Rc<Histograms> {
        let mut measured = self.measured.borrow_mut();
        let is_full = measured.len() >= MEASURED_MAX && !measured.contains_key(models);
        let models = if is_full { OTHER } else { models };
        let found = measured.get(models).map(Rc::clone);
        found.unwrap_or_else(|| {
            let histograms = Rc::new(Histograms::define(models));
            measured.insert(models.to_owned(), Rc::clone(&histograms));
            histograms
        })
    }
}

const PREFIX: &str = "llm_d_epp_";
const OTHER: &str = ".model_name=other;.target_model_name=other;";

fn models(models: &Models) -> String {
    dotted("model_name", &models.asked) + &dotted("target_model_name", &models.sent)
}

fn tenant(FlowKey { id, priority }: &FlowKey) -> String {
    format!(".fairness_id={}.priority={priority}", plain(id.as_str()))
}

impl Histograms {
    fn define(models: &str) -> Self {
        let histogram = |name: &str| Metric::histogram(&format!("{PREFIX}{name}{models}"));
        let ttft = |streaming: bool| {
            let name = format!("{PREFIX}request_ttft_milliseconds{models}.streaming={streaming}");
            Metric::histogram(&name)
        };
        Self {
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

    fn record(&self, sent: &Sent<'_>) {
        let duration = sent.ended_at.saturating_since(sent.received_at);
        self.duration.record(millis(duration));
        self.request_bytes.record(sent.request_bytes);
        self.response_bytes.record(sent.response_bytes);
        self.record_prefix(sent.decision);
        if let Some((first, streamed)) = sent.body {
            let ttft = millis(first.saturating_since(sent.received_at));
            let histogram = if sent.is_streamed { self.streamed_ttft } else { self.ttft };
            histogram.record(ttft);
            if sent.is_streamed {
                self.record_stream(sent, streamed);
            }
        }
        if let Some(usage) = sent.usage {
            self.record_usage(usage, duration);
        }
    }

    fn record_prefix(&self, decision: &SchedulingResult) {
        let (blocks, matched) = prefix(decision);
        if blocks > 0 {
            self.hit_ratio.record(u64::from(matched) * 100 / u64::from(blocks));
            self.hit_bytes.record(u64::from(tokens(matched)) * 4);
        }
    }

    /// The mean time between tokens: of the tokens that the usage says, and of the events that came.
    fn record_stream(&self, sent: &Sent<'_>, streamed: Duration) {
        let tokens = sent.usage.map_or(0, |usage| usage.output_tokens);
        if let Some(tpot) = mean_gap(streamed, tokens) {
            self.streamed_tpot.record(micros(tpot));
        }
        if let Some(itl) = mean_gap(streamed, sent.events) {
            self.streamed_itl.record(micros(itl));
        }
    }

    fn record_usage(&self, usage: Usage, duration: Duration) {
        self.input_tokens.record(usage.prompt_tokens.into());
        self.output_tokens.record(usage.output_tokens.into());
        if let Some(cached) = usage.cached_tokens {
            self.cached_tokens.record(cached.into());
        }
        if usage.output_tokens > 0 {
            self.per_output_token.record(micros(duration / usage.output_tokens));
        }
    }
}

/// The prompt's blocks, and those that the chosen endpoint is believed to have.
fn prefix(decision: &SchedulingResult) -> (u32, u32) {
    (decision.blocks, decision.sight.matched)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
