//! How a pool is, under the EPP's names: what its endpoints say, and what is in flight.
//!
//! Envoy's gauges are whole numbers, so shares and means are shown in thousandths, and the names say
//! so.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    net::SocketAddr,
    time::Duration,
};

use picker_core::{Instant, saturation::Load};

use super::label::{dotted, plain};
use crate::host::Metric;

/// As often as the EPP shows them.
const EVERY: Duration = Duration::from_secs(5);

/// Endpoints with a gauge of their own. Envoy never forgets one, and pods come and go.
const ENDPOINTS_MAX: usize = 1000;

/// The gauges of one pool.
pub(crate) struct PoolStats {
    pool: String,
    shown_at: Cell<Option<Instant>>,
    gauges: RefCell<BTreeMap<String, Metric>>,
    /// Each endpoint's queue, so that one that left shows none.
    queues: RefCell<BTreeMap<SocketAddr, Metric>>,
}

impl PoolStats {
    /// The gauges of the pool of that name.
    pub(crate) fn of_pool(pool: &str) -> Self {
        Self {
            pool: format!(".name={};", plain(pool)),
            shown_at: Cell::new(None),
            gauges: RefCell::default(),
            queues: RefCell::default(),
        }
    }

    /// Whether it is time to show them again.
    pub(crate) fn are_due(&self, now: Instant) -> bool {
        let due = self.shown_at.get().is_none_or(|at| now.saturating_since(at) >= EVERY);
        if due {
            self.shown_at.set(Some(now));
        }
        due
    }

    /// Shows what is known of each endpoint, and how many entries the prefix index has.
    pub(crate) fn show(&self, endpoints: &[(SocketAddr, Load)], indexed: usize) {
        let known = endpoints.iter().filter(|(_, load)| load.metrics_age.is_some());
        let known: Vec<&Load> = known.map(|(_, load)| load).collect();
        for (what, of) in [
            ("kv_cache_utilization", kv_usage as fn(&Load) -> f64),
            ("queue_size", waiting),
            ("running_requests", running),
        ] {
            let (mean, deviation) = mean_and_deviation(known.iter().map(|load| of(load)));
            self.set(&format!("average_{what}_thousandths"), thousandths(mean));
            self.set(&format!("std_dev_{what}_thousandths"), thousandths(deviation));
        }
        self.set("ready_endpoints", count(endpoints.len()));
        let in_flight = endpoints.iter().map(|(_, load)| u64::from(load.in_flight)).sum();
        self.set("request_running", in_flight);
        self.set("prefix_indexer_size", count(indexed));
        self.show_queues(endpoints);
    }

    fn show_queues(&self, endpoints: &[(SocketAddr, Load)]) {
        let mut queues = self.queues.borrow_mut();
        let there = |address: &SocketAddr| endpoints.iter().any(|(other, _)| other == address);
        queues.iter().filter(|(address, _)| !there(address)).for_each(|(_, gone)| gone.record(0));
        for (address, load) in endpoints {
            if queues.len() < ENDPOINTS_MAX || queues.contains_key(address) {
                let gauge = queues.entry(*address).or_insert_with(|| {
                    let server = dotted("model_server_endpoint", &address.to_string());
                    Metric::gauge(&format!(
                        "llm_d_epp_per_endpoint_queue_size{}{server}",
                        self.pool
                    ))
                });
                gauge.record(load.waiting.into());
            }
        }
    }

    fn set(&self, name: &str, value: u64) {
        let mut gauges = self.gauges.borrow_mut();
        let define = || Metric::gauge(&format!("llm_d_epp_{name}{}", self.pool));
        gauges.entry(name.to_owned()).or_insert_with(define).record(value);
    }
}

fn kv_usage(load: &Load) -> f64 {
    load.kv_usage
}

fn waiting(load: &Load) -> f64 {
    load.waiting.into()
}

fn running(load: &Load) -> f64 {
    load.running.into()
}

/// Both are 0 where there is nothing.
fn mean_and_deviation(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let number = values.clone().fold(0.0, |number, _| number + 1.0);
    if number < 1.0 {
        return (0.0, 0.0);
    }
    let mean = values.clone().sum::<f64>() / number;
    let variance = values.map(|value| (value - mean).powi(2)).sum::<f64>() / number;
    (mean, variance.sqrt())
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "none of these is below zero, and what is beyond u64 is shown as its highest value"
)]
fn thousandths(number: f64) -> u64 {
    (number * 1000.0).round() as u64
}
