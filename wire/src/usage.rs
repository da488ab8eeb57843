//! What a request cost in tokens, from its response as it streams past.
//!
//! The usage comes last: as an object near the end of a JSON body, or in the last events of a
//! stream. So the end is kept and looked at once, when there is no more, and nothing is held back.

use memchr::memmem;
use serde::Deserialize;

/// Bytes of a response's end that are looked at. The usage itself is below 300; what may follow it
/// are a stream's `data: [DONE]` and a handful of short fields. Twice this is kept for each of the
/// thousands of responses that a worker has in flight.
const KEPT: usize = 2048;

/// The tokens of one request, as the model server counted them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// Tokens that were generated.
    pub output_tokens: u32,
    /// Tokens of the prompt that were cached, where the server says so.
    pub cached_tokens: Option<u32>,
}

/// The end of a response, and how many events it had.
#[derive(Clone, Debug, Default)]
pub struct Tail {
    end: Vec<u8>,
    events: u32,
    after_newline: bool,
}

impl Tail {
    /// Appends what came. Where it is cut makes no difference.
    pub fn push(&mut self, chunk: &[u8]) {
        for byte in chunk {
            let newline = *byte == b'\n';
            // An event ends with an empty line.
            let ends = newline && self.after_newline;
            self.events = self.events.saturating_add(u32::from(ends));
            self.after_newline = newline && !ends;
        }
        let (_, chunk) = chunk.split_at(chunk.len().saturating_sub(KEPT));
        if self.end.len() + chunk.len() > 2 * KEPT {
            self.end.drain(..self.end.len().saturating_sub(KEPT));
        }
        self.end.extend_from_slice(chunk);
    }

    /// Tokens that were generated: as the usage says, else at least as many as there were events, for
    /// a stream that was not asked for its usage. A tenant cannot go uncharged by not asking.
    #[must_use]
    pub fn output_tokens(&self) -> u32 {
        self.usage().map_or(self.events, |usage| usage.output_tokens)
    }

    /// The usage, once the response is whole. `None` if it says none, as a stream that was not
    /// asked for it.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        const KEY: &[u8] = b"\"usage\"";
        let (_, end) = self.end.split_at(self.end.len().saturating_sub(KEPT));
        // Within a string the quotes were escaped, so this is a key. The last one that has a value
        // counts: a stream may say null, or what it has used so far, in every event.
        memmem::rfind_iter(end, KEY).find_map(|at| value(end.get(at + KEY.len()..)?))
    }
}

/// A usage by the names of the chat and completions APIs, or by those of the Responses API.
#[derive(Deserialize)]
struct Fields {
    #[serde(alias = "input_tokens")]
    prompt_tokens: u32,
    /// An embedding has none.
    #[serde(alias = "output_tokens", default)]
    completion_tokens: u32,
    #[serde(alias = "input_tokens_details")]
    prompt_tokens_details: Option<Details>,
}

#[derive(Deserialize)]
struct Details {
    cached_tokens: Option<u32>,
}

/// The usage that begins after a colon, whatever comes after it.
fn value(after_key: &[u8]) -> Option<Usage> {
    let value = after_key.trim_ascii_start().strip_prefix(b":")?;
    let fields: Fields = serde_json::Deserializer::from_slice(value).into_iter().next()?.ok()?;
    Some(Usage {
        prompt_tokens: fields.prompt_tokens,
        output_tokens: fields.completion_tokens,
        cached_tokens: fields.prompt_tokens_details.and_then(|details| details.cached_tokens),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_without_usage_counts_its_events() {
        let stream = b"data: {\"choices\":[]}\n\ndata: {\"choices\":[]}\n\ndata: [DONE]\n\n";
        for cut in 0..stream.len() {
            let mut tail = Tail::default();
            let (head, rest) = stream.split_at(cut);
            tail.push(head);
            tail.push(rest);
            assert_eq!(tail.output_tokens(), 3, "cut at {cut}");
        }
        let mut tail = Tail::default();
        tail.push(b"data: {\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":9}}\n\n");
        assert_eq!(tail.output_tokens(), 9);
    }
}
