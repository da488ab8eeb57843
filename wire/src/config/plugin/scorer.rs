//! The parameters of scorers.

use std::time::Duration;

use picker_core::{
    Scorer,
    score::{
        ActiveRequest, Attribute, ContextLength, EstimatedTtft, HeaderLabel, Headroom, Latency,
        LoadAware, PrefixCache, SessionAffinity, SessionStrategy, TokenLoad,
    },
};

use super::prefix::{OF_A_SCORER, VOID_OF_A_SCORER};
use crate::config::{
    At, ConfigError,
    at::{Keys, Object},
    identity,
};

/// Reads the scorer with the `parameters` of its entry, those left out as they are in `default`.
pub(super) fn read(default: Scorer, entry: &Object<'_>) -> Result<Scorer, ConfigError> {
    let parameters = |known| entry.child("parameters", known);
    Ok(match default {
        Scorer::Queue
        | Scorer::KvCacheUtilization
        | Scorer::RunningRequests
        | Scorer::LoraAffinity => {
            let keys = Keys { known: &[], older: &[], void: &OF_ANOTHER_SCORER };
            entry.child_with("parameters", &keys).map(|_| default)?
        }
        Scorer::NoHitLru => {
            let known = ["lruSize", "prefixMatchInfoProducerName"];
            // Every endpoint is remembered, and a pool has a limit of its own.
            parameters(&known)?.read("lruSize", 0, |at| at.whole(1, u32::MAX))?;
            Scorer::NoHitLru
        }
        Scorer::Attribute(_) => Scorer::Attribute(attribute(entry)?),
        Scorer::Topology(_) => parameters(&["topologyProducerName"]).map(|_| default)?,
        Scorer::SessionAffinity(default) => {
            Scorer::SessionAffinity(session_affinity(default, entry)?)
        }
        Scorer::ContextLength(default) => {
            let parameters = parameters(&["label", "enableFiltering"])?;
            let label = |at: &At<'_>| at.text().map(str::to_owned);
            Scorer::ContextLength(ContextLength {
                label: parameters.read("label", default.label, label)?,
                filters: parameters.read("enableFiltering", default.filters, At::flag)?,
            })
        }
        Scorer::HeaderLabel(_) => {
            let parameters = parameters(&["headerName", "labelKey"])?;
            Scorer::HeaderLabel(HeaderLabel {
                header: identity::header(&parameters.required("headerName")?)?,
                label: parameters.required("labelKey")?.text()?.to_owned(),
            })
        }
        Scorer::Latency(default) => Scorer::Latency(latency(default, entry)?),
        Scorer::EstimatedTtft(default) => Scorer::EstimatedTtft(estimated_ttft(default, entry)?),
        Scorer::PrefixCache(default) => Scorer::PrefixCache(prefix_cache(default, entry)?),
        Scorer::LoadAware(default) => {
            let threshold =
                parameters(&["threshold"])?
                    .read("threshold", default.threshold, |at| at.whole(1, u32::MAX))?;
            Scorer::LoadAware(LoadAware { threshold })
        }
        Scorer::ActiveRequest(default) => {
            let known = ["idleThreshold", "maxBusyScore"];
            let ends = [("requestTimeout", "a request counts until its answer ends here")];
            let keys = Keys { known: &known, older: &[], void: &ends };
            let parameters = entry.child_with("parameters", &keys)?;
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

/// Parameters of the prefix scorer that a sample of KServe 0.16 has on the queue scorer.
const OF_ANOTHER_SCORER: [(&str, &str); 3] = [
    ("hashBlockSize", OF_PREFIXES),
    ("maxPrefixBlocksToMatch", OF_PREFIXES),
    ("lruCapacityPerServer", OF_PREFIXES),
];
const OF_PREFIXES: &str =
    "it is a parameter of prefix-cache-scorer, and the EPP ignores it here too";

fn attribute(entry: &Object<'_>) -> Result<Attribute, ConfigError> {
    let parameters = entry.child("parameters", &["attributeKey", "producer", "algorithm"])?;
    let algorithm = parameters.required("algorithm")?.object(&["type", "normalization"])?;
    let kinds = [("linear_lower_is_better", true), ("linear_higher_is_better", false)];
    let normalization = algorithm.child("normalization", &["fixedRange", "adaptiveRange"])?;
    let range = normalization.get("fixedRange").map(|at| fixed_range(&at)).transpose()?;
    if range.is_some() && normalization.get("adaptiveRange").is_some() {
        return Err(normalization.problem("must have one of fixedRange and adaptiveRange only"));
    }
    Ok(Attribute {
        key: parameters.required("attributeKey")?.text()?.to_owned(),
        lower_is_better: algorithm.required("type")?.one_of(&kinds)?,
        range,
    })
}

fn fixed_range(at: &At<'_>) -> Result<(f64, f64), ConfigError> {
    let range = at.object(&["min", "max"])?;
    let bound = |key| range.required(key)?.within(-1e18, 1e18);
    let min = bound("min")?;
    let max = bound("max")?;
    if min < max { Ok((min, max)) } else { Err(at.problem("must have a min below the max")) }
}

fn prefix_cache(default: PrefixCache, entry: &Object<'_>) -> Result<PrefixCache, ConfigError> {
    let known = ["prefixMatchInfoProducerName", "matchLengthWeight", "matchLengthScaleTokens"];
    // What scorers of older EPPs say of the index is read with the producer.
    let keys = Keys { known: &known, older: &OF_A_SCORER, void: &VOID_OF_A_SCORER };
    let parameters = entry.child_with("parameters", &keys)?;
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

/// Seconds for which an unused session is kept (EPP: evictionTtlSeconds).
const SESSION_TTL: f64 = 300.0;

/// Headers by which clients name their sessions: the EPP's own, then those of Claude Code, of Codex, and of
/// what calls itself a session for routers.
const SESSION_HEADERS: [&str; 5] =
    ["x-session-id", "x-claude-code-session-id", "session_id", "session-id", "x-session-affinity"];

/// Reads the strategies of the scorer and of the filter.
pub(super) fn session_affinity(
    default: SessionAffinity,
    entry: &Object<'_>,
) -> Result<SessionAffinity, ConfigError> {
    let known = ["strategy", "encodedEndpointHeaderConfig", "sessionIdConfig", "profileName"];
    let parameters = entry.child("parameters", &known)?;
    let strategies = [("encoded_endpoint_header", false), ("session_id", true)];
    let is_id = parameters.read("strategy", false, |at| at.one_of(&strategies))?;
    // Only the one that is chosen counts, and both have to be understood.
    let token = parameters.child("encodedEndpointHeaderConfig", &["header"])?;
    let header = token.get("header").map(|at| identity::header(&at)).transpose()?;
    let id = session_id(&parameters)?;
    let profile = parameters.read("profileName", "", At::text)?.to_owned();
    let strategy = if is_id { id } else { header.map_or(default.strategy, SessionStrategy::Token) };
    Ok(SessionAffinity { strategy, profile })
}

fn session_id(parameters: &Object<'_>) -> Result<SessionStrategy, ConfigError> {
    let known = ["sources", "evictionTtlSeconds", "evictionSweepSeconds"];
    let config = parameters.child("sessionIdConfig", &known)?;
    let seconds = |at: &At<'_>| at.within(1e-3, 1e9);
    // Sessions that are out of date are not swept: the next look-up sees it.
    config.read("evictionSweepSeconds", 0.0, seconds)?;
    config.note_all(&[("evictionSweepSeconds", "a look-up drops sessions that are out of date")]);
    let ttl = Duration::from_secs_f64(config.read("evictionTtlSeconds", SESSION_TTL, seconds)?);
    let mut headers = Vec::new();
    for source in config.read("sources", Vec::new(), At::list)? {
        // Attributes are other plugins' of the EPP.
        headers.push(identity::header(&source.object(&["header"])?.required("header")?)?);
    }
    // Words that are named are all that count: others may mean something else there.
    let in_body = headers.is_empty();
    if in_body {
        headers.extend(SESSION_HEADERS.map(str::to_owned));
    }
    Ok(SessionStrategy::Id { headers, in_body, ttl })
}

fn latency(default: Latency, entry: &Object<'_>) -> Result<Latency, ConfigError> {
    let parameters = entry.child(
        "parameters",
        &[
            "ttftWeight",
            "tpotWeight",
            "headroomSelectionStrategy",
            "compositeKVWeight",
            "compositeQueueWeight",
            "compositePrefixWeight",
            "latencyPredictionInfoProducerName",
            "prefixMatchInfoProducerName",
        ],
    )?;
    let weight = |key, default| parameters.read(key, default, |at: &At<'_>| at.within(0.0, 1e9));
    let strategies = [("least", Headroom::Least), ("most", Headroom::Most)];
    Ok(Latency {
        prefers: parameters
            .read("headroomSelectionStrategy", default.prefers, |at| at.one_of(&strategies))?,
        ttft_weight: weight("ttftWeight", default.ttft_weight)?,
        tpot_weight: weight("tpotWeight", default.tpot_weight)?,
        kv_weight: weight("compositeKVWeight", default.kv_weight)?,
        queue_weight: weight("compositeQueueWeight", default.queue_weight)?,
        prefix_weight: weight("compositePrefixWeight", default.prefix_weight)?,
    })
}

fn estimated_ttft(
    default: EstimatedTtft,
    entry: &Object<'_>,
) -> Result<EstimatedTtft, ConfigError> {
    let known = ["ownWeight", "kvBarrierMs", "affinityThreshold", "maxTTFTPenaltyMs"];
    let parameters = entry.child("parameters", &known)?;
    Ok(EstimatedTtft {
        own_weight: parameters.read("ownWeight", default.own_weight, |at| at.within(0.0, 1e3))?,
        kv_barrier: parameters.read("kvBarrierMs", default.kv_barrier, millis)?,
        affinity: parameters
            .read("affinityThreshold", default.affinity, |at| at.within(0.0, 1.0))?,
        penalty_max: parameters
            .read("maxTTFTPenaltyMs", default.penalty_max, |at| millis(at).map(Some))?,
    })
}

/// Reads seconds that are written in milliseconds.
pub(super) fn millis(at: &At<'_>) -> Result<f64, ConfigError> {
    at.within(0.0, 1e9).map(|millis| millis / 1e3)
}
