//! Metrics of a pool, under the EPP's names: its endpoints' own, and the requests in flight.
//!
//! Envoy's gauges are whole numbers, so shares and means are shown in thousandths, and the names say
//! so.

use std::{collections::BTreeSet, net::SocketAddr};

use picker_core::saturation::Load;

use super::label::label;
use crate::{
    host::Metric,
    pool::Pool,
    vm::{self, metrics::Lookup},
};

/// The loads of a pool's endpoints, to be shown.
pub(super) struct Survey {
    /// Address and load of each endpoint.
    pub(super) endpoints: Vec<(SocketAddr, Load)>,
    /// Number of entries of the prefix index.
    pub(super) indexed: usize,
}

/// Shows the load of each endpoint, and the size of the prefix index.
pub(super) fn show(pool: &Pool, survey: &Survey) {
    let Survey { endpoints, indexed } = survey;
    let known = endpoints.iter().filter(|(_, load)| load.metrics_age.is_some());
    let known: Vec<&Load> = known.map(|(_, load)| load).collect();
    for (name, value) in [
        ("kv_cache_utilization", kv_usage as fn(&Load) -> f64),
        ("queue_size", waiting),
        ("running_requests", running),
    ] {
        let (mean, deviation) = mean_and_deviation(known.iter().map(|load| value(load)));
        set(pool, &format!("average_{name}_thousandths"), thousandths(mean));
        set(pool, &format!("std_dev_{name}_thousandths"), thousandths(deviation));
    }
    set(pool, "ready_endpoints", count(endpoints.len()));
    let in_flight = endpoints.iter().map(|(_, load)| u64::from(load.in_flight)).sum();
    set(pool, "request_running", in_flight);
    set(pool, "prefix_indexer_size", count(*indexed));
    show_queues(pool, endpoints);
}

fn show_queues(pool: &Pool, endpoints: &[(SocketAddr, Load)]) {
    let present: BTreeSet<SocketAddr> = endpoints.iter().map(|(address, _)| *address).collect();
    let gone: Vec<Metric> = vm::in_pool(pool.id, |pool| {
        let queues = pool.endpoints.queues.iter();
        queues.filter(|(address, _)| !present.contains(*address)).map(|(_, gone)| *gone).collect()
    });
    gone.into_iter().for_each(|gauge| gauge.record(0));
    for (address, load) in endpoints {
        if let Some(gauge) = queue_gauge(pool, *address) {
            gauge.record(load.waiting.into());
        }
    }
}

/// Finds an endpoint's gauge, or defines it if there may be one more.
fn queue_gauge(pool: &Pool, address: SocketAddr) -> Option<Metric> {
    match vm::in_pool(pool.id, |pool| pool.endpoints.find_queue(address)) {
        Lookup::Metric(gauge) => Some(gauge),
        Lookup::NoRoom => None,
        Lookup::Nothing => {
            let server = label("model_server_endpoint", &address.to_string());
            let name = format!("llm_d_epp_per_endpoint_queue_size{}{server}", name_of(pool));
            let gauge = Metric::gauge(&name);
            vm::in_pool(pool.id, |pool| pool.endpoints.queues.insert(address, gauge));
            Some(gauge)
        }
    }
}

fn set(pool: &Pool, name: &str, value: u64) {
    let found = vm::in_pool(pool.id, |pool| pool.endpoints.gauges.get(name).copied());
    let gauge = found.unwrap_or_else(|| {
        let gauge = Metric::gauge(&format!("llm_d_epp_{name}{}", name_of(pool)));
        vm::in_pool(pool.id, |pool| pool.endpoints.gauges.insert(name.to_owned(), gauge));
        gauge
    });
    gauge.record(value);
}

fn name_of(pool: &Pool) -> String {
    label("name", &pool.config.name)
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

/// Computes mean and standard deviation; 0 and 0 of no values.
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
