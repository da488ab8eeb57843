//! The parameters of scorers.

use engine::{
    Scorer,
    score::{ActiveRequest, LoadAware, PrefixCache, TokenLoad},
};

use crate::config::{At, ConfigError, at::Object};

/// The scorer with the `parameters` of its entry, those left out as they are in `default`.
pub(super) fn read(default: Scorer, entry: &Object<'_>) -> Result<Scorer, ConfigError> {
    let parameters = |known| entry.child("parameters", known);
    Ok(match default {
        Scorer::Queue
        | Scorer::KvCacheUtilization
        | Scorer::RunningRequests
        | Scorer::LoraAffinity => parameters(&[]).map(|_| default)?,
        Scorer::PrefixCache(default) => Scorer::PrefixCache(prefix_cache(
            default,
            &parameters(&[
                "prefixMatchInfoProducerName",
                "matchLengthWeight",
                "matchLengthScaleTokens",
            ])?,
        )?),
        Scorer::LoadAware(default) => {
            let threshold =
                parameters(&["threshold"])?
                    .read("threshold", default.threshold, |at| at.whole(1, u32::MAX))?;
            Scorer::LoadAware(LoadAware { threshold })
        }
        Scorer::ActiveRequest(default) => {
            let parameters = parameters(&["idleThreshold", "maxBusyScore"])?;
            let idle = |at: &At<'_>| at.whole(0, u32::MAX);
            let share = |at: &At<'_>| at.within(0.0, 1.0);
            Scorer::ActiveRequest(ActiveRequest {
                idle_threshold: parameters.read("idleThreshold", default.idle_threshold, idle)?,
                max_busy_score: parameters.read("maxBusyScore", default.max_busy_score, share)?,
            })
        }
        Scorer::TokenLoad(default) => {
            let parameters = parameters(&["queueThresholdTokens", "inFlightLoadProducerName"])?;
            parameters.read("inFlightLoadProducerName", "", At::text)?;
            let tokens = |at: &At<'_>| at.whole(1, u32::MAX);
            let threshold = parameters.read("queueThresholdTokens", default.threshold, tokens)?;
            Scorer::TokenLoad(TokenLoad { threshold })
        }
    })
}

fn prefix_cache(default: PrefixCache, parameters: &Object<'_>) -> Result<PrefixCache, ConfigError> {
    // There is one prefix index; which producer it is called after makes no difference.
    parameters.read("prefixMatchInfoProducerName", "", At::text)?;
    let share = |at: &At<'_>| at.within(0.0, 1.0);
    let tokens = |at: &At<'_>| at.whole(1, u32::MAX);
    let scale = default.length_scale;
    Ok(PrefixCache {
        length_weight: parameters.read("matchLengthWeight", default.length_weight, share)?,
        length_scale: parameters.read("matchLengthScaleTokens", scale, tokens)?,
    })
}
