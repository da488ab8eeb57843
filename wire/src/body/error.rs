//! Why a body was refused.

use std::fmt;

/// Why a body was refused; the client gets a 400 with this text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// Not a JSON object.
    Malformed {
        /// What would have been right here.
        expected: &'static str,
        /// What is here instead; `None` is the end of the body.
        found: Option<u8>,
        /// Where: a byte's index from 0.
        at: usize,
    },
    /// A chat request without a list of messages.
    NoMessages,
    /// A completions request without a prompt.
    NoPrompt,
    /// `model` is absent, empty or not a string.
    NoModel,
}

impl std::error::Error for BodyError {}

impl fmt::Display for BodyError {
    /// The EPP's wording, since clients and dashboards match on it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (expected, found, at) = match *self {
            Self::Malformed { expected, found, at } => (expected, found, at),
            Self::NoMessages => {
                return f
                    .write_str("invalid chat completions request: must have valid messages field");
            }
            Self::NoPrompt => {
                return f.write_str("invalid completions request: must have prompt field");
            }
            Self::NoModel => return f.write_str("model not found in request body"),
        };
        write!(f, "error unmarshaling request bodyMap: expected {expected}, found ")?;
        match found {
            Some(byte @ b' '..=b'~') => write!(f, "'{}'", char::from(byte))?,
            Some(byte) => write!(f, "byte {byte:#04x}")?,
            None => f.write_str("the end")?,
        }
        write!(f, " at byte {at}")
    }
}
