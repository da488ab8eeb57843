//! Where a request's model is in its body, so that another can be put there.

use std::ops::Range;

use super::dialect::MODEL_KEY_JSON;

/// Where a request's model is in its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The JSON value of the key, by its bytes.
    Value(Range<usize>),
    /// Nowhere: it can come first in the object, whose first byte is this one.
    Before(usize),
}

impl Place {
    /// Puts `model` there; all other bytes of the body stay as they are. For the body that was read
    /// only.
    pub fn put(&self, body: &mut Vec<u8>, model: &str) {
        // Text always serialises.
        let name = serde_json::to_string(model).unwrap_or_default();
        let (range, member) = match self {
            Self::Value(range) => (range.clone(), name),
            Self::Before(at) => {
                let rest = body.get(*at..).unwrap_or_default().trim_ascii_start();
                let comma = if rest.starts_with(b"}") { "" } else { "," };
                (*at..*at, format!("{MODEL_KEY_JSON}:{name}{comma}"))
            }
        };
        if range.end <= body.len() {
            body.splice(range, member.into_bytes());
        } else {
            debug_assert!(false, "a place beyond the body");
        }
    }
}
