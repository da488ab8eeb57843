//! The ages up to which readings and reports say something of now.

use std::time::{Duration, Instant};

use wire::report::Report;

use crate::push::{EnvoyStatus, TimedReport};

/// Age from which on a reading no longer says what the pod is like (EPP: metrics staleness
/// threshold).
pub(super) const READING_AGE_MAX: Duration = Duration::from_secs(2);

/// Age above which a report says nothing of now: five missed.
const REPORT_AGE_MAX: Duration = Duration::from_millis(2500);

/// Returns the gateways' reports on a pool that are fresh at `now`.
pub(super) fn fresh_reports<'a>(
    envoys: &'a [EnvoyStatus],
    pool: &str,
    now: Instant,
) -> Vec<&'a Report> {
    fresh_timed(envoys, pool, now).map(|timed| &timed.report).collect()
}

/// Returns the same with their times.
pub(super) fn fresh_timed<'a>(
    envoys: &'a [EnvoyStatus],
    pool: &str,
    now: Instant,
) -> impl Iterator<Item = &'a TimedReport> {
    let reports = envoys.iter().filter_map(|envoy| envoy.reports.get(pool));
    reports.filter(move |timed| now.saturating_duration_since(timed.at) <= REPORT_AGE_MAX)
}
