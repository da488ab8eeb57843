//! The families of a page that routing needs, for each engine: those that are known, and those that
//! a configuration describes (EPP: engineConfigs).

use std::{fmt, str::FromStr};

/// Inference engine, by the metrics that tell its load.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Engine {
    /// Value of the pod label `llm-d.ai/engine-type`.
    pub name: String,
    /// Requests that wait. Of several families the first that the page has counts, here and below.
    pub waiting: Vec<Spec>,
    /// Requests that run; none for an engine that does not say how many.
    pub running: Vec<Spec>,
    /// KV-cache usage, 0 to 1; none for an engine that has no KV cache.
    pub kv_usage: Vec<Spec>,
    /// Layout of the KV cache, if the page says it.
    pub cache: Option<CacheSpec>,
    /// Prompt tokens that were looked up in the prefix cache, counted since the start.
    pub queried: Vec<Spec>,
    /// Looked-up prompt tokens that were found, counted since the start.
    pub cached: Vec<Spec>,
    /// Unix time in seconds at which the engine's process began to count.
    pub started: Vec<Spec>,
    /// Label of the waiting requests' family that names the model that the engine runs.
    pub model: Option<String>,
    /// Family of the LoRA adapters, in vLLM's labels.
    pub lora: Option<Spec>,
    /// Further metrics, each under a key of its own (EPP: customMetrics); of several series the first
    /// counts.
    pub custom: Vec<(String, Spec)>,
    /// Family that is 0 while the engine sleeps and takes no requests.
    pub awake: Option<Spec>,
    /// Labels of ranks that all report the same queue: only rank 0 counts.
    pub ranks: Vec<String>,
    /// Path of the page, if not `/metrics`.
    pub path: Option<String>,
    /// Path at which the engine serves only those of its families that a query names as `name[]`,
    /// if it is known to.
    pub selecting: Option<String>,
    /// Port of the page, if not that of the endpoint.
    pub port: Option<u16>,
}

/// Family, and the label that its series must have: `name` or `name{label=value}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Name of the family.
    pub family: String,
    /// Name and value of the label.
    pub label: Option<(String, String)>,
}

/// Place of the KV cache's layout on a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CacheSpec {
    /// Two labels of one family.
    Labels {
        /// Family with both labels.
        info: Spec,
        /// Label with the tokens of a block.
        block_tokens: String,
        /// Label with the number of blocks.
        blocks: String,
    },
    /// Values of two series.
    Values {
        /// Family with the tokens of a block.
        block_tokens: Spec,
        /// Family with the number of blocks.
        blocks: Spec,
    },
}

impl Engine {
    /// Returns the engines that need no configuration, the default first (EPP:
    /// core-metrics-extractor).
    #[must_use]
    pub fn known() -> Vec<Self> {
        vec![
            Self::vllm(),
            Self::sglang(),
            Self::trtllm_serve(),
            Self::triton_trtllm(),
            Self::triton(),
        ]
    }

    /// Returns vLLM of any version since 0.6.
    #[must_use]
    pub fn vllm() -> Self {
        let labels = cache_labels("vllm:cache_config_info", "block_size", "num_gpu_blocks");
        Self {
            name: "vllm".to_owned(),
            waiting: vec![Spec::named("vllm:num_requests_waiting")],
            running: vec![Spec::named("vllm:num_requests_running")],
            // The older name went with 0.12; from 0.9.2 to 0.11 pages have both.
            kv_usage: vec![
                Spec::named("vllm:kv_cache_usage_perc"),
                Spec::named("vllm:gpu_cache_usage_perc"),
            ],
            cache: Some(labels),
            // Renamed like the usage.
            queried: vec![
                Spec::named("vllm:prefix_cache_queries_total"),
                Spec::named("vllm:gpu_prefix_cache_queries_total"),
            ],
            cached: vec![
                Spec::named("vllm:prefix_cache_hits_total"),
                Spec::named("vllm:gpu_prefix_cache_hits_total"),
            ],
            // Of the process's own series this one begins like the others, so that a page's many other lines
            // cost one look each. Several API servers write neither.
            started: vec![
                Spec::named("vllm:prefix_cache_queries_created"),
                Spec::named("vllm:gpu_prefix_cache_queries_created"),
            ],
            model: Some("model_name".to_owned()),
            lora: Some(Spec::named("vllm:lora_requests_info")),
            awake: Some(Spec::labelled("vllm:engine_sleep_state", "sleep_state", "awake")),
            // With the slash prometheus-client answers, which selects; without it a page of vLLM's
            // own comes first, which does not.
            selecting: Some("/metrics/".to_owned()),
            ..Self::default()
        }
    }

