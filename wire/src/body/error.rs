//! The error of a body that is refused.

use std::fmt;

use super::Api;

/// Error of a body that is refused; the client gets a 400 with this text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// Not JSON.
    Malformed {
        /// Thing that was being read, in the words of Go's encoding/json.
        place: &'static str,
        /// Byte that was found; `None` is the end of the body.
        found: Option<u8>,
        /// Index of that byte from 0.
        at: usize,
    },
    /// A word that is none of true, false and null.
    Literal {
        /// Word that it began as.
        word: &'static [u8],
        /// Byte of the word that would have been right.
        expected: u8,
        /// Byte that was found instead; `None` is the end of the body.
        found: Option<u8>,
        /// Index of that byte from 0.
        at: usize,
    },
    /// Nested deeper than 1,000 levels.
    TooDeep {
        /// Index of that byte from 0.
        at: usize,
    },
    /// JSON, but no object.
    NotAnObject {
        /// First byte of the value.
        found: u8,
    },
    /// No prompt where the API has it.
    NoPrompt(Api),
}

impl std::error::Error for BodyError {}

impl fmt::Display for BodyError {
    /// Writes the EPP's wording, since clients and dashboards match on it: for a body that is no
    /// JSON that of Go's encoding/json, with the place behind it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (found, at) = match *self {
            Self::NoPrompt(api) => return f.write_str(api.no_prompt().unwrap_or_default()),
            Self::Malformed { found, at, .. } | Self::Literal { found, at, .. } => (found, at),
            Self::TooDeep { at } => {
                return write!(f, "{UNMARSHALING}exceeded max depth (byte {at})");
            }
            Self::NotAnObject { found } => {
                let kind = kind(found);
                return write!(
                    f,
                    "{UNMARSHALING}json: cannot unmarshal {kind} into Go value of type \
                     map[string]interface {{}}"
                );
            }
        };
        f.write_str(UNMARSHALING)?;
        let Some(found) = found else {
            return write!(f, "unexpected end of JSON input (byte {at})");
        };
        write!(f, "invalid character {} ", quoted(found))?;
        if let Self::Malformed { place, .. } = *self {
            f.write_str(place)?;
        }
        if let Self::Literal { word, expected, .. } = *self {
            let word = String::from_utf8_lossy(word);
            write!(f, "in literal {word} (expecting '{}')", char::from(expected))?;
        }
        write!(f, " (byte {at})")
    }
}

const UNMARSHALING: &str = "error unmarshaling request bodyMap: ";

/// Returns a byte as Go quotes it: as the character with its number.
fn quoted(byte: u8) -> String {
    match byte {
        b'\'' => r"'\''".to_owned(),
        b'"' => "'\"'".to_owned(),
        0x07 => r"'\a'".to_owned(),
        0x08 => r"'\b'".to_owned(),
        0x0b => r"'\v'".to_owned(),
        0x0c => r"'\f'".to_owned(),
        b'\n' | b'\r' | b'\t' | b'\\' => format!("'{}'", char::from(byte).escape_default()),
        0..0x20 | 0x7f => format!("'\\x{byte:02x}'"),
        0x80..=0xa0 | 0xad => format!("'\\u00{byte:02x}'"),
        _ => format!("'{}'", char::from(byte)),
    }
}

/// Returns the type of a JSON value by its first byte, in Go's words.
const fn kind(first: u8) -> &'static str {
    match first {
        b'[' => "array",
        b'"' => "string",
        b't' | b'f' => "bool",
        b'n' => "null",
        _ => "number",
    }
}
