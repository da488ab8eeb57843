//! The metric families, under the EPP's names where it has them.

use super::bounds;

/// A metric family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family {
    /// Name, without the suffixes `_total`, `_bucket`, `_sum` and `_count`.
    pub name: &'static str,
    /// Help text.
    pub help: &'static str,
    /// Type, with a histogram's bounds.
    pub kind: FamilyKind,
    /// Unit of the values as they are counted.
    pub unit: Unit,
}

/// Type of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FamilyKind {
    /// A number that grows.
    Counter,
    /// A distribution over these bounds, each the highest value of its bucket.
    Histogram(&'static [u64]),
}

/// Unit of counted values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Whole numbers, shown as they are.
    One,
    /// Millionths of what is shown.
    Millionth,
    /// Billionths of what is shown.
    Billionth,
}

pub(super) const REQUESTS: Family = counter("llm_d_epp_request", "Requests that are over");
pub(super) const ERRORS: Family = counter("llm_d_epp_request_error", "Requests that failed");
pub(super) const DURATION: Family =
    millionths("llm_d_epp_request_duration_seconds", "Time from arrival to end", bounds::DURATION);
pub(super) const TTFT: Family = millionths(
    "llm_d_epp_request_ttft_seconds",
    "Time from arrival to the answer's body",
    bounds::TTFT,
);
pub(super) const PER_OUTPUT_TOKEN: Family = millionths(
    "llm_d_epp_request_ntpot_seconds",
    "Time from arrival to end by output tokens",
    bounds::PER_OUTPUT_TOKEN,
);
pub(super) const STREAMED_TPOT: Family = millionths(
    "llm_d_epp_request_streaming_tpot_seconds",
    "Mean time between the tokens of a stream",
    bounds::STREAMED_TPOT,
);
pub(super) const STREAMED_ITL: Family = millionths(
    "llm_d_epp_request_streaming_itl_seconds",
    "Time between two events of a stream",
    bounds::STREAMED_ITL,
);
pub(super) const REQUEST_BYTES: Family =
    whole("llm_d_epp_request_size_bytes", "Bytes of requests", bounds::REQUEST_BYTES);
pub(super) const RESPONSE_BYTES: Family =
    whole("llm_d_epp_response_size_bytes", "Bytes of answers", bounds::RESPONSE_BYTES);
pub(super) const INPUT_TOKENS: Family =
    whole("llm_d_epp_request_input_tokens", "Prompt tokens", bounds::INPUT_TOKENS);
pub(super) const CACHED_TOKENS: Family = whole(
    "llm_d_epp_request_cached_tokens",
    "Prompt tokens that the engine had cached",
    bounds::INPUT_TOKENS,
);
pub(super) const OUTPUT_TOKENS: Family =
    whole("llm_d_epp_request_output_tokens", "Output tokens", bounds::OUTPUT_TOKENS);
pub(super) const QUEUE_DURATION: Family = millionths(
    "llm_d_epp_flow_control_request_queue_duration_seconds",
    "Time in flow control",
    bounds::QUEUE_DURATION,
);
pub(super) const QUEUE_OUTCOMES: Family =
    counter("llm_d_epp_flow_control_requests", "Requests that left flow control");
pub(super) const ATTEMPTS: Family =
    counter("llm_d_epp_scheduler_attempts", "Decisions, by the endpoint that was ranked first");
pub(super) const REWRITES: Family =
    counter("llm_d_epp_model_rewrite_decisions", "Requests that a rule sent to another model");
pub(super) const HIT_RATIO: Family = millionths(
    "llm_d_epp_prefix_indexer_hit_ratio",
    "Share of a prompt that was expected to be cached",
    bounds::HIT_RATIO,
);
pub(super) const HIT_BYTES: Family = whole(
    "llm_d_epp_prefix_indexer_hit_bytes",
    "Bytes of a prompt that were expected to be cached",
    bounds::HIT_BYTES,
);
pub(super) const GRANT_TO_RESUME: Family = millionths(
    "llm_picker_grant_to_resume_seconds",
    "Time from a grant to the request's going on",
    bounds::GRANT_TO_RESUME,
);
pub(super) const PICKED: Family =
    counter("llm_picker_picked", "Requests that were given an endpoint");
pub(super) const FAILED_OPEN: Family =
    counter("llm_picker_failed_open", "Requests that were let through without an endpoint");
