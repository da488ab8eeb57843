//! OpenAI request bodies, read in one pass: no tree is built and the prompt is not copied.
//!
//! The prompt comes out as slices of the body, with its JSON escapes as the client wrote them. Two
//! requests share a prefix when they share these bytes; one client library escapes equal text
//! equally, so nothing is lost by leaving it escaped, and unescaping 220 KB would cost more than
//! all the rest.

mod chat;
mod completions;
mod cursor;
mod error;
mod fields;
mod number;
mod text;

use std::borrow::Cow;

use cursor::Cursor;
use fields::Fields;

pub use error::BodyError;

/// Which of the OpenAI APIs a request speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// `/v1/chat/completions`: the prompt is in `messages`.
    ChatCompletions,
    /// `/v1/completions`: the prompt is in `prompt`.
    Completions,
}

impl Api {
    /// The API that a `:path` asks for, by its longest known suffix as in the EPP's `openai-parser`;
    /// the query does not count. `None`: the body says nothing that we read, so it goes by load.
    #[must_use]
    pub fn of_path(path: &[u8]) -> Option<Self> {
        let path = path.split(|byte| *byte == b'?').next().unwrap_or(path);
        if path.ends_with(b"chat/completions") {
            Some(Self::ChatCompletions)
        } else if path.ends_with(b"completions") {
            Some(Self::Completions)
        } else {
            None
        }
    }
}

/// What the picker needs to know of a request's body.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "two fields of the API, any mix of which is legal"
)]
pub struct Inference<'a> {
    /// The model or adapter asked for. Bytes that are not UTF-8 read as U+FFFD, as in Go.
    pub model: Cow<'a, str>,
    /// `cache_salt`: requests with different salts share no cached prefix. Escapes as written.
    pub cache_salt: Option<&'a [u8]>,
    /// Whether the answer is to come as server-sent events.
    pub stream: bool,
    /// Whether the last event is to report usage (`stream_options.include_usage`).
    pub include_usage: bool,
    /// The limit on output tokens: `max_completion_tokens`, else `max_tokens`.
    pub max_tokens: Option<u64>,
    /// The prompt in the order in which it is hashed, escapes as written, at most [`PIECES_MAX`]
    /// pieces. Chat: `tools` as JSON, then for each message its role and its content; of
    /// structured content the text of the text parts, and other parts as JSON. Completions: the
    /// string, or the strings of an array, or an array of tokens as JSON.
    pub prompt: Vec<&'a [u8]>,
}

/// Pieces of prompt that are kept: half a megabyte of slices in wasm32. What follows them is
/// checked but not hashed, so that two longer prompts are told apart by their first 65,536 pieces.
pub const PIECES_MAX: usize = 1 << 16;

/// Reads a request's body.
///
/// The whole document must be strict JSON (RFC 8259), nested at most 64 deep. Of a key that comes
/// twice the last counts, as in Go and Python. Not checked, because neither Go nor Python's parser
/// objects: that strings are UTF-8 and that surrogates come in pairs.
///
/// # Errors
/// Those of the EPP's `openai-parser`, in its order: not JSON or not an object, no prompt, no model.
pub fn scan(body: &[u8], api: Api) -> Result<Inference<'_>, BodyError> {
    let mut cursor = Cursor::new(body);
    let mut fields = Fields::default();
    cursor.object(|cursor, key| fields.read(cursor, key, api))?;
    cursor.end()?;
    fields.finish(api)
}
