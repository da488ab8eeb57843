//! The parameters of admitters.

use picker_core::{Admitter, admission::Probabilistic};

use crate::config::{At, ConfigError, at::Object};

pub(super) fn read(kind: Admitter, entry: &Object<'_>) -> Result<Admitter, ConfigError> {
    let Admitter::Probabilistic(default) = kind else {
        return entry.child("parameters", &["latencyPredictionInfoProducerName"]).map(|_| kind);
    };
    let known = ["queueDepthThreshold", "kvCacheUtilThreshold", "power", "k"];
    let parameters = entry.child("parameters", &known)?;
    let above_zero = |at: &At<'_>| {
        let number = at.number().filter(|number| *number > 0.0 && *number <= 1e9);
        number.ok_or_else(|| at.refuse("a number above 0, at most 1e9"))
    };
    let depth = |at: &At<'_>| at.whole(1, u32::MAX).map(f64::from);
    Ok(Admitter::Probabilistic(Probabilistic {
        queue_depth: parameters.read("queueDepthThreshold", default.queue_depth, depth)?,
        kv_cache_util: parameters.read(
            "kvCacheUtilThreshold",
            default.kv_cache_util,
            above_zero,
        )?,
        power: parameters.read("power", default.power, above_zero)?,
        k: parameters.read("k", default.k, above_zero)?,
    }))
}
