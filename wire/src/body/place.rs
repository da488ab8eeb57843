//! The place of a request's model in its body, so that another can be put there.

use std::ops::Range;

use super::model_key::MODEL_KEY_JSON;

/// Place of a request's model in its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// JSON value of the key, by its bytes.
    Value(Range<usize>),
    /// Absent: a model can be put first into the object, in front of this byte.
    Before(usize),
    /// Value of a form's part, by its bytes.
    Text(Range<usize>),
    /// None: the body has no place for a model.
    Nowhere,
}

impl Place {
    /// Puts `model` there; all other bytes of the body stay as they are. Only for the body that the
    /// place was read from.
    pub fn put(&self, body: &mut Vec<u8>, model: &str) {
        // Text always serialises.
        let name = || serde_json::to_string(model).unwrap_or_default();
        let (range, member) = match self {
            Self::Value(range) => (range.clone(), name()),
            Self::Before(at) => {
                let rest = body.get(*at..).unwrap_or_default().trim_ascii_start();
                let comma = if rest.starts_with(b"}") { "" } else { "," };
                (*at..*at, format!("{MODEL_KEY_JSON}:{}{comma}", name()))
            }
            Self::Text(range) => (range.clone(), model.to_owned()),
            Self::Nowhere => return,
        };
        if range.end <= body.len() {
            body.splice(range, member.into_bytes());
        } else {
            debug_assert!(false, "a place beyond the body");
        }
    }
}
