//! The parameters of saturation detectors.

use picker_core::saturation::{
    Adaptive, Concurrency, ConcurrencyMode, Detector, DetectorKind, LatencyGoals, Staleness,
    Utilization,
};

use super::Plugins;
use crate::config::{At, ConfigError, at::Object, share::Share};

/// Fields of a `utilization-detector`.
pub(in crate::config) const UTILIZATION: [&str; 7] = [
    "queueDepthThreshold",
    "kvCacheUtilThreshold",
    "metricsStalenessThreshold",
    "headroom",
    "stalenessPolicy",
    "inFlightCredit",
    "kvToCome",
];

pub(super) fn read(
    kind: DetectorKind,
    entry: &Object<'_>,
    plugins: &Plugins<'_>,
) -> Result<Detector, ConfigError> {
    match kind {
        DetectorKind::Utilization => utilization(&entry.child("parameters", &UTILIZATION)?),
        DetectorKind::Concurrency => concurrency(entry, plugins.share),
        DetectorKind::Adaptive => {
            let parameters = entry.child("parameters", &["ttft", "itl"])?;
            let goal = |name| {
                parameters.read(name, None, |at| match at.duration()? {
                    goal if goal.is_zero() => Err(at.refuse("a duration above 0")),
                    goal => Ok(Some(goal)),
                })
            };
            let goals = LatencyGoals { ttft: goal("ttft")?, itl: goal("itl")? };
            Ok(Detector::Adaptive(Adaptive { goals }))
        }
        DetectorKind::Max => max(entry, plugins),
    }
}

/// Reads a detector with these parameters.
pub(in crate::config) fn utilization(parameters: &Object<'_>) -> Result<Detector, ConfigError> {
    let default = Utilization::default();
    let above_zero = |at: &At<'_>| {
        let share = at.number().filter(|share| *share > 0.0 && *share <= 1.0);
        share.ok_or_else(|| at.refuse("a number above 0, at most 1"))
    };
    let age = |at: &At<'_>| match at.duration()? {
        age if age.is_zero() => Err(at.refuse("a duration above 0")),
        age => Ok(age),
    };
    Ok(Detector::Utilization(Utilization {
        queue_depth: parameters
            .read("queueDepthThreshold", default.queue_depth, |at| at.whole(1, u32::MAX))?,
        kv_cache_util: parameters.read(
            "kvCacheUtilThreshold",
            default.kv_cache_util,
            above_zero,
        )?,
        metrics_staleness: parameters.read(
            "metricsStalenessThreshold",
            default.metrics_staleness,
            age,
        )?,
        headroom: headroom(parameters, default.headroom)?,
        staleness: parameters.read("stalenessPolicy", default.staleness, |at| {
            at.text()?.parse().map_err(|_| at.refuse_name(&Staleness::NAMES))
        })?,
        in_flight_credit: parameters.read("inFlightCredit", default.in_flight_credit, At::flag)?,
        kv_to_come: parameters.read("kvToCome", default.kv_to_come, At::flag)?,
    }))
}

/// Reads a detector that knows only this gateway's requests, and so gets its part of the limits of
/// an endpoint.
fn concurrency(entry: &Object<'_>, share: Share) -> Result<Detector, ConfigError> {
    let known = ["maxConcurrency", "maxTokenConcurrency", "concurrencyMode", "headroom"];
    let parameters = entry.child("parameters", &known)?;
    let default = Concurrency::default();
    let default_tokens = u32::try_from(default.max_tokens).unwrap_or(u32::MAX);
    Ok(Detector::Concurrency(Concurrency {
        max_requests: share.part_of(parameters.read(
            "maxConcurrency",
            default.max_requests,
            |at| at.whole(1, u32::MAX),
        )?),
        // Four billion tokens are more than any endpoint's cache.
        max_tokens: share
            .part_of(
                parameters
                    .read("maxTokenConcurrency", default_tokens, |at| at.whole(1, u32::MAX))?,
            )
            .into(),
        mode: parameters.read("concurrencyMode", default.mode, |at| {
            at.text()?.parse().map_err(|_| at.refuse_name(ConcurrencyMode::NAMES))
        })?,
        headroom: headroom(&parameters, default.headroom)?,
    }))
}

/// Reads a share; above tenfold it is a slip of units, such as per cent.
fn headroom(parameters: &Object<'_>, default: f64) -> Result<f64, ConfigError> {
    parameters.read("headroom", default, |at| at.within(0.0, 10.0))
}

/// Detectors of which one is the most saturated. Each mention of another such plugin is a copy of its own, so that a few
/// lines could name more than any memory holds.
const DETECTORS_MAX: usize = 256;

fn max(entry: &Object<'_>, plugins: &Plugins<'_>) -> Result<Detector, ConfigError> {
    let parameters = entry.child("parameters", &["detectors", "stages"])?;
    parameters.refuse_yet(&["stages"])?;
    let at = parameters.required("detectors")?;
    let mut children: Vec<Detector> = Vec::new();
    for at in at.list()? {
        let child = plugins.find(&at)?;
        // The most saturated of some is one of those.
        if let Detector::Max(inner) = child {
            children.extend(inner);
        } else {
            children.push(child);
        }
        if children.len() > DETECTORS_MAX {
            return Err(at.refuse("one of at most 256 detectors, those of others included"));
        }
    }
    if children.is_empty() {
        // The most saturated of none would never be saturated.
        return Err(at.refuse_length(0, "1 or more"));
    }
    Ok(Detector::Max(children))
}
