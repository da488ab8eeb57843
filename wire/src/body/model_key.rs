//! The key of a request's model.

/// Key of the model in requests and in answers, which all dialects share: read in a request, its
/// value replaced where a model is rewritten, and put back in the answer.
pub(super) const MODEL_KEY: &[u8] = b"model";

/// The same key as JSON.
pub(crate) const MODEL_KEY_JSON: &str = "\"model\"";