    fn sglang() -> Self {
        Self {
            name: "sglang".to_owned(),
            waiting: vec![Spec::named("sglang:num_queue_reqs")],
            running: vec![Spec::named("sglang:num_running_reqs")],
            kv_usage: vec![Spec::named("sglang:token_usage")],
            cache: Some(cache_labels("sglang:cache_config_info", "page_size", "num_pages")),
            queried: vec![Spec::named("sglang:prompt_tokens_total")],
            cached: vec![Spec::named("sglang:cached_tokens_total")],
            model: Some("model_name".to_owned()),
            ranks: vec!["tp_rank".to_owned(), "pp_rank".to_owned()],
            ..Self::default()
        }
    }

    fn trtllm_serve() -> Self {
        Self {
            name: "trtllm-serve".to_owned(),
            waiting: vec![Spec::named("trtllm_num_requests_waiting")],
            running: vec![Spec::named("trtllm_num_requests_running")],
            kv_usage: vec![Spec::named("trtllm_kv_cache_utilization")],
            cache: Some(CacheSpec::Values {
                block_tokens: Spec::named("trtllm_kv_cache_tokens_per_block"),
                blocks: Spec::named("trtllm_kv_cache_max_blocks"),
            }),
            queried: vec![Spec::named("trtllm_prompt_tokens_total")],
            cached: vec![Spec::named("trtllm_prompt_cached_tokens_total")],
            model: Some("model_name".to_owned()),
            // Its /metrics is JSON.
            path: Some("/prometheus/metrics".to_owned()),
            ..Self::default()
        }
    }

    fn triton_trtllm() -> Self {
        let requests =
            |kind| vec![Spec::labelled("nv_trt_llm_request_metrics", "request_type", kind)];
        let blocks =
            |kind| Spec::labelled("nv_trt_llm_kv_cache_block_metrics", "kv_cache_block_type", kind);
        Self {
            name: "triton-tensorrt-llm".to_owned(),
            waiting: requests("waiting"),
            running: requests("scheduled"),
            kv_usage: vec![blocks("fraction")],
            cache: Some(CacheSpec::Values {
                block_tokens: blocks("tokens_per"),
                blocks: blocks("max"),
            }),
            ..Self::default()
        }
    }

    fn triton() -> Self {
        Self {
            name: "triton".to_owned(),
            waiting: vec![Spec::named("nv_inference_pending_request_count")],
            // The EPP takes nv_inference_exec_count, which counts all executions since the start.
            running: Vec::new(),
            ..Self::default()
        }
    }
}

fn cache_labels(info: &str, block_tokens: &str, blocks: &str) -> CacheSpec {
    CacheSpec::Labels {
        info: Spec::named(info),
        block_tokens: block_tokens.to_owned(),
        blocks: blocks.to_owned(),
    }
}

impl Spec {
    fn named(family: &str) -> Self {
        Self { family: family.to_owned(), label: None }
    }

    fn labelled(family: &str, label: &str, value: &str) -> Self {
        Self { family: family.to_owned(), label: Some((label.to_owned(), value.to_owned())) }
    }
}

/// Reads the EPP's notation: `name` or `name{label=value}`, the value in quotes or not.
impl FromStr for Spec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fail = || format!("must be a metric as name or name{{label=value}}, not {text:?}");
        let text = text.trim();
        let (family, label) = match text.strip_suffix('}') {
            None => (text, None),
            Some(text) => {
                let (family, label) = text.split_once('{').ok_or_else(fail)?;
                let (label, value) = label.split_once('=').ok_or_else(fail)?;
                let value = value.trim();
                let bare = value.strip_prefix('"').and_then(|it| it.strip_suffix('"'));
                (family.trim(), Some((label.trim().to_owned(), bare.unwrap_or(value).to_owned())))
            }
        };
        let letter = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        let name = |text: &str| !text.is_empty() && text.chars().all(letter);
        if !name(family) || label.as_ref().is_some_and(|(label, _)| !name(label)) {
            return Err(fail());
        }
        Ok(Self { family: family.to_owned(), label })
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.label {
            None => f.write_str(&self.family),
            Some((label, value)) => write!(f, "{}{{{label}={value}}}", self.family),
        }
    }
}
