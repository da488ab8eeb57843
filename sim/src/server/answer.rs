//! Response bodies and stream chunks with exactly the fields of vLLM 0.32.

use std::fmt::Write;

use serde_json::Value;

use super::{prompt::Api, shared::unix_now};
use crate::{
    Options,
    engine_core::{Finish, Usage},
};

/// Fingerprint with which 0.32 names itself in every answer.
const FINGERPRINT: &str = "vllm-0.32.0-simulated";

/// Fields that all parts of one answer have in common.
#[derive(Debug)]
pub(super) struct Answer {
    api: Api,
    /// Text of `"id":…,"created":…,"model":…`, written once for all chunks.
    id: String,
    created: u64,
    model: String,
    details: bool,
    block_tokens: usize,
}

impl Answer {
    pub(super) fn new(api: Api, id: &str, model: &str, options: &Options) -> Self {
        let prefix = if api == Api::Chat { "chatcmpl" } else { "cmpl" };
        // Seconds of this century fit, and what doesn't is no time.
        let created = std::time::Duration::from_secs_f64(unix_now()).as_secs();
        Self {
            api,
            id: Value::from(format!("{prefix}-{id}")).to_string(),
            model: Value::from(model).to_string(),
            created,
            details: options.enable_prompt_tokens_details,
            block_tokens: options.block_size,
        }
    }

    /// Returns the body of an answer that isn't streamed.
    pub(super) fn whole(&self, text: &str, finish: Finish, usage: Usage) -> String {
        let head =
            self.head(if self.api == Api::Chat { "chat.completion" } else { "text_completion" });
        let text = Value::from(text);
        let finish = finish.name();
        let (choice, tail) = match self.api {
            Api::Completions => (
                format!(
                    r#""text":{text},"logprobs":null,"finish_reason":"{finish}","stop_reason":null,"token_ids":null,"prompt_logprobs":null,"prompt_token_ids":null,"routed_experts":null"#
                ),
                "",
            ),
            Api::Chat => (
                format!(
                    r#""message":{{"role":"assistant","content":{text},"refusal":null,"annotations":null,"audio":null,"function_call":null,"reasoning":null}},"logprobs":null,"finish_reason":"{finish}","stop_reason":null,"token_ids":null,"routed_experts":null"#
                ),
                r#""prompt_logprobs":null,"prompt_token_ids":null,"prompt_text":null,"#,
            ),
        };
        let usage = self.usage(usage, true);
        format!(
            r#"{head},"choices":[{{"index":0,{choice}}}],"service_tier":null,"system_fingerprint":"{FINGERPRINT}","usage":{usage},{tail}"kv_transfer_params":null,"ec_transfer_params":null,"metrics":null}}"#
        )
    }

    /// Returns the chunk before a chat's first token.
    pub(super) fn opening(&self) -> Option<String> {
        (self.api == Api::Chat).then(|| {
            let head = self.head("chat.completion.chunk");
            format!(
                "data: {head},\"choices\":[{{\"index\":0,\"delta\":{{\"role\":\"assistant\",\"content\":\"\"}},\"logprobs\":null,\"finish_reason\":null}}],\"prompt_token_ids\":null,\"prompt_text\":null}}\n\n"
            )
        })
    }

    /// Returns the chunk of one word; the last one carries the reason, and the fingerprint unless a
    /// chunk with the usage follows.
    pub(super) fn chunk(
        &self,
        word: [char; 4],
        finish: Option<Finish>,
        usage_follows: bool,
    ) -> String {
        let word: String = word.into_iter().collect();
        let reason =
            finish.map_or_else(|| "null".to_owned(), |finish| format!("\"{}\"", finish.name()));
        let mut chunk = String::with_capacity(320);
        chunk.push_str("data: ");
        // Writing to a string can't fail.
        let _ = match self.api {
            Api::Completions => write!(
                chunk,
                r#"{},"choices":[{{"index":0,"text":"{word}","logprobs":null,"finish_reason":{reason},"stop_reason":null,"prompt_token_ids":null,"token_ids":null}}]"#,
                self.head("text_completion")
            ),
            Api::Chat => write!(
                chunk,
                r#"{},"choices":[{{"index":0,"delta":{{"content":"{word}"}},"logprobs":null,"finish_reason":{reason},{}"token_ids":null}}]"#,
                self.head("chat.completion.chunk"),
                if finish.is_some() { r#""stop_reason":null,"# } else { "" }
            ),
        };
        if finish.is_some() && !usage_follows {
            let _ = write!(chunk, r#","system_fingerprint":"{FINGERPRINT}""#);
        }
        chunk.push_str("}\n\n");
        chunk
    }

    /// Returns the chunk that only `stream_options.include_usage` brings.
    pub(super) fn usage_chunk(&self, usage: Usage) -> String {
        let head = self.head(if self.api == Api::Chat {
            "chat.completion.chunk"
        } else {
            "text_completion"
        });
        let usage = self.usage(usage, false);
        format!(
            "data: {head},\"choices\":[],\"usage\":{usage},\"system_fingerprint\":\"{FINGERPRINT}\"}}\n\n"
        )
    }

    fn head(&self, object: &str) -> String {
        let Self { id, created, model, .. } = self;
        format!(r#"{{"id":{id},"object":"{object}","created":{created},"model":{model}"#)
    }

    /// Returns the token counts. Absent fields are `null` in a whole answer and left out of a
    /// stream.
    fn usage(&self, usage: Usage, whole: bool) -> String {
        let Usage { prompt, cached, generated } = usage;
        let total = prompt + generated;
        let mut text = format!(
            r#"{{"prompt_tokens":{prompt},"total_tokens":{total},"completion_tokens":{generated}"#
        );
        let blocks = prompt - prompt % self.block_tokens;
        let written = blocks.saturating_sub(cached);
        let details = match (self.api, whole) {
            (Api::Completions, true) => {
                r#","created_cache_tokens":null,"multimodal_tokens":null"#.to_owned()
            }
            (Api::Completions, false) => String::new(),
            (Api::Chat, true) => {
                format!(r#","created_cache_tokens":{written},"multimodal_tokens":null"#)
            }
            (Api::Chat, false) => format!(r#","created_cache_tokens":{written}"#),
        };
        if self.details {
            let _ =
                write!(text, r#","prompt_tokens_details":{{"cached_tokens":{cached}{details}}}"#);
        } else if whole {
            text.push_str(r#","prompt_tokens_details":null"#);
        }
        text.push_str(if whole { r#","completion_tokens_details":null}"# } else { "}" });
        text
    }
}
