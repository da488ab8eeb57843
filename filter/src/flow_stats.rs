//! What flow control counts and shows, under the EPP's names.
//!
//! Envoy's gauges and histograms hold whole numbers, so a saturation is shown in thousandths and a
//! wait in milliseconds, and the names say so. A label is part of the name until Envoy's stats tags
//! take it out: see envoy/local/.

use std::{
    cell::{OnceCell, RefCell},
    collections::BTreeMap,
    time::Duration,
};

use picker_core::{
    flow::{Controller, FlowKey, FlowSize, Outcome},
    workers::Capacity,
};

use crate::host::Metric;

/// Flows with metrics of their own at one time, as in the EPP; the others of a band are one, "other".
const FLOWS_MAX: usize = 1000;

/// Metrics in all. Envoy never forgets one, and a tenant's name comes from a header: beyond this
/// nothing new is shown.
const METRICS_MAX: usize = 8 * FLOWS_MAX;

/// The metrics of one pool. Each is defined when it is first needed: which there are depends on who
/// asks.
pub(crate) struct FlowStats {
    pool: String,
    defined: RefCell<BTreeMap<String, Metric>>,
    /// Gauges that show a queue which was not empty.
    shown: RefCell<Vec<Metric>>,
    /// Recorded once a dispatch: its name is not put together each time.
    grant: OnceCell<Metric>,
}

impl FlowStats {
    /// The metrics of the pool of that name.
    pub(crate) fn of_pool(pool: &str) -> Self {
        Self {
            pool: label(pool),
            defined: RefCell::default(),
            shown: RefCell::default(),
            grant: OnceCell::new(),
        }
    }

    /// Records how long it took from a grant to the request's going on. The EPP, which decides where
    /// it sends from, has no such thing.
    pub(crate) fn count_grant(&self, took: Duration) {
        let name =
            || format!("llm_picker_grant_to_resume_microseconds.inference_pool={}", self.pool);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.grant.get_or_init(|| Metric::histogram(&name())).record(micros);
    }

    /// Counts how a request's wait ended, and how long it was.
    pub(crate) fn count(&self, flow: &FlowKey, outcome: Outcome, waited: Duration) {
        let labels = format!("outcome={}.priority={}", outcome.label(), flow.priority);
        self.metric("requests_total", &labels, Metric::counter).increment();
        let waited = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
        self.metric("request_queue_duration_milliseconds", &labels, Metric::histogram)
            .record(waited);
    }

    /// Shows the queues, if this worker keeps them, and how full the pool is.
    pub(crate) fn show(&self, queues: Option<&Controller>, capacity: &Capacity) {
        // What is not among the queues any more is empty.
        self.shown.borrow_mut().drain(..).for_each(|gauge| gauge.record(0));
        let Some(queues) = queues else { return };
        for size in queues.flow_sizes(FLOWS_MAX) {
            for (gauge, value) in self.gauges(&size) {
                gauge.record(value);
                self.shown.borrow_mut().push(gauge);
            }
        }
        if let Capacity::Serving(room) = capacity {
            self.metric("pool_saturation_thousandths", "", Metric::gauge)
                .record(thousandths(room.saturation()));
        }
    }

    /// What another worker has shown of these flows, which may be dead by now, is this one's to put right from now on.
    pub(crate) fn take_over(&self, flows: &[FlowSize]) {
        for size in flows {
            self.shown.borrow_mut().extend(self.gauges(size).map(|(gauge, _)| gauge));
        }
    }

    /// A flow's gauges, and what they are to show.
    fn gauges(&self, size: &FlowSize) -> [(Metric, u64); 2] {
        let FlowSize { flow, usage } = size;
        let labels = format!("priority={}.fairness_id={}", flow.priority, label(flow.id.as_str()));
        [("queue_size", usage.requests), ("queue_bytes", usage.bytes)]
            .map(|(name, value)| (self.metric(name, &labels, Metric::gauge), value))
    }

    fn metric(&self, name: &str, labels: &str, define: fn(&str) -> Metric) -> Metric {
        let dot = if labels.is_empty() { "" } else { "." };
        let name =
            format!("llm_d_epp_flow_control_{name}.inference_pool={}{dot}{labels}", self.pool);
        let mut defined = self.defined.borrow_mut();
        if defined.len() >= METRICS_MAX && !defined.contains_key(&name) {
            return Metric::NONE;
        }
        *defined.entry(name).or_insert_with_key(|name| define(name))
    }
}

/// A tenant's or a pool's name as part of a stat's name, where a dot would end it.
fn label(id: &str) -> String {
    id.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a saturation is not below zero, and one beyond u64 is shown as its highest value"
)]
fn thousandths(saturation: f64) -> u64 {
    (saturation * 1000.0).round() as u64
}
