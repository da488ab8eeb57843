//! Answers of the Anthropic API, as vLLM 0.32 gives them.

use super::Answer;
use crate::engine_core::{Finish, Usage};

impl Answer {
    pub(super) fn whole_message(&self, text: &str, finish: Finish, usage: Usage) -> String {
        let Self { id, model, .. } = self;
        let (text, reason) = (serde_json::Value::from(text), reason(finish));
        let usage = self.message_usage(usage);
        format!(
            r#"{{"id":{id},"type":"message","role":"assistant","content":[{{"type":"text","text":{text}}}],"model":{model},"stop_reason":"{reason}","stop_sequence":null,"usage":{usage}}}"#
        )
    }

    /// Returns the events in front of the first token.
    pub(super) fn message_opening(&self) -> String {
        let Self { id, model, prompt_tokens, .. } = self;
        let start = format!(
            r#"{{"type":"message_start","message":{{"id":{id},"type":"message","role":"assistant","content":[],"model":{model},"stop_reason":null,"stop_sequence":null,"usage":{{"input_tokens":{prompt_tokens},"output_tokens":0}}}}}}"#
        );
        let block =
            r#"{"type":"content_block_start","content_block":{"type":"text","text":""},"index":0}"#;
        event("message_start", &start) + &event("content_block_start", block)
    }

    /// Returns the events behind the last token.
    pub(super) fn message_closing(&self, finish: Finish, usage: Usage) -> String {
        let (reason, usage) = (reason(finish), self.message_usage(usage));
        let delta = format!(
            r#"{{"type":"message_delta","delta":{{"stop_reason":"{reason}","stop_sequence":null}},"usage":{usage}}}"#
        );
        event("content_block_stop", r#"{"type":"content_block_stop","index":0}"#)
            + &event("message_delta", &delta)
            + &event("message_stop", r#"{"type":"message_stop"}"#)
    }

    fn message_usage(&self, usage: Usage) -> String {
        let Usage { prompt, cached, generated } = usage;
        let written = self.written(usage);
        // The tokens that are cached, or newly put into the cache, are counted apart.
        let rest = prompt.saturating_sub(cached + written);
        format!(
            r#"{{"input_tokens":{rest},"output_tokens":{generated},"cache_creation_input_tokens":{written},"cache_read_input_tokens":{cached}}}"#
        )
    }
}

/// Returns the event of one token.
pub(super) fn delta(word: &str) -> String {
    let delta = format!(
        r#"{{"type":"content_block_delta","delta":{{"type":"text_delta","text":"{word}"}},"index":0}}"#
    );
    event("content_block_delta", &delta)
}

const fn reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Length => "max_tokens",
        Finish::Stop | Finish::Abort => "end_turn",
    }
}

/// Returns a named event.
pub(super) fn event(name: &str, data: &str) -> String {
    format!("event: {name}\ndata: {data}\n\n")
}
