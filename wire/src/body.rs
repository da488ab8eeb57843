//! Request bodies, read in one pass: no tree is built and the prompt is not copied.
//!
//! The prompt comes out as slices of the body, with its JSON escapes as the client wrote them. Two
//! requests share a prefix when they share these bytes; one client library escapes equal text
//! equally, so nothing is lost by leaving it escaped, and unescaping 220 KB would cost more than
//! all the rest.

// The dialects and the fields that they read.
mod dialect;
mod fields;
mod messages;
mod model_key;
mod part;
mod prompt;

// The result, and the request to the scheduler that it makes.
mod ask;
mod error;
mod output;
mod piece;
mod place;

// The pass over the bytes.
mod cursor;
mod image;
mod number;
mod size;
mod text;

use std::borrow::Cow;

use cursor::Cursor;
use fields::RequestFields;

pub use ask::PromptScope;
pub use dialect::{Api, Dialect, Parser};
pub use error::BodyError;
pub(crate) use model_key::MODEL_KEY_JSON;
pub use output::OutputWishes;
pub use piece::{Piece, Video};
pub use place::Place;

/// Contents of a request's body that the picker needs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "two fields of the API, any mix of which is legal"
)]
pub struct Inference<'a> {
    /// Model or adapter that is asked for. Bytes that are not UTF-8 read as U+FFFD, as in Go.
    /// `None` where it is absent, empty or no string.
    pub model: Option<Cow<'a, str>>,
    /// Place of the model in the body, for putting another there.
    pub place: Place,
    /// `cache_salt` (SGLang: `extra_key`): requests with different salts share no cached prefix.
    /// Escapes as written.
    pub cache_salt: Option<&'a [u8]>,
    /// True if the answer is to come as server-sent events.
    pub stream: bool,
    /// True if the last event is to report usage (`stream_options.include_usage`).
    pub include_usage: bool,
    /// Limit on output tokens of a choice, if there is one: at most the longest context of models.
    pub max_tokens: Option<u64>,
    /// Wishes that bound or hide what the answer tells of its cost.
    pub output: OutputWishes,
    /// Prompt in the order in which it is hashed, at most [`PIECES_MAX`] pieces.
    pub prompt: Vec<Piece<'a>>,
}

/// Pieces of a prompt that are kept: a megabyte in wasm32. Pieces beyond are checked but not
/// hashed, so that two longer prompts are told apart by their first 65,536 pieces.
pub const PIECES_MAX: usize = 1 << 16;

/// Reads a request's body.
///
/// The whole document must be strict JSON (RFC 8259), nested at most 64 deep. Of a key that comes
/// twice the last counts, as in Go and Python. Two things are not checked, because neither Go's nor
/// Python's parser objects to them: strings that are not UTF-8, and surrogates without their other
/// half.
///
/// # Errors
/// Those of the EPP's parsers: not JSON or not an object, no prompt. A missing model is for the
/// caller to refuse, since a rewrite may bring one.
pub fn scan(body: &[u8], api: Api, video: Video) -> Result<Inference<'_>, BodyError> {
    let mut cursor = Cursor::new(body);
    let mut fields = RequestFields::new(video);
    // Behind the brace, if it is one.
    let first = cursor.place() + 1;
    match cursor.peek() {
        Some(b'{') => cursor.object(|cursor, key| fields.read(cursor, key, api.reader()))?,
        other => {
            cursor.value()?;
            cursor.end()?;
            return Err(match other {
                // Go reads null into a map, which is then empty.
                Some(b'n') => BodyError::NoPrompt(api),
                other => BodyError::NotAnObject { found: other.unwrap_or_default() },
            });
        }
    }
    cursor.end()?;
    fields.finish(first).ok_or(BodyError::NoPrompt(api))
}
