//! A session stays where it was (EPP: session-affinity-scorer, session-affinity-filter; strategy
//! encoded_endpoint_header).

use std::net::SocketAddr;

use crate::Ask;

/// The session is a token that the response carries and the next request brings back. It is the
/// endpoint's address, which clients need not understand. Whoever makes one up chooses among the
/// pool's endpoints and no others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionAffinity {
    /// The header with the token, in lower case.
    pub header: String,
}

impl Default for SessionAffinity {
    /// EPP: encodedEndpointHeaderConfig.
    fn default() -> Self {
        Self { header: "x-session-token".to_owned() }
    }
}

impl SessionAffinity {
    /// Where the session was; `None` without a token or for one that says nothing.
    pub(crate) fn endpoint(&self, ask: &Ask) -> Option<SocketAddr> {
        ask.header(&self.header)?.trim().parse().ok()
    }
}
