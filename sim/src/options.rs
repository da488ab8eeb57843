//! The command line: vLLM's own flags where one exists.

use std::{net::IpAddr, net::Ipv4Addr, str::FromStr};

use clap::{Parser, ValueEnum};

use crate::engine_core::{Config, Cost};

/// Least speed: a step of a second takes twelve days, and no duration overflows.
const SPEED_MIN: f64 = 1e-6;

/// Most speed: the shortest duration of a step is a thousandth of a nanosecond, which is none.
const SPEED_MAX: f64 = 1e6;

/// Source of the time of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    /// Real vLLM 0.32 on two CPU cores with a small model: 0.6 ms to 1 ms per prompt token, 13 ms
    /// per token of the answer.
    Cpu,
    /// Steps take no time, and of a body over 16 KiB only both ends are looked at: for measuring
    /// what stands in front.
    Instant,
}

/// Order of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Policy {
    /// First come, first served; priorities are accepted and ignored.
    Fcfs,
    /// Lower priority values first.
    Priority,
}

/// A LoRA adapter, `name` or `name=path`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoraModule {
    /// Model name that requests use for the adapter.
    pub name: String,
    /// Path of the adapter, shown as `root` in the list of models.
    pub path: String,
}

impl FromStr for LoraModule {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, path) = text.split_once('=').unwrap_or((text, text));
        Ok(Self { name: name.to_owned(), path: path.to_owned() })
    }
}

/// A simulated vLLM server: honest about batching, prefix cache and metrics, silent about meaning.
#[derive(Clone, Debug, Parser)]
#[command(name = "vllm-sim", version, after_long_help = ADMIN_HELP)]
#[allow(clippy::struct_excessive_bools, reason = "switches of vLLM's command line")]
pub struct Options {
    /// Address to listen on.
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub host: IpAddr,
    /// Port to listen on; 0 lets the system choose.
    #[arg(long, default_value_t = 8000)]
    pub port: u16,
    /// A second port for /admin alone, which stays up while the first one refuses. Printed as
    /// `admin: http://IP:PORT`; 0 lets the system choose.
    #[arg(long)]
    pub admin_port: Option<u16>,
    /// Names of the model; the first one is the label of the metrics.
    #[arg(long, num_args = 1.., default_values_t = ["tiny".to_owned()])]
    pub served_model_name: Vec<String>,
    /// Tokens per KV block.
    #[arg(long, default_value_t = 16)]
    pub block_size: usize,
    /// KV blocks, one of which is never used.
    #[arg(long, default_value_t = 16_384)]
    pub num_gpu_blocks_override: usize,
    /// Requests running at once.
    #[arg(long, default_value_t = 256)]
    pub max_num_seqs: usize,
    /// Tokens computed in one step, prompt chunks and answers together.
    #[arg(long, default_value_t = 2_048)]
    pub max_num_batched_tokens: usize,
    /// Tokens of prompt and answer together.
    #[arg(long, default_value_t = 131_072)]
    pub max_model_len: usize,
    /// Requests running and waiting before new ones get 503. vLLM has no such limit by default;
    /// here it keeps a runaway client from eating the memory.
    #[arg(long, default_value_t = 10_000)]
    pub max_num_queued_reqs: usize,
    /// Order of the queue.
    #[arg(long, value_enum, default_value_t = Policy::Fcfs)]
    pub scheduling_policy: Policy,
    /// LoRA adapters, `name` or `name=path`.
    #[arg(long, num_args = 1..)]
    pub lora_modules: Vec<LoraModule>,
    /// Adapters in one batch.
    #[arg(long, default_value_t = 1)]
    pub max_loras: usize,
    /// Show cached_tokens in usage.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    pub enable_prompt_tokens_details: bool,
    /// Echo X-Request-Id in the response.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    pub enable_request_id_headers: bool,
    /// Seconds of silence in a stream after which a comment keeps its connection open; 0 for never.
    #[arg(long, default_value_t = 0.0)]
    pub sse_keep_alive_interval: f64,
    /// The price list of a step.
    #[arg(long, value_enum, default_value_t = Profile::Cpu)]
    pub profile: Profile,
    /// Speed as a multiple of the profile's.
    #[arg(long, default_value_t = 1.0)]
    pub speed: f64,
    /// Mean length of an answer that may end by itself (no ignore_eos); each one lies within half
    /// of it, and the same prompt gets the same length.
    #[arg(long, default_value_t = 128)]
    pub output_tokens: usize,
}

