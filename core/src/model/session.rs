//! Sessions of clients that name theirs.

use super::prompt::digest_all;

/// Names a session: a client's own word for it, among those of one plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SessionId(pub u64);

impl SessionId {
    /// Returns the session that a client names so. A profile has sessions of its own, so that
    /// prefill and decode are each kept at theirs.
    #[must_use]
    pub fn new(profile: &str, name: &str) -> Self {
        let of_profile = digest_all(0, profile.as_bytes());
        Self(digest_all(of_profile, name.as_bytes()))
    }
}
