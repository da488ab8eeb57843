//! The load report that a response carries on request.

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use crate::engine_core::Gauges;

const FORMAT: HeaderName = HeaderName::from_static("endpoint-load-metrics-format");
const REPORT: HeaderName = HeaderName::from_static("endpoint-load-metrics");

/// Returns the ORCA header for a request with these headers: `JSON` or `TEXT`, as vLLM writes them.
pub(super) fn report(request: &HeaderMap, gauges: &Gauges) -> Option<(HeaderName, HeaderValue)> {
    let format = request.get(FORMAT)?.to_str().ok()?;
    let waiting = gauges.waiting;
    let usage = gauges.kv_usage();
    let report = match format {
        "JSON" | "json" => format!(
            r#"JSON {{"named_metrics": {{"num_requests_waiting": {waiting}.0, "kv_cache_usage_perc": {usage:?}}}}}"#
        ),
        "TEXT" | "text" => format!(
            "TEXT named_metrics.num_requests_waiting={waiting}.0, \
             named_metrics.kv_cache_usage_perc={usage:?}"
        ),
        _ => return None,
    };
    HeaderValue::from_str(&report).ok().map(|report| (REPORT, report))
}