const ADMIN_HELP: &str = "\
Admin calls:
  GET  /admin/state          counts since the start, and the last prompts with their cache hits
  POST /admin/fault          {\"kind\": KIND, \"seconds\": heal after, \"after\": tokens, \"delay\": seconds}
Kinds of fault:
  none               heal
  refuse             close the listener and reset all connections; healed by \"seconds\" or over --admin-port
  hang               accept, never answer (all paths but /admin)
  busy               503 as with a full queue
  health503          /health 503 and requests 500, then exit after \"seconds\" (2.3)
  stream_error       an error event inside a 200 stream after \"after\" (2) tokens
  stream_reset       reset the connection after \"after\" (2) tokens of a stream
  slow_metrics       /metrics takes \"delay\" (2) seconds
  truncated_metrics  /metrics ends in the middle of a line
  garbage_metrics    /metrics is not metrics
  restart            reset all connections; cache, queue and counters start from nothing
  pause              no more steps while /health says 200";

impl Default for Options {
    /// Returns the options that no flags at all give, on a free port.
    fn default() -> Self {
        Self { port: 0, ..Self::parse_from(["vllm-sim"]) }
    }
}

impl Options {
    /// Returns the configuration of the engine that these options describe.
    ///
    /// # Errors
    /// Says which option is out of bounds, what it is and what is allowed.
    pub fn engine(&self) -> Result<Config, String> {
        if !(SPEED_MIN..=SPEED_MAX).contains(&self.speed) {
            return Err(format!(
                "--speed {}: must be a number from {SPEED_MIN} to {SPEED_MAX}",
                self.speed
            ));
        }
        for (flag, value) in [
            ("--block-size", self.block_size),
            ("--max-num-seqs", self.max_num_seqs),
            ("--max-num-batched-tokens", self.max_num_batched_tokens),
            ("--max-model-len", self.max_model_len),
            ("--max-loras", self.max_loras),
            ("--output-tokens", self.output_tokens),
        ] {
            if value == 0 {
                return Err(format!("{flag} 0: must be at least 1"));
            }
        }
        let held = self.num_gpu_blocks_override.saturating_sub(1).saturating_mul(self.block_size);
        if held < self.max_model_len {
            return Err(format!(
                "--num-gpu-blocks-override {} holds {held} tokens (one block is never used): \
                 must hold --max-model-len {}",
                self.num_gpu_blocks_override, self.max_model_len
            ));
        }
        Ok(Config {
            block_tokens: self.block_size,
            blocks: self.num_gpu_blocks_override,
            max_running: self.max_num_seqs,
            max_step_tokens: self.max_num_batched_tokens,
            max_model_tokens: self.max_model_len,
            max_adapters: if self.lora_modules.is_empty() { 0 } else { self.max_loras },
            cost: match self.profile {
                Profile::Cpu => Cost::CPU.faster(self.speed),
                Profile::Instant => Cost::FREE,
            },
        })
    }

    /// Returns the name that metrics carry.
    #[must_use]
    pub fn model(&self) -> &str {
        self.served_model_name.first().map_or("", String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_speed_that_no_duration_has_is_refused() {
        let engine = |speed| Options { speed, ..Options::default() }.engine();
        for speed in [0.0, -1.0, 1e-22, 1e7, f64::NAN, f64::INFINITY] {
            let said = engine(speed).unwrap_err();
            assert!(said.ends_with("must be a number from 0.000001 to 1000000"), "{said}");
        }
        assert!([SPEED_MIN, 0.03, 1.0, SPEED_MAX].map(engine).iter().all(Result::is_ok));
    }

    #[test]
    fn a_cache_smaller_than_one_request_is_refused() {
        let options = Options { num_gpu_blocks_override: 10, ..Options::default() };
        insta::assert_snapshot!(options.engine().unwrap_err(), @r"--num-gpu-blocks-override 10 holds 144 tokens (one block is never used): must hold --max-model-len 131072");
    }
}
