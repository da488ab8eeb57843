//! Request bodies, read in one pass: no tree is built and the prompt is not copied.
//!
//! The prompt comes out as slices of the body, with its JSON escapes as the client wrote them. Two
//! requests share a prefix when they share these bytes; one client library escapes equal text
//! equally, so nothing is lost by leaving it escaped, and unescaping 220 KB would cost more than
//! all the rest.

// The dialects and the fields that they read.
mod dialect;
mod fields;
mod form;
mod messages;
mod model_key;
mod multipart;
mod part;
mod prompt;

// The result, and the request to the scheduler that it makes.
mod ask;
mod error;
mod output;
mod piece;
mod place;
mod sections;
mod session;

// The pass over the bytes.
mod cursor;
mod image;
mod number;
mod size;
mod text;

use std::borrow::Cow;

use cursor::Cursor;
use fields::RequestFields;

pub use ask::HashRules;
pub use dialect::{Api, Dialect, Parser};
pub use error::BodyError;
pub use form::Form;
pub use multipart::scan_form;
pub use output::OutputWishes;
pub use piece::{Piece, Video};
pub use place::Place;
pub use sections::Sections;
pub use size::MODEL_BYTES_MAX;

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
    /// The client's word for the session: `prompt_cache_key`, or the session in `metadata.user_id`.
    pub session: Option<String>,
    /// Name of what the request goes on from, which one pod keeps: `previous_response_id`, `conversation`, a batch's
    /// `input_file_id`, or the request that `rid` of an abort names.
    pub goes_on_from: Option<&'a [u8]>,
    /// The client's own name for this request (SGLang: `rid`), by which it may abort it.
    pub own_name: Option<&'a [u8]>,
    /// True if the answer is to come as server-sent events.
    pub stream: bool,
    /// True if the last event is to report usage (`stream_options.include_usage`).
    pub include_usage: bool,
    /// Limit on output tokens of a choice, if there is one: at most the longest context of models.
    pub max_tokens: Option<u64>,
    /// Wishes that bound or hide what the answer tells of its cost.
    pub output: OutputWishes,
    /// Prompt, at most [`PIECES_MAX`] pieces, with tools and documents in front of all messages.
    pub prompt: Vec<Piece<'a>>,
    /// Sections of the prompt that a chat template may have elsewhere.
    pub sections: Sections<'a>,
}

/// True for a body in UTF-16 or UTF-32, which Python's parser takes and this one does not: no JSON in UTF-8
/// has a zero within its first two bytes, or begins with such a mark.
#[must_use]
pub fn is_wide(body: &[u8]) -> bool {
    matches!(body, [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, ..] | [_, 0, ..])
}

impl Inference<'_> {
    /// Returns what is known of a body that cannot be read.
    #[must_use]
    pub fn unread() -> Self {
        Self {
            model: None,
            place: Place::Nowhere,
            cache_salt: None,
            session: None,
            goes_on_from: None,
            own_name: None,
            stream: false,
            include_usage: false,
            max_tokens: None,
            output: OutputWishes::default(),
            prompt: Vec::new(),
            sections: Sections::default(),
        }
    }
}

/// Pieces of a prompt that are kept: a megabyte in wasm32. Pieces beyond are checked but not
/// hashed, so that two longer prompts are told apart by their first 65,536 pieces.
pub const PIECES_MAX: usize = 1 << 16;

/// Reads a request's body.
///
/// The whole document must be JSON (RFC 8259) as Python's parser takes it, which most engines use: a
/// byte order mark may stand in front, and `NaN`, `Infinity` and `-Infinity` are numbers. It may be nested
/// 1,000 deep. Of a key that comes twice the last counts, as in Go and Python. Two things are not
/// checked, because neither Go's nor Python's parser objects to them: strings that are not UTF-8, and
/// surrogates without their other half. A third is left to the engine, which objects: escapes that mean
/// nothing, but for those in keys and in the model.
///
/// # Errors
/// Those of the EPP's parsers: not JSON or not an object, no prompt where nothing else may stand for it.
/// A model may be missing: it is the server's only one then.
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
                Some(b'n') if api.no_prompt().is_some() => BodyError::NoPrompt(api),
                other => BodyError::NotAnObject { found: other.unwrap_or_default() },
            });
        }
    }
    cursor.end()?;
    fields.finish(api, first).ok_or(BodyError::NoPrompt(api))
}
