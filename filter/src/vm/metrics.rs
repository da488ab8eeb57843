//! The metrics that a VM has defined, by their names.
//!
//! Envoy never forgets a metric, and names come from headers and bodies, so every table has a limit.

use std::{collections::BTreeMap, net::SocketAddr, rc::Rc, time::Duration};

use picker_core::{Instant, flow::FlowKey};

use crate::{host::Metric, models::Models};

/// Flow-control metrics in all. A tenant's name comes from a header: beyond this nothing new is shown.
const FLOW_METRICS_MAX: usize = 8_000;

/// Endpoints with a gauge of their own: pods come and go.
const ENDPOINTS_MAX: usize = 1000;

/// Label sets of counters at one time, as in the EPP. What comes beyond is "other".
const COUNTED_MAX: usize = 1000;

/// Pairs of models and tenants with metrics that are found without building their names, which takes a
/// quarter of the work for a small request. As many as have counters of their own.
const KNOWN_MAX: usize = COUNTED_MAX;

/// Pairs of models with histograms of their own: a dozen each, of some kilobytes of each worker's memory.
const MEASURED_MAX: usize = 100;

/// Bytes of a model's name up to which its metrics are kept by it: few names have 60.
const NAME_BYTES_MAX: usize = 128;

/// Time between two looks at a pool's endpoints, as in the EPP.
const POOL_EVERY: Duration = Duration::from_secs(5);

/// The metrics of one pool's flow control, each defined when it is first needed.
#[derive(Default)]
pub(crate) struct FlowMetrics {
    defined: BTreeMap<String, Metric>,
    /// Gauges that show a queue which was not empty.
    pub(crate) shown: Vec<Metric>,
    /// Histogram of grants, recorded once a dispatch: its name is not put together each time.
    pub(crate) grant: Option<Metric>,
    /// True if this worker was the arbiter at its last tick.
    pub(crate) keeps_queues: bool,
}

/// The gauges of one pool's endpoints, each defined when it is first needed.
#[derive(Default)]
pub(crate) struct PoolMetrics {
    shown_at: Option<Instant>,
    pub(crate) gauges: BTreeMap<String, Metric>,
    /// Gauge of each endpoint's queue, kept so that an endpoint that left shows none.
    pub(crate) queues: BTreeMap<SocketAddr, Metric>,
}

/// The metrics of one VM's requests, each defined when it is first needed.
pub(crate) struct RequestMetrics {
    pub(crate) counted: BTreeMap<String, Metric>,
    pub(crate) measured: BTreeMap<String, Rc<Histograms>>,
    known: BTreeMap<Models, BTreeMap<FlowKey, Known>>,
}

/// The metrics of one tenant's requests for one model.
#[derive(Clone, Default)]
pub(crate) struct Known {
    pub(crate) total: Option<Metric>,
    pub(crate) errors: BTreeMap<&'static str, Metric>,
    pub(crate) sent: Option<SentMetrics>,
    pub(crate) unsent: Option<Metric>,
}

/// The metrics of requests that were sent.
#[derive(Clone)]
pub(crate) struct SentMetrics {
    pub(crate) attempts: Metric,
    pub(crate) histograms: Rc<Histograms>,
}

/// The histograms of one pair of models.
pub(crate) struct Histograms {
    pub(crate) duration: Metric,
    pub(crate) request_bytes: Metric,
    pub(crate) response_bytes: Metric,
    pub(crate) input_tokens: Metric,
    pub(crate) output_tokens: Metric,
    pub(crate) cached_tokens: Metric,
    pub(crate) per_output_token: Metric,
    pub(crate) ttft: Metric,
    pub(crate) streamed_ttft: Metric,
    pub(crate) streamed_tpot: Metric,
    pub(crate) streamed_itl: Metric,
    pub(crate) hit_ratio: Metric,
    pub(crate) hit_bytes: Metric,
}

/// A metric that was looked for.
pub(crate) enum Lookup {
    /// The metric is defined.
    Metric(Metric),
    /// The metric is to be defined by the caller.
    Nothing,
    /// The table is full.
    NoRoom,
}

impl FlowMetrics {
    pub(crate) fn find(&self, name: &str) -> Lookup {
        match self.defined.get(name) {
            Some(metric) => Lookup::Metric(*metric),
            None if self.defined.len() < FLOW_METRICS_MAX => Lookup::Nothing,
            None => Lookup::NoRoom,
        }
    }

    pub(crate) fn insert(&mut self, name: String, metric: Metric) {
        self.defined.insert(name, metric);
    }
}

impl PoolMetrics {
    /// True if it is time to show the gauges again, which is then taken to be done.
    pub(crate) fn are_due(&mut self, now: Instant) -> bool {
        let is_due = self.shown_at.is_none_or(|at| now.saturating_since(at) >= POOL_EVERY);
        if is_due {
            self.shown_at = Some(now);
        }
        is_due
    }

    pub(crate) fn find_queue(&self, address: SocketAddr) -> Lookup {
        match self.queues.get(&address) {
            Some(metric) => Lookup::Metric(*metric),
            None if self.queues.len() < ENDPOINTS_MAX => Lookup::Nothing,
            None => Lookup::NoRoom,
        }
    }
}

impl RequestMetrics {
    /// Makes a table in which no metric is defined yet.
    pub(crate) const fn new() -> Self {
        Self { counted: BTreeMap::new(), measured: BTreeMap::new(), known: BTreeMap::new() }
    }

    pub(crate) fn known(&self, models: &Models, flow: &FlowKey) -> Option<&Known> {
        self.known.get(models)?.get(flow)
    }

    /// Finds the entry of a tenant and its models, or makes it as long as there is room.
    pub(crate) fn entry(&mut self, models: &Models, flow: &FlowKey) -> Option<&mut Known> {
        if models.asked.len().max(models.sent.len()) > NAME_BYTES_MAX {
            return None;
        }
        let is_known = self.known(models, flow).is_some();
        if !is_known && self.known.values().map(BTreeMap::len).sum::<usize>() >= KNOWN_MAX {
            return None;
        }
        let tenants = self.known.entry(models.clone()).or_default();
        Some(tenants.entry(flow.clone()).or_default())
    }

    pub(crate) fn find_counter(&self, name: &str) -> Lookup {
        match self.counted.get(name) {
            Some(metric) => Lookup::Metric(*metric),
            None if self.counted.len() < COUNTED_MAX => Lookup::Nothing,
            None => Lookup::NoRoom,
        }
    }

    /// True if a pair of models may have histograms of its own.
    pub(crate) fn may_measure(&self, models: &str) -> bool {
        self.measured.len() < MEASURED_MAX || self.measured.contains_key(models)
    }
}
