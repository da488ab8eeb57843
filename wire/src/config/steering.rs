//! Headers that steer a request past its body: written by a gateway or a filter in front, and never a client's to say.

/// Headers about pods, models and sizes, removed from every request.
pub(super) const WORDS: [&str; 15] = [
    // The endpoints that the gateway allows (EPP: subset hint).
    "x-gateway-destination-endpoint-subset",
    // The model that a request is sent to, whatever its body says.
    "x-llm-d-model-name-rewrite",
    "x-gateway-model-name-rewrite",
    // Pods that a sidecar or an engine connects to, and the rank of a pod that answers.
    "x-prefiller-host-port",
    "x-encoder-hosts-ports",
    "x-kv-cache-source-host-port",
    "x-data-parallel-host-port",
    "x-data-parallel-rank",
    "x-llm-d-disagg-revision",
    // The place in an engine's queue.
    "x-vllm-priority",
    // Sizes that a prompt is reckoned with, in place of those in its body.
    "x-llm-d-video-fps",
    "x-llm-d-video-duration-seconds",
    "x-llm-d-video-resolution",
    "x-llm-d-audio-duration-seconds",
    // The endpoint that a router says it used, which belongs to the way back.
    "x-gateway-destination-endpoint-served",
];

/// Headers with the path that a request had before a proxy rewrote it. Removed from requests for a pool alone: on
/// routes of others they are the others' business.
pub(super) const PATHS: [&str; 2] = ["x-original-path", "x-forwarded-path"];
