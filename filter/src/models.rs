//! The two names that a model may have: the client's and the server's.

/// The model that a request asks for, and the one that it is sent to.
#[derive(Clone, Default)]
pub(crate) struct Models {
    pub(crate) asked: String,
    pub(crate) sent: String,
    /// Name of the rule that sends one as the other, if it was a rule.
    pub(crate) rewrite: Option<String>,
}

impl Models {
    /// True if the client knows the model by another name than the server.
    pub(crate) fn are_renamed(&self) -> bool {
        self.asked != self.sent && !self.asked.is_empty()
    }
}
