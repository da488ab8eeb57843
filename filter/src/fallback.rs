//! A request's way from its own pool to the one that takes it in that one's place.

use wire::tally::FallbackReason;

/// A request's way from its own pool to a fallback.
#[derive(Clone, Debug)]
pub(crate) struct FellBack {
    /// Name of its own pool.
    pub(crate) from: String,
    /// Reason why that did not take it.
    pub(crate) reason: FallbackReason,
}

impl FellBack {
    /// Appends the way to a decision header. The name of a pool is plain in a header value.
    pub(crate) fn push_to(&self, text: &mut String) {
        text.push_str(";fallback-from=");
        text.push_str(&self.from);
        text.push_str(";fallback-reason=");
        text.push_str(self.reason.name());
    }
}
