//! Answers of the Responses API, as vLLM 0.32 gives them.

use serde_json::Value;

use super::{Answer, messages::event};
use crate::engine_core::{Finish, Usage};

/// Events in front of the first token's.
const EVENTS_BEFORE: usize = 4;

/// The state of a response, in its own object.
struct State<'a> {
    status: &'static str,
    incomplete: &'static str,
    output: &'a str,
    usage: &'a str,
}

const BEGUN: State<'_> =
    State { status: "in_progress", incomplete: "null", output: "", usage: "null" };

impl Answer {
    pub(super) fn whole_response(&self, text: &str, finish: Finish, usage: Usage) -> String {
        let (status, incomplete) = match finish {
            Finish::Length => ("incomplete", r#"{"reason":"max_output_tokens"}"#),
            Finish::Stop | Finish::Abort => ("completed", "null"),
        };
        let output = self.message(text, "completed");
        let usage = self.response_usage(usage);
        self.response(&State { status, incomplete, output: &output, usage: &usage })
    }

    /// Returns the events that vLLM sends at once, before the prompt is computed.
    pub(super) fn response_early(&self) -> String {
        let response = self.response(&BEGUN);
        ["response.created", "response.in_progress"].iter().zip(0..).fold(
            String::new(),
            |events, (name, number)| {
                events + &numbered(name, &format!(r#""response":{response}"#), number)
            },
        )
    }

    /// Returns the events in front of the first token.
    pub(super) fn response_opening(&self) -> String {
        let item = self.message_object("", "in_progress");
        let item = format!(r#""item":{item},"output_index":0"#);
        let part = r#""part":{"annotations":[],"text":"","type":"output_text","logprobs":[]}"#;
        numbered("response.output_item.added", &item, 2)
            + &numbered("response.content_part.added", &self.part_of(part), 3)
    }

    /// Returns the event of one token.
    pub(super) fn response_delta(&self, nth: usize, word: &str) -> String {
        let delta = self.part_of(&format!(r#""delta":"{word}","logprobs":[]"#));
        numbered("response.output_text.delta", &delta, EVENTS_BEFORE + nth)
    }

    /// Returns the events behind so many tokens.
    pub(super) fn response_closing(&self, said: &str, finish: Finish, usage: Usage) -> String {
        let first = EVENTS_BEFORE + usage.generated;
        let text = Value::from(said);
        let done = self.part_of(&format!(r#""logprobs":[],"text":{text}"#));
        let part = self.part_of(&format!(
            r#""part":{{"annotations":[],"text":{text},"type":"output_text","logprobs":null}}"#
        ));
        let item = format!(r#""item":{},"output_index":0"#, self.message(said, "completed"));
        let whole = format!(r#""response":{}"#, self.whole_response(said, finish, usage));
        numbered("response.output_text.done", &done, first)
            + &numbered("response.content_part.done", &part, first + 1)
            + &numbered("response.output_item.done", &item, first + 2)
            + &numbered("response.completed", &whole, first + 3)
    }

    fn response(&self, state: &State<'_>) -> String {
        let Self { id, created, model, .. } = self;
        let State { status, incomplete, output, usage } = state;
        let previous = Value::from(self.previous.as_deref());
        format!(
            r#"{{"id":{id},"created_at":{created},"incomplete_details":{incomplete},"instructions":null,"metadata":null,"model":{model},"object":"response","output":[{output}],"parallel_tool_calls":true,"temperature":1.0,"tool_choice":"none","tools":[],"top_p":1.0,"background":false,"max_output_tokens":null,"max_tool_calls":null,"previous_response_id":{previous},"prompt":null,"reasoning":null,"service_tier":"auto","status":"{status}","text":null,"top_logprobs":null,"truncation":"disabled","usage":{usage},"user":null,"presence_penalty":0.0,"frequency_penalty":0.0,"kv_transfer_params":null,"ec_transfer_params":null,"input_messages":null,"output_messages":null}}"#
        )
    }

    fn message(&self, text: &str, status: &str) -> String {
        let text = Value::from(text);
        let content =
            format!(r#"{{"annotations":[],"text":{text},"type":"output_text","logprobs":null}}"#);
        self.message_object(&content, status)
    }

    fn message_object(&self, content: &str, status: &str) -> String {
        let item = self.item();
        format!(
            r#"{{"id":{item},"content":[{content}],"role":"assistant","status":"{status}","type":"message","phase":null}}"#
        )
    }

    fn part_of(&self, members: &str) -> String {
        let item = self.item();
        format!(r#""content_index":0,"item_id":{item},"output_index":0,{members}"#)
    }

    /// Returns the id of the one message, as JSON.
    fn item(&self) -> String {
        self.id.replacen("resp_", "msg_", 1)
    }

    fn response_usage(&self, usage: Usage) -> String {
        let Usage { prompt, cached, generated } = usage;
        let (written, total) = (self.written(usage), prompt + generated);
        format!(
            r#"{{"input_tokens":{prompt},"input_tokens_details":{{"cached_tokens":{cached},"cache_write_tokens":{written},"input_tokens_per_turn":[],"cached_tokens_per_turn":[]}},"output_tokens":{generated},"output_tokens_details":{{"reasoning_tokens":0,"tool_output_tokens":0,"output_tokens_per_turn":[],"tool_output_tokens_per_turn":[]}},"total_tokens":{total}}}"#
        )
    }
}

fn numbered(name: &str, members: &str, number: usize) -> String {
    event(name, &format!(r#"{{{members},"sequence_number":{number},"type":"{name}"}}"#))
}
