//! Requirements of a plugin that others have to meet before it runs.

use super::SessionAffinity;

/// Parts of a request, and of the ledger, that a plugin reads beside the prompt and the candidates.
///
/// A plugin names them in its own file. Without a default, a new plugin cannot forget them: the
/// ledger would carry no tokens, or the request no header, and the plugin would silently see none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Needs<'a> {
    /// True if the plugin goes by the prompt tokens in flight, which the ledger then counts.
    pub(crate) tokens: bool,
    /// Headers that the plugin reads, in lower case.
    pub(crate) headers: &'a [String],
    /// Sessions that the plugin keeps.
    pub(crate) session: Option<&'a SessionAffinity>,
}

impl<'a> Needs<'a> {
    /// Needs of a plugin that goes by the candidates alone.
    pub(crate) const NOTHING: Self = Self { tokens: false, headers: &[], session: None };

    /// Needs of a plugin that goes by the prompt tokens in flight.
    pub(crate) const TOKENS: Self = Self { tokens: true, ..Self::NOTHING };

    /// Returns the needs of a plugin that reads one header.
    pub(crate) const fn header(header: &'a String) -> Self {
        Self { headers: std::slice::from_ref(header), ..Self::NOTHING }
    }

    /// Returns the needs of a plugin that keeps sessions, which their strategy finds in headers.
    pub(crate) fn session(session: &'a SessionAffinity) -> Self {
        let headers = session.strategy.headers();
        Self { headers, session: Some(session), ..Self::NOTHING }
    }
}
