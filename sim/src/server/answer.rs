//! Response bodies and stream chunks with exactly the fields of vLLM 0.32.

mod messages;
mod responses;

use std::fmt::Write;

use serde_json::Value;

use super::{kept::KeptResponses, prompt::Api, shared::unix_now};
use crate::{
    Options,
    engine_core::{Finish, Usage},
};

/// Fingerprint with which 0.32 names itself in every answer.
const FINGERPRINT: &str = "vllm-0.32.0-simulated";

/// End of a stream of chat and completions.
pub(super) const DONE: &str = "data: [DONE]\n\n";

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
    prompt_tokens: usize,
    /// Response that this one goes on from.
    previous: Option<String>,
}

/// The part of an answer that its request tells.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    pub(super) id: &'a str,
    pub(super) model: &'a str,
    pub(super) prompt_tokens: usize,
    pub(super) previous: Option<String>,
}

impl Answer {
    pub(super) fn new(api: Api, asked: Asked<'_>, options: &Options) -> Self {
        let Asked { id, model, prompt_tokens, previous } = asked;
        let prefix = match api {
            Api::Chat | Api::Messages => "chatcmpl-",
            Api::Completions => "cmpl-",
            Api::Responses => "resp_",
        };
        // Seconds of this century fit, and what doesn't is no time.
        let created = std::time::Duration::from_secs_f64(unix_now()).as_secs();
        Self {
            api,
            id: Value::from(format!("{prefix}{id}")).to_string(),
            model: Value::from(model).to_string(),
            created,
            details: options.enable_prompt_tokens_details,
            block_tokens: options.block_size,
            prompt_tokens,
            previous,
        }
    }

    /// Returns the name by which a client asks for the answer again.
    fn name(&self) -> &str {
        self.id.trim_matches('"')
    }

    /// Keeps the answer, which is whole, if its API has it kept.
    pub(super) fn keep_in(
        &self,
        kept: &mut KeptResponses,
        text: &str,
        finish: Finish,
        usage: Usage,
    ) {
        if self.api == Api::Responses {
            kept.keep(self.name(), text, self.whole(text, finish, usage));
        }
    }

    /// Returns the body of an answer that isn't streamed.
    pub(super) fn whole(&self, text: &str, finish: Finish, usage: Usage) -> String {
        match self.api {
            Api::Chat | Api::Completions => self.whole_choice(text, finish, usage),
            Api::Messages => self.whole_message(text, finish, usage),
            Api::Responses => self.whole_response(text, finish, usage),
        }
    }

    fn whole_choice(&self, text: &str, finish: Finish, usage: Usage) -> String {
        let head =
            self.head(if self.api == Api::Chat { "chat.completion" } else { "text_completion" });
        let text = Value::from(text);
        let finish = finish.name();
        let (choice, tail) = if self.api == Api::Completions {
            (
                format!(
                    r#""text":{text},"logprobs":null,"finish_reason":"{finish}","stop_reason":null,"token_ids":null,"prompt_logprobs":null,"prompt_token_ids":null,"routed_experts":null"#
                ),
                "",
            )
        } else {
            (
                format!(
                    r#""message":{{"role":"assistant","content":{text},"refusal":null,"annotations":null,"audio":null,"function_call":null,"reasoning":null}},"logprobs":null,"finish_reason":"{finish}","stop_reason":null,"token_ids":null,"routed_experts":null"#
                ),
                r#""prompt_logprobs":null,"prompt_token_ids":null,"prompt_text":null,"#,
            )
        };
        let usage = self.usage(usage, true);
        format!(
            r#"{head},"choices":[{{"index":0,{choice}}}],"service_tier":null,"system_fingerprint":"{FINGERPRINT}","usage":{usage},{tail}"kv_transfer_params":null,"ec_transfer_params":null,"metrics":null}}"#
        )
    }

    /// Returns what is sent before the prompt is computed.
    pub(super) fn early(&self) -> Option<String> {
        (self.api == Api::Responses).then(|| self.response_early())
    }

