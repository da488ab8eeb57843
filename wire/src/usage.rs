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

/// The end of a response.
#[derive(Clone, Debug, Default)]
pub struct Tail(Vec<u8>);

impl Tail {
    /// Appends what came. Where it is cut makes no difference.
    pub fn push(&mut self, chunk: &[u8]) {
        let (_, chunk) = chunk.split_at(chunk.len().saturating_sub(KEPT));
        if self.0.len() + chunk.len() > 2 * KEPT {
            self.0.drain(..self.0.len().saturating_sub(KEPT));
        }
        self.0.extend_from_slice(chunk);
    }

    /// The usage, once the response is whole. `None` if it says none, as a stream that was not
    /// asked for it.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        const KEY: &[u8] = b"\"usage\"";
        let (_, end) = self.0.split_at(self.0.len().saturating_sub(KEPT));
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
