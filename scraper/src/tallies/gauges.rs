//! The gauges of a pool: of its pods by the scraper's own readings, of requests by the gateways'
//! reports.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use picker_core::{
    TextMeasure,
    saturation::{StageSaturations, StaleEndpoints},
};
use wire::{
    band_limits::BandLimits,
    reply::WorkerState,
    report::{Queue, Report},
    tally::Labels,
};

use super::{
    exposition::{Gauge, PREFIX_PLUGIN, Page},
    sums::Present,
};
use crate::pool::{PodReadings, ScrapedPod};

/// Age from which on a reading is left out (EPP: metrics staleness threshold).
const READING_AGE_MAX: Duration = Duration::from_secs(2);

/// Flows that are shown, those that are empty again among them; as many as in the EPP.
const FLOWS_MAX: usize = 1000;

pub(super) const RUNNING: Gauge =
    Gauge { name: "llm_d_epp_request_running", help: "Requests that were sent and are not over" };
pub(super) const QUEUE_SIZE: Gauge =
    Gauge { name: "llm_d_epp_flow_control_queue_size", help: "Requests that wait" };
pub(super) const QUEUE_BYTES: Gauge =
    Gauge { name: "llm_d_epp_flow_control_queue_bytes", help: "Bytes of requests that wait" };
const OLDEST_WAIT: Gauge = Gauge {
    name: "llm_picker_oldest_wait_seconds",
    help: "Time that the oldest request of a flow has waited",
};
const BAND_REQUESTS: Gauge = Gauge {
    name: "llm_d_epp_flow_control_capacity_utilization_requests",
    help: "Share of the requests that may wait in a band that do",
};
const BAND_BYTES: Gauge = Gauge {
    name: "llm_d_epp_flow_control_capacity_utilization_bytes",
    help: "Share of the bytes that may wait in a band that do",
};
const INFO: Gauge =
    Gauge { name: "llm_d_epp_info", help: "Build of the scraper, under the EPP's name" };
const SCRAPER_BUILD: Gauge = Gauge { name: "llm_scraper_build_info", help: "Build of the scraper" };
const PICKER_BUILD: Gauge =
    Gauge { name: "llm_picker_build_info", help: "Gateways that run this build of the plugin" };
const SATURATION: Gauge = Gauge {
    name: "llm_d_epp_flow_control_pool_saturation",
    help: "Load of the pool as a share of what it can take",
};
const STALE: Gauge = Gauge {
    name: "llm_d_epp_flow_control_stale_endpoints",
    help: "Endpoints without fresh metrics, by the saturation detector of the gateway that has most",
};
const BYTES_PER_TOKEN: Gauge = Gauge {
    name: "llm_picker_bytes_per_token",
    help: "Mean bytes of prompt text per token, by the usage in answers; of all models where none is named",
};
const INDEX_SIZE: Gauge = Gauge {
    name: "llm_d_epp_prefix_indexer_size",
    help: "Entries of the largest prefix index of a worker",
};
pub(super) const IN_FLIGHT_REQUESTS: Gauge =
    Gauge { name: "llm_d_epp_inflight_requests", help: "Requests in flight to an endpoint" };
pub(super) const IN_FLIGHT_TOKENS: Gauge = Gauge {
    name: "llm_d_epp_inflight_tokens",
    help: "Prompt tokens in flight to an endpoint that it has not read yet",
};

const READY: Gauge =
    Gauge { name: "llm_d_epp_ready_endpoints", help: "Endpoints with metrics that can be read" };
const ENDPOINT_QUEUE: Gauge = Gauge {
    name: "llm_d_epp_per_endpoint_queue_size",
    help: "Requests that wait in an endpoint's engine",
};

/// Mean and standard deviation of three readings over the endpoints.
const AVERAGES: [[Gauge; 2]; 3] = [
    [
        Gauge { name: "llm_d_epp_average_queue_size", help: "Mean of waiting requests" },
        Gauge { name: "llm_d_epp_std_dev_queue_size", help: "Deviation of waiting requests" },
    ],
    [
        Gauge { name: "llm_d_epp_average_running_requests", help: "Mean of running requests" },
        Gauge { name: "llm_d_epp_std_dev_running_requests", help: "Deviation of running requests" },
    ],
    [
        Gauge { name: "llm_d_epp_average_kv_cache_utilization", help: "Mean use of KV caches" },
        Gauge { name: "llm_d_epp_std_dev_kv_cache_utilization", help: "Deviation of that use" },
    ],
];

