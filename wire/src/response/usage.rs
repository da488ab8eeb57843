//! What a request cost in tokens, by its response.
//!
//! The usage comes last: as an object near the end of a JSON body, or in the last events of a
//! stream; Anthropic's streams say in their first event what the prompt cost. So both ends are kept
//! and looked at once, when there is no more.

use memchr::memmem;
use serde::Deserialize;

/// Bytes of a response's end that are looked at. The usage itself is below 300; what may follow it
/// are a stream's `data: [DONE]` and a handful of short fields. Twice this is kept for each of the
/// thousands of responses that a worker has in flight.
const LAST: usize = 2048;

/// Bytes of its beginning: `message_start` is some 300.
const FIRST: usize = 512;

/// The tokens of one request, as the model server counted them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// Tokens that were generated.
    pub output_tokens: u32,
    /// Tokens of the prompt that were cached, where the server says so.
    pub cached_tokens: Option<u32>,
}

/// Both ends of a response.
#[derive(Clone, Debug, Default)]
pub(super) struct Ends {
    first: Vec<u8>,
    last: Vec<u8>,
}

impl Ends {
    pub(super) fn push(&mut self, chunk: &[u8]) {
        let room = FIRST - self.first.len();
        self.first.extend_from_slice(chunk.get(..room).unwrap_or(chunk));
        let (_, chunk) = chunk.split_at(chunk.len().saturating_sub(LAST));
        if self.last.len() + chunk.len() > 2 * LAST {
            self.last.drain(..self.last.len().saturating_sub(LAST));
        }
        self.last.extend_from_slice(chunk);
    }

    pub(super) fn usage(&self) -> Option<Usage> {
        let (_, last) = self.last.split_at(self.last.len().saturating_sub(LAST));
        // Within a string the quotes were escaped, so this is a key. The last one that has a value
        // counts: a stream may say null, or what it has used so far, in every event.
        let last = memmem::rfind_iter(last, KEY).find_map(|at| value(last, at))?;
        if last.input.is_some() {
            return Some(last.into());
        }
        let first = memmem::find_iter(&self.first, KEY).find_map(|at| value(&self.first, at));
        Some(Fields { output: last.output, ..first.unwrap_or(last) }.into())
    }
}

const KEY: &[u8] = b"\"usage\"";

/// A usage by the names of the chat and completions APIs, of the Responses API, or of Anthropic's.
#[derive(Clone, Copy, Deserialize)]
struct Fields {
    #[serde(alias = "prompt_tokens", rename = "input_tokens")]
    input: Option<u32>,
    /// An embedding has none.
    #[serde(alias = "completion_tokens", rename = "output_tokens")]
    output: Option<u32>,
    #[serde(alias = "prompt_tokens_details", rename = "input_tokens_details")]
    details: Option<Details>,
    /// Anthropic counts them apart from the input.
    cache_read_input_tokens: Option<u32>,
    cache_creation_input_tokens: Option<u32>,
}

#[derive(Clone, Copy, Deserialize)]
struct Details {
    cached_tokens: Option<u32>,
}

/// The usage behind the key at `at`, whatever comes after it; none if it says nothing.
fn value(bytes: &[u8], at: usize) -> Option<Fields> {
    let after_key = bytes.get(at + KEY.len()..)?;
    let value = after_key.trim_ascii_start().strip_prefix(b":")?;
    let fields: Fields = serde_json::Deserializer::from_slice(value).into_iter().next()?.ok()?;
    (fields.input.is_some() || fields.output.is_some()).then_some(fields)
}

impl From<Fields> for Usage {
    fn from(fields: Fields) -> Self {
        let apart = [fields.cache_read_input_tokens, fields.cache_creation_input_tokens];
        let prompt = fields.input.into_iter().chain(apart.into_iter().flatten());
        let cached = fields.details.and_then(|details| details.cached_tokens);
        Self {
            prompt_tokens: prompt.fold(0, u32::saturating_add),
            output_tokens: fields.output.unwrap_or_default(),
            cached_tokens: cached.or(fields.cache_read_input_tokens),
        }
    }
}
