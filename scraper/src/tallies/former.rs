//! The names that the EPP's families had before, which it still writes beside the present ones: for dashboards
//! and rules of users that still ask for them.

/// Present and former name of each family that has one, without the suffixes of counters and histograms.
const FORMER: [(&str, &str); 35] = [
    ("llm_d_epp_request", "inference_objective_request"),
    ("llm_d_epp_request_error", "inference_objective_request_error"),
    ("llm_d_epp_request_duration_seconds", "inference_objective_request_duration_seconds"),
    ("llm_d_epp_request_ttft_seconds", "inference_objective_request_ttft_seconds"),
    (
        "llm_d_epp_request_streaming_tpot_seconds",
        "inference_objective_request_streaming_tpot_seconds",
    ),
    (
        "llm_d_epp_request_streaming_itl_seconds",
        "inference_objective_request_streaming_itl_seconds",
    ),
    (
        "llm_d_epp_request_ntpot_seconds",
        "inference_objective_normalized_time_per_output_token_seconds",
    ),
    ("llm_d_epp_request_size_bytes", "inference_objective_request_sizes"),
    ("llm_d_epp_response_size_bytes", "inference_objective_response_sizes"),
    ("llm_d_epp_request_input_tokens", "inference_objective_input_tokens"),
    ("llm_d_epp_request_output_tokens", "inference_objective_output_tokens"),
    ("llm_d_epp_request_cached_tokens", "inference_objective_prompt_cached_tokens"),
    ("llm_d_epp_request_running", "inference_objective_running_requests"),
    ("llm_d_epp_average_kv_cache_utilization", "inference_pool_average_kv_cache_utilization"),
    ("llm_d_epp_average_queue_size", "inference_pool_average_queue_size"),
    ("llm_d_epp_average_running_requests", "inference_pool_average_running_requests"),
    ("llm_d_epp_ready_endpoints", "inference_pool_ready_pods"),
    ("llm_d_epp_per_endpoint_queue_size", "inference_pool_per_pod_queue_size"),
    (
        "llm_d_epp_scheduler_e2e_duration_seconds",
        "inference_extension_scheduler_e2e_duration_seconds",
    ),
    ("llm_d_epp_scheduler_attempts", "inference_extension_scheduler_attempts"),
    ("llm_d_epp_plugin_duration_seconds", "inference_extension_plugin_duration_seconds"),
    ("llm_d_epp_disagg_decision", "llm_d_inference_scheduler_disagg_decision"),
    ("llm_d_epp_info", "inference_extension_info"),
    ("llm_d_epp_model_rewrite_decisions", "inference_extension_model_rewrite_decisions"),
    ("llm_d_epp_prefix_indexer_size", "inference_extension_prefix_indexer_size"),
    ("llm_d_epp_prefix_indexer_hit_ratio", "inference_extension_prefix_indexer_hit_ratio"),
    ("llm_d_epp_prefix_indexer_hit_bytes", "inference_extension_prefix_indexer_hit_bytes"),
    (
        "llm_d_epp_flow_control_request_queue_duration_seconds",
        "inference_extension_flow_control_request_queue_duration_seconds",
    ),
    (
        "llm_d_epp_flow_control_request_enqueue_duration_seconds",
        "inference_extension_flow_control_request_enqueue_duration_seconds",
    ),
    (
        "llm_d_epp_flow_control_dispatch_cycle_duration_seconds",
        "inference_extension_flow_control_dispatch_cycle_duration_seconds",
    ),
    ("llm_d_epp_flow_control_requests", "inference_extension_flow_control_requests"),
    ("llm_d_epp_flow_control_queue_size", "inference_extension_flow_control_queue_size"),
    ("llm_d_epp_flow_control_queue_bytes", "inference_extension_flow_control_queue_bytes"),
    ("llm_d_epp_flow_control_pool_saturation", "inference_extension_flow_control_pool_saturation"),
    (
        "llm_d_epp_flow_control_capacity_utilization_requests",
        "inference_extension_flow_control_capacity_utilization_requests",
    ),
];

/// Labels that were called otherwise under the former names.
const LABELS: [(&str, &str); 2] =
    [("endpoint_name=\"", "pod_name=\""), ("model_server_endpoint=\"", "model_server_pod=\"")];

/// Returns the former name of a family, if it had one.
pub(super) fn former_name(name: &str) -> Option<&'static str> {
    FORMER.iter().find(|(present, _)| *present == name).map(|(_, former)| *former)
}

/// Returns a family's samples under its former name.
pub(super) fn renamed(name: &str, former: &str, samples: &str) -> String {
    let mut text = String::with_capacity(samples.len() + samples.len() / 8);
    for line in samples.lines() {
        let Some((metric, rest)) = line.split_once('{') else { continue };
        let Some(suffix) = metric.strip_prefix(name) else { continue };
        text.extend([former, suffix, "{"]);
        // Labels' names alone: a value that a client made up has its quotes escaped.
        let renamed =
            LABELS.iter().fold(rest.to_owned(), |rest, (now, before)| rest.replace(now, before));
        text.push_str(&renamed);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_go_by_the_former_name_and_labels() {
        let name = "llm_d_epp_scheduler_attempts";
        let former = former_name(name).unwrap();
        let samples =
            "llm_d_epp_scheduler_attempts_total{endpoint_name=\"10.0.0.1\",status=\"success\"} 4\n";
        insta::assert_snapshot!(renamed(name, former, samples), @r#"inference_extension_scheduler_attempts_total{pod_name="10.0.0.1",status="success"} 4"#);
        assert_eq!(former_name("llm_picker_picked"), None);
    }
}