/// Sizes of flows, by priority and tenant. A flow that waited once is shown as empty afterwards,
/// as long as there is room.
#[derive(Debug, Default)]
pub(super) struct QueueGauges(BTreeMap<(i32, String), Size>);

#[derive(Clone, Copy, Debug, Default)]
struct Size {
    requests: u64,
    oldest: Duration,
}

impl QueueGauges {
    /// Takes in the queues of all gateways as they are now.
    pub(super) fn see<'a>(&mut self, reports: impl Iterator<Item = &'a Report>) {
        self.0.values_mut().for_each(|size| *size = Size::default());
        for Report { queues, details, .. } in reports {
            let oldest = details.oldest.iter().copied().chain(std::iter::repeat(Duration::ZERO));
            for (Queue { priority, fairness_id, requests, .. }, oldest) in queues.iter().zip(oldest)
            {
                let size = self.0.entry((*priority, fairness_id.clone())).or_default();
                size.requests += requests;
                size.oldest = size.oldest.max(oldest);
            }
        }
        let mut over = self.0.len().saturating_sub(FLOWS_MAX);
        self.0.retain(|_, size| {
            let goes = over > 0 && size.requests == 0;
            over -= usize::from(goes);
            !goes
        });
    }

    pub(super) fn write(&self, page: &mut Page, pool: &str) {
        for ((priority, tenant), size) in self.0.iter().take(FLOWS_MAX) {
            let priority = priority.to_string();
            let labels =
                [("inference_pool", pool), ("fairness_id", tenant), ("priority", &*priority)];
            page.gauge(OLDEST_WAIT, &labels, seconds(size.oldest));
        }
    }
}

/// Writes a gauge of requests by their labels.
pub(super) fn write_requests(
    page: &mut Page,
    pool: &str,
    gauge: Gauge,
    requests: &BTreeMap<Labels<'static>, Present>,
) {
    for (labels, present) in requests {
        page.requests(gauge, pool, labels, present.requests);
    }
}

/// Writes a gauge of what these requests pin.
pub(super) fn write_amounts(
    page: &mut Page,
    pool: &str,
    gauge: Gauge,
    requests: &BTreeMap<Labels<'static>, Present>,
) {
    for (labels, present) in requests {
        page.requests(gauge, pool, labels, present.amount);
    }
}

/// Writes how full the bands are, over all gateways.
pub(super) fn write_bands(page: &mut Page, pool: &str, reports: &[&Report]) {
    let mut bands = BTreeMap::<i32, [(u64, u64); 2]>::new();
    for Report { queues, details, .. } in reports {
        for BandLimits { priority, requests, bytes } in &details.bands {
            let own = queues.iter().filter(|queue| queue.priority == *priority);
            let waiting = own.fold([0, 0], |[requests, bytes], queue| {
                [requests + queue.requests, bytes + queue.bytes]
            });
            let band = bands.entry(*priority).or_default();
            for ((sum, limit), (more, of)) in
                band.iter_mut().zip(waiting.into_iter().zip([*requests, *bytes]))
            {
                *sum += more;
                *limit += of;
            }
        }
    }
    for (priority, shares) in bands {
        let priority = priority.to_string();
        let labels = [("inference_pool", pool), ("priority", &*priority)];
        for (gauge, (waiting, limit)) in [BAND_REQUESTS, BAND_BYTES].into_iter().zip(shares) {
            // A band without a limit is never full.
            if limit > 0 {
                page.gauge(gauge, &labels, float(waiting) / float(limit));
            }
        }
    }
}

/// Writes the versions of the gateways.
pub(super) fn write_versions(page: &mut Page, pool: &str, reports: &[&Report]) {
    let mut versions = BTreeMap::<&str, u64>::new();
    for report in reports.iter().filter(|report| !report.details.version.is_empty()) {
        *versions.entry(&report.details.version).or_default() += 1;
    }
    for (version, gateways) in versions {
        let labels = [("inference_pool", pool), ("version", version)];
        page.gauge(PICKER_BUILD, &labels, float(gateways));
    }
}

/// Writes the scraper's own build.
pub(super) fn write_builds(page: &mut Page) {
    let version = env!("CARGO_PKG_VERSION");
    page.gauge(SCRAPER_BUILD, &[("version", version)], 1.0);
    page.gauge(INFO, &[("commit", ""), ("build_ref", version)], 1.0);
}

