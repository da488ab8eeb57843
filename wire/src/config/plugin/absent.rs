//! Types of the EPP that do not exist here, and names that older EPPs had for types that do.

/// Types that do not exist here, each with the reason.
const ABSENT: &[(&str, &str)] = &[
    ("precise-prefix-cache-scorer", KV_EVENTS),
    ("precise-prefix-cache-producer", KV_EVENTS),
    ("program-aware-fairness", "use token-fair-fairness-policy"),
    ("mm-embeddings-cache-scorer", "what encoders have cached is not followed"),
    ("mm-embeddings-cache-producer", "what encoders have cached is not followed"),
    ("session-id-producer", "session-affinity-scorer reads the header itself"),
    ("agent-identity", "identity.fairnessHeaders may name the header of a session"),
    ("vllmgrpc-parser", PROTOBUF),
    ("vertexai-parser", PROTOBUF),
    (
        "burst-prefix-cache-producer",
        "every placement counts before the next decision, so a burst needs no window; use \
         approx-prefix-cache-producer",
    ),
    ("p2p-source-producer", "no pod is named to pull another pod's KV cache from"),
    ("request-attribute-reporter", "no attributes are reported; tokens are in the metrics"),
    ("dcgm-data-source", DCGM),
    ("dcgm-extractor", DCGM),
    ("disaggregatedset-rollout-screener", ROLLOUT),
    ("disaggregatedset-rollout-pod-extractor", ROLLOUT),
    ("local-syncer", "gateways tell each other what they do through the scraper"),
    ("latency-observer-producer", "estimated-ttft-scorer learns by itself how long tokens take"),
    ("latency-observation-scorer", "use estimated-ttft-scorer, which learns how long tokens take"),
    ("predicted-latency-scorer", "use latency-scorer"),
    ("header-based-testing-filter", TESTS),
    ("destination-endpoint-served-verifier", TESTS),
];
/// First part of the types for several clusters.
const MULTICLUSTER: &str = "multicluster-";

const PROTOBUF: &str = "bodies of protobuf are not read, and go by load";
const KV_EVENTS: &str = "engines' KV events come over ZMQ, which a filter in Envoy cannot read; use \
                         prefix-cache-scorer with approx-prefix-cache-producer";
const DCGM: &str = "pods alone are scraped; the scraper's engineConfigs[].customMetrics take any \
                    metric of theirs";
const ROLLOUT: &str =
    "revisions of a rollout are not told apart; label-selector-filter keeps to one";
const TESTS: &str = "it is for the EPP's own tests of conformance";

/// Names that older EPPs had for types that exist here.
const FORMER: [(&str, &str); 3] = [
    // llm-d 0.2 to 0.3.
    ("kv-cache-scorer", "kv-cache-utilization-scorer"),
    // GIE 1.3 and 1.4.
    ("model-server-protocol-metrics", "core-metrics-extractor"),
    // llm-d 0.8 and 0.9.
    ("tokenizer", "token-producer"),
];

/// Returns why there is no type of this name here; `None` for a name that no EPP has.
pub(super) fn reason(name: &str) -> Option<&'static str> {
    if name.starts_with(MULTICLUSTER) {
        return Some("the pods of other clusters are not followed");
    }
    ABSENT.iter().find(|(absent, _)| *absent == name).map(|(_, why)| *why)
}

/// Returns the name of today for a type's name.
pub(super) fn current(name: &str) -> &str {
    FORMER.iter().find(|(former, _)| *former == name).map_or(name, |(_, current)| *current)
}
