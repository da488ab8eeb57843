//! `vllm:cache_config_info`: the settings of the cache, as labels.

use super::super::exposition::Exposition;
use crate::engine_core::Config;

pub(super) fn write(page: &mut Exposition, config: &Config) {
    let block = config.block_tokens.to_string();
    let blocks = config.blocks.to_string();
    let tokens = config.blocks * config.block_tokens;
    let concurrency = format!("{:?}", tokens as f64 / config.max_model_tokens as f64);
    let tokens = tokens.to_string();
    page.gauge(
        "vllm:cache_config_info",
        &[(
            &[
                ("_block_size_resolved", "True"),
                ("block_size", &block),
                ("cache_dtype", "auto"),
                ("cache_hit_alignment_tokens", "None"),
                ("effective_attention_block_size", &block),
                ("enable_mamba_shared_prefix_checkpoint", "False"),
                ("enable_prefix_caching", "True"),
                ("engine", "0"),
                ("gpu_memory_utilization", "0.92"),
                ("hash_block_size", "None"),
                ("is_attention_free", "False"),
                ("kv_cache_dtype_skip_layers", "[]"),
                ("kv_cache_layout", "None"),
                ("kv_cache_max_concurrency", &concurrency),
                ("kv_cache_memory_bytes", "1073741824"),
                ("kv_cache_size_tokens", &tokens),
                ("kv_offloading_backend", "native"),
                ("kv_offloading_size", "None"),
                ("kv_sharing_fast_prefill", "False"),
                ("mamba_block_size", "None"),
                ("mamba_cache_dtype", "auto"),
                ("mamba_cache_mode", "none"),
                ("mamba_page_size_padded", "None"),
                ("mamba_ssm_cache_dtype", "float32"),
                ("num_cpu_blocks", "None"),
                ("num_gpu_blocks", &blocks),
                ("num_gpu_blocks_override", &blocks),
                ("prefix_cache_retention_interval", "0"),
                ("prefix_caching_hash_algo", "sha256_cbor"),
                ("prefix_match_unit", "None"),
                ("replayssm_buffer_len", "16"),
                ("skip_page_size_padded", "None"),
                ("sliding_window", "None"),
                ("swa_bounded_replay", "True"),
                ("use_kda_recoverssm", "False"),
                ("use_replayssm", "False"),
                ("user_specified_block_size", "True"),
            ],
            1.0,
        )],
    );
}
