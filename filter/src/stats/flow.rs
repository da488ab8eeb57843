//! Metrics of flow control, under the EPP's names.
//!
//! Envoy's gauges and histograms hold whole numbers, so a saturation is shown in thousandths and a
//! wait in milliseconds, and the names say so. A label is part of the name until Envoy's stats tags
//! take it out: see envoy/local/.

use std::time::Duration;

use picker_core::{
    Instant,
    flow::{FlowKey, FlowSize, Outcome},
    ledger::Ledger,
    saturation::Capacity,
};

use super::{
    label::label,
    pool::{self, Survey},
};
use crate::{
    host::Metric,
    pool::Pool,
    vm::{self, PoolState, metrics::Lookup},
};

/// Flows with metrics of their own at one time, as in the EPP; the others of a band are one, "other".
const FLOWS_MAX: usize = 1000;

/// Tenants that a report on the pool names, of all bands together: more than a reader looks at.
const FLOWS_REPORTED_MAX: usize = 64;

/// The state of a pool at one moment, to be shown.
struct View {
    /// The queues; `None` where another worker keeps them.
    queues: Option<Queues>,
    /// The load of each endpoint, if it is due to be shown.
    survey: Option<Survey>,
    /// True if this worker has become the arbiter since its last tick.
    took_over: bool,
}

/// The requests that wait in this worker, by flow.
struct Queues {
    /// Flows for metrics, at most [`FLOWS_MAX`] a band.
    flows: Vec<FlowSize>,
    /// Flows for reports, at most [`FLOWS_REPORTED_MAX`].
    reported: Vec<FlowSize>,
    /// Saturation of the pool; `None` while it has no endpoints.
    saturation: Option<f64>,
}

/// Records the time from a grant to the request's going on. The EPP has no such metric, as it decides in
/// the process that sends.
pub(crate) fn count_grant(pool: &Pool, took: Duration) {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    let known = vm::in_pool(pool.id, |pool| pool.flow.grant);
    let metric = known.unwrap_or_else(|| {
        let inference_pool = label("inference_pool", &pool.config.name);
        let name = format!("llm_picker_grant_to_resume_microseconds{inference_pool}");
        let metric = Metric::histogram(&name);
        vm::in_pool(pool.id, |pool| pool.flow.grant = Some(metric));
        metric
    });
    metric.record(micros);
}

/// Counts how a request's wait ended, and how long it was.
pub(crate) fn count_outcome(pool: &Pool, flow: &FlowKey, outcome: Outcome, waited: Duration) {
    let labels = format!(".outcome={}.priority={}", outcome.label(), flow.priority);
    metric(pool, "requests_total", &labels, Metric::counter).increment();
    let waited = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
    metric(pool, "request_queue_duration_milliseconds", &labels, Metric::histogram).record(waited);
}

/// Shows the pool's endpoints, and its queues and saturation if this worker keeps the queues.
pub(crate) fn show_pool(pool: &Pool, now: Instant, ledger: &Ledger) {
    let View { queues, survey, took_over } = vm::in_pool(pool.id, |pool| view(pool, now, ledger));
    if took_over {
        // Gauges of the arbiter before this one, which may be dead and leaves them as they are.
        let (_, flows) = pool.store.queues();
        take_over(pool, &flows);
    }
    // Zero first: a flow that is not among the queues any more is empty.
    let shown = vm::in_pool(pool.id, |pool| std::mem::take(&mut pool.flow.shown));
    shown.iter().for_each(|gauge| gauge.record(0));
    if let Some(Queues { flows, reported, saturation }) = queues {
        show_queues(pool, &flows);
        if let Some(saturation) = saturation {
            metric(pool, "pool_saturation_thousandths", "", Metric::gauge)
                .record(thousandths(saturation));
        }
        pool.store.show_queues(now, &reported);
    }
    if let Some(survey) = survey {
        pool::show(pool, &survey);
    }
}

fn view(pool: &mut PoolState, now: Instant, ledger: &Ledger) -> View {
    let saturation = || match pool.worker.capacity(now, ledger) {
        Capacity::Serving(budget) => Some(budget.saturation()),
        Capacity::Unknown | Capacity::Empty => None,
    };
    let queues = pool.worker.queues().map(|queues| Queues {
        flows: queues.flow_sizes(FLOWS_MAX),
        reported: queues.flow_sizes(FLOWS_REPORTED_MAX),
        saturation: saturation(),
    });
    let keeps = queues.is_some();
    let kept = std::mem::replace(&mut pool.flow.keeps_queues, keeps);
    let is_due = pool.worker.is_registered() && pool.endpoints.are_due(now);
    let survey = is_due.then(|| Survey {
        endpoints: pool.worker.survey(now, ledger),
        indexed: pool.worker.indexed(),
    });
    View { queues, survey, took_over: keeps && !kept }
}

fn show_queues(pool: &Pool, flows: &[FlowSize]) {
    let mut shown = Vec::new();
    for size in flows {
        for (gauge, value) in gauges(pool, size) {
            gauge.record(value);
            shown.push(gauge);
        }
    }
    vm::in_pool(pool.id, |pool| pool.flow.shown.extend(shown));
}

/// Takes over the gauges of these flows from another worker, which may be dead by now: this worker keeps
/// them right from now on.
pub(crate) fn take_over(pool: &Pool, flows: &[FlowSize]) {
    let gauges: Vec<Metric> =
        flows.iter().flat_map(|size| gauges(pool, size).map(|(gauge, _)| gauge)).collect();
    vm::in_pool(pool.id, |pool| pool.flow.shown.extend(gauges));
}

/// Finds a flow's gauges, with the values that they are to show.
fn gauges(pool: &Pool, size: &FlowSize) -> [(Metric, u64); 2] {
    let FlowSize { flow, usage } = size;
    let tenant = label("fairness_id", flow.id.as_str());
    let labels = format!(".priority={}{tenant}", flow.priority);
    [("queue_size", usage.requests), ("queue_bytes", usage.bytes)]
        .map(|(name, value)| (metric(pool, name, &labels, Metric::gauge), value))
}

/// Finds a metric by its name and labels, or defines it.
fn metric(pool: &Pool, name: &str, labels: &str, define: fn(&str) -> Metric) -> Metric {
    let inference_pool = label("inference_pool", &pool.config.name);
    let name = format!("llm_d_epp_flow_control_{name}{inference_pool}{labels}");
    match vm::in_pool(pool.id, |pool| pool.flow.find(&name)) {
        Lookup::Metric(metric) => metric,
        Lookup::NoRoom => Metric::NONE,
        Lookup::Nothing => {
            let metric = define(&name);
            vm::in_pool(pool.id, |pool| pool.flow.insert(name, metric));
            metric
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a saturation is not below zero, and one beyond u64 is shown as its highest value"
)]
fn thousandths(saturation: f64) -> u64 {
    (saturation * 1000.0).round() as u64
}