/// Writes what the workers that are alive say of the pool.
pub(super) fn write_workers(
    page: &mut Page,
    pool: &str,
    alive: &[WorkerState],
    stages: &[StageSaturations],
) {
    let saturation = alive.iter().filter_map(|it| it.saturation).reduce(f64::max);
    if let Some(saturation) = saturation {
        page.gauge(SATURATION, &[("inference_pool", pool), ("stage", "effective")], saturation);
    }
    let most = |stage: fn(&StageSaturations) -> Option<f64>| {
        stages.iter().filter_map(stage).reduce(f64::max)
    };
    for (stage, saturation) in
        [("prefill", most(|it| it.prefill)), ("decode", most(|it| it.decode))]
    {
        if let Some(saturation) = saturation {
            page.gauge(SATURATION, &[("inference_pool", pool), ("stage", stage)], saturation);
        }
    }
    if let Some(indexed) = alive.iter().map(|it| it.indexed).max() {
        let [name, kind] = PREFIX_PLUGIN;
        page.gauge(INDEX_SIZE, &[("inference_pool", pool), name, kind], float(indexed));
    }
}

/// Writes the number of endpoints without fresh metrics.
pub(super) fn write_stale(page: &mut Page, pool: &str, stale: StaleEndpoints) {
    page.gauge(STALE, &[("inference_pool", pool)], stale.stale.into());
}

/// Writes the bytes per token of each model's prompts.
pub(super) fn write_texts(page: &mut Page, pool: &str, texts: &[TextMeasure]) {
    for TextMeasure { model, bytes_per_token, .. } in texts {
        let labels = [("inference_pool", pool), ("model_name", model.as_str())];
        page.gauge(BYTES_PER_TOKEN, &labels, bytes_per_token.get());
    }
}

/// Writes the pool's gauges by the readings of its pods.
pub(super) fn write_pods(page: &mut Page, pool: &str, readings: &PodReadings, now: Instant) {
    let name = ("name", pool);
    let fresh: Vec<(SocketAddr, [f64; 3])> =
        readings.pods.iter().filter_map(|pod| fresh(pod, now)).collect();
    page.gauge(READY, &[name], fresh.iter().map(|_| 1.0).sum());
    for (number, [mean, deviation]) in AVERAGES.into_iter().enumerate() {
        let values = fresh.iter().filter_map(|(_, values)| values.get(number)).copied();
        let of = mean_and_deviation(values);
        page.gauge(mean, &[name], of.mean);
        page.gauge(deviation, &[name], of.deviation);
    }
    for (address, [waiting, ..]) in fresh {
        let address = address.to_string();
        page.gauge(ENDPOINT_QUEUE, &[name, ("model_server_endpoint", &address)], waiting);
    }
}

/// Returns a pod's waiting and running requests and its KV-cache use, if they are those of now.
fn fresh(pod: &ScrapedPod, now: Instant) -> Option<(SocketAddr, [f64; 3])> {
    let state = pod.state.borrow();
    let timed = state.reading.as_ref().filter(|timed| {
        state.trouble.is_none() && now.saturating_duration_since(timed.at) < READING_AGE_MAX
    })?;
    let reading = &timed.reading;
    let values = [reading.waiting.into(), reading.running.into(), millionths(reading.kv_usage)];
    Some((pod.pod.address, values))
}

/// Mean and standard deviation of some values; 0 and 0 of none.
struct Spread {
    mean: f64,
    deviation: f64,
}

fn mean_and_deviation(values: impl Iterator<Item = f64> + Clone) -> Spread {
    let number = values.clone().fold(0.0, |number, _| number + 1.0);
    if number < 1.0 {
        return Spread { mean: 0.0, deviation: 0.0 };
    }
    let mean = values.clone().sum::<f64>() / number;
    let variance = values.map(|value| (value - mean).powi(2)).sum::<f64>() / number;
    Spread { mean, deviation: variance.sqrt() }
}

/// Rounds a share, which a longer float would show with digits that say nothing.
fn millionths(share: f32) -> f64 {
    (f64::from(share) * 1e6).round() / 1e6
}

/// Returns seconds with three places: more would say nothing.
fn seconds(time: Duration) -> f64 {
    float(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)) / 1e3
}

#[allow(clippy::cast_precision_loss, reason = "a gauge beyond 2^53 is exact enough")]
fn float(number: u64) -> f64 {
    number as f64
}
