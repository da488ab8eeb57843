//! The families of the HTTP layer, which have no samples before the first request.

use super::{super::traffic::Traffic, exposition::Exposition};

pub(super) fn write(page: &mut Exposition, traffic: &Traffic) {
    let requests: Vec<_> = traffic
        .requests
        .iter()
        .map(|((handler, method, status), count)| {
            ([("handler", *handler), ("method", *method), ("status", *status)], *count as f64)
        })
        .collect();
    let requests: Vec<_> =
        requests.iter().map(|(labels, count)| (labels.as_slice(), *count)).collect();
    page.counter("http_requests", &requests);
    summary(page, "http_request_size_bytes", traffic, |bytes| bytes as f64);
    // As on a real page: streams have no content-length.
    summary(page, "http_response_size_bytes", traffic, |_| 0.0);
    page.histogram("http_request_duration_highr_seconds", &[(&[], &traffic.fine)]);
    let coarse: Vec<_> = traffic
        .coarse
        .iter()
        .map(|((handler, method), histogram)| {
            ([("handler", *handler), ("method", *method)], histogram)
        })
        .collect();
    let coarse: Vec<_> =
        coarse.iter().map(|(labels, histogram)| (labels.as_slice(), *histogram)).collect();
    page.histogram("http_request_duration_seconds", &coarse);
}

fn summary(page: &mut Exposition, name: &str, traffic: &Traffic, sum: impl Fn(u64) -> f64) {
    page.family(name, "summary");
    for (handler, (count, bytes)) in &traffic.sizes {
        page.sample(&format!("{name}_count"), &[("handler", handler)], *count as f64);
        page.sample(&format!("{name}_sum"), &[("handler", handler)], sum(*bytes));
    }
    let labels: Vec<_> = traffic.sizes.keys().map(|handler| [("handler", *handler)]).collect();
    let labels: Vec<_> = labels.iter().map(<[_; 1]>::as_slice).collect();
    page.began(name, name, &labels);
}