pub(super) const UNMETERED: Family = counter(
    "llm_picker_unmetered",
    "Answers that did not say what they cost, so that it was estimated",
);
pub(super) const EVICTED: Family = counter(
    "llm_picker_evicted",
    "Requests that were ended while they ran, for more important ones",
);
pub(super) const REFUSED: Family =
    counter("llm_picker_refused", "Requests that were answered with an error");
pub(super) const OBSERVED: Family = counter(
    "llm_picker_observed",
    "Requests that others sent while the picker looked on, by whether it would have chosen the same endpoint",
);
pub(super) const EXPECTED_TTFT: Family = millionths(
    "llm_picker_observed_expected_ttft_seconds",
    "Expected time to the first token, of requests that others sent to the endpoint of the picker's choice",
    bounds::TTFT,
);
pub(super) const OBSERVED_TTFT: Family = millionths(
    "llm_picker_observed_ttft_seconds",
    "Time to the first token of the same requests",
    bounds::TTFT,
);
pub(super) const OVERRULED: Family = counter(
    "llm_picker_observed_overruled",
    "Requests that flow control would have held or turned away while the picker looked on",
);
pub(super) const ENDPOINT_REQUESTS: Family =
    counter("llm_picker_endpoint_requests", "Requests that an endpoint served");
pub(super) const ENDPOINT_ERRORS: Family =
    counter("llm_picker_endpoint_errors", "Requests that failed at an endpoint");
pub(super) const ENDPOINT_TTFT: Family = millionths(
    "llm_picker_endpoint_ttft_seconds",
    "Time from arrival to the answer's body, by the endpoint that it came from",
    bounds::TTFT,
);
pub(super) const ENDPOINT_ITL: Family = millionths(
    "llm_picker_endpoint_streaming_itl_seconds",
    "Time between two events of a stream, by the endpoint that it came from",
    bounds::STREAMED_ITL,
);
pub(super) const ENDPOINT_TOKENS: Family =
    counter("llm_picker_endpoint_output_tokens", "Output tokens that an endpoint generated");
pub(super) const SCHEDULER_DURATION: Family = millionths(
    "llm_d_epp_scheduler_e2e_duration_seconds",
    "Time that the choice for a request took",
    bounds::SCHEDULER_DURATION,
);
pub(super) const ENQUEUE_DURATION: Family = millionths(
    "llm_d_epp_flow_control_request_enqueue_duration_seconds",
    "Time that flow control took to let a request go or to queue it",
    bounds::SCHEDULER_DURATION,
);

pub(super) const FALLBACKS: Family =
    counter("llm_picker_fallbacks", "Requests that another pool took");
pub(super) const REQUEST_PROCESSING: Family = millionths(
    "llm_d_epp_request_processing_duration_seconds",
    "Time that the picker worked on a request, of one request in 16",
    bounds::REQUEST_PROCESSING,
);
pub(super) const RESPONSE_PROCESSING: Family = millionths(
    "llm_d_epp_response_processing_duration_seconds",
    "Time that the picker worked on an answer, of one answer in 16",
    bounds::RESPONSE_PROCESSING,
);
pub(super) const DISAGG_DECISIONS: Family = counter(
    "llm_d_epp_disagg_decision",
    "Requests of pools with prefill apart from decode, by the stages that they ran apart",
);
pub(super) const DISPATCH_CYCLE: Family = millionths(
    "llm_d_epp_flow_control_dispatch_cycle_duration_seconds",
    "Time that a look at the queues took, with the grants that came of it",
    bounds::GRANT_TO_RESUME,
);
pub(super) const PLUGIN_DURATION: Family = Family {
    name: "llm_d_epp_plugin_duration_seconds",
    help: "Time that a plugin took in one choice, of one request a second in each worker",
    kind: FamilyKind::Histogram(bounds::PLUGIN_DURATION),
    unit: Unit::Billionth,
};
pub(super) const OWN_ERRORS: Family = counter(
    "llm_picker_own_errors",
    "Faults of the picker's own, of which requests need not have noticed anything",
);

const fn counter(name: &'static str, help: &'static str) -> Family {
    Family { name, help, kind: FamilyKind::Counter, unit: Unit::One }
}

const fn whole(name: &'static str, help: &'static str, bounds: &'static [u64]) -> Family {
    Family { name, help, kind: FamilyKind::Histogram(bounds), unit: Unit::One }
}

/// Returns a family of seconds, or of shares.
const fn millionths(name: &'static str, help: &'static str, bounds: &'static [u64]) -> Family {
    Family { name, help, kind: FamilyKind::Histogram(bounds), unit: Unit::Millionth }
}