    /// Returns what is sent before the first token.
    pub(super) fn opening(&self) -> Option<String> {
        match self.api {
            Api::Completions => None,
            Api::Chat => {
                let head = self.head("chat.completion.chunk");
                Some(format!(
                    "data: {head},\"choices\":[{{\"index\":0,\"delta\":{{\"role\":\"assistant\",\"content\":\"\"}},\"logprobs\":null,\"finish_reason\":null}}],\"prompt_token_ids\":null,\"prompt_text\":null}}\n\n"
                ))
            }
            Api::Messages => Some(self.message_opening()),
            Api::Responses => Some(self.response_opening()),
        }
    }

    /// Returns the event of the `nth` word.
    pub(super) fn word(
        &self,
        nth: usize,
        word: [char; 4],
        finish: Option<Finish>,
        usage_follows: bool,
    ) -> String {
        let text: String = word.into_iter().collect();
        match self.api {
            Api::Chat | Api::Completions => self.chunk(&text, finish, usage_follows),
            Api::Messages => messages::delta(&text),
            Api::Responses => self.response_delta(nth, &text),
        }
    }

    /// Returns what is sent behind the last word.
    pub(super) fn closing(
        &self,
        said: &str,
        finish: Finish,
        usage: Usage,
        include_usage: bool,
    ) -> String {
        match self.api {
            Api::Messages => self.message_closing(finish, usage),
            Api::Responses => self.response_closing(said, finish, usage),
            Api::Chat | Api::Completions if include_usage => self.usage_chunk(usage) + DONE,
            Api::Chat | Api::Completions => DONE.to_owned(),
        }
    }

    /// Returns the chunk of one word; the last one carries the reason, and the fingerprint unless a
    /// chunk with the usage follows.
    fn chunk(&self, word: &str, finish: Option<Finish>, usage_follows: bool) -> String {
        let reason =
            finish.map_or_else(|| "null".to_owned(), |finish| format!("\"{}\"", finish.name()));
        let mut chunk = String::with_capacity(320);
        chunk.push_str("data: ");
        // Writing to a string can't fail.
        let _ = if self.api == Api::Completions {
            write!(
                chunk,
                r#"{},"choices":[{{"index":0,"text":"{word}","logprobs":null,"finish_reason":{reason},"stop_reason":null,"prompt_token_ids":null,"token_ids":null}}]"#,
                self.head("text_completion")
            )
        } else {
            write!(
                chunk,
                r#"{},"choices":[{{"index":0,"delta":{{"content":"{word}"}},"logprobs":null,"finish_reason":{reason},{}"token_ids":null}}]"#,
                self.head("chat.completion.chunk"),
                if finish.is_some() { r#""stop_reason":null,"# } else { "" }
            )
        };
        if finish.is_some() && !usage_follows {
            let _ = write!(chunk, r#","system_fingerprint":"{FINGERPRINT}""#);
        }
        chunk.push_str("}\n\n");
        chunk
    }

    /// Returns the chunk that only `stream_options.include_usage` brings.
    fn usage_chunk(&self, usage: Usage) -> String {
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

    /// Returns the tokens of whole blocks that were newly put into the cache.
    fn written(&self, usage: Usage) -> usize {
        let blocks = usage.prompt - usage.prompt % self.block_tokens;
        blocks.saturating_sub(usage.cached)
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
        let written = self.written(usage);
        let details = match (self.api, whole) {
            (Api::Completions, true) => {
                r#","created_cache_tokens":null,"multimodal_tokens":null"#.to_owned()
            }
            (Api::Completions, false) => String::new(),
            (Api::Chat | Api::Messages | Api::Responses, true) => {
                format!(r#","created_cache_tokens":{written},"multimodal_tokens":null"#)
            }
            (Api::Chat | Api::Messages | Api::Responses, false) => {
                format!(r#","created_cache_tokens":{written}"#)
            }
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
