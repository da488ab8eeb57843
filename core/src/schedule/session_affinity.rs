//! A session stays where it was (EPP: session-affinity-scorer, session-affinity-filter).

use std::{net::SocketAddr, time::Duration};

use super::PickContext;
use crate::model::{InferenceRequest, SessionId};

/// The sessions of one plugin: how they are told apart, and the profile that they are kept by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionAffinity {
    /// The way in which sessions are told apart.
    pub strategy: SessionStrategy,
    /// The profile of which the choice counts; empty for the endpoint that answers (EPP:
    /// profileName).
    pub profile: String,
}

/// The way in which sessions are told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionStrategy {
    /// By a token that the response carries and the next request brings back, in the header of this
    /// name (EPP: encoded_endpoint_header). The caller of this crate seals and opens tokens:
    /// here the header has the address of the endpoint that an opened one stands for, or is left out.
    Token(String),
    /// By the client's own word (EPP: session_id).
    Id {
        /// The headers that it may be in; the first that says something counts.
        headers: Vec<String>,
        /// True if the body's word counts where no header says something.
        in_body: bool,
        /// For how long a session is kept that is not used.
        ttl: Duration,
    },
}

impl Default for SessionStrategy {
    /// Returns the default of EPP: encodedEndpointHeaderConfig.
    fn default() -> Self {
        Self::Token("x-session-token".to_owned())
    }
}

impl SessionStrategy {
    /// Returns the headers that it reads.
    pub(crate) fn headers(&self) -> &[String] {
        match self {
            Self::Token(header) => std::slice::from_ref(header),
            Self::Id { headers, .. } => headers,
        }
    }
}

impl SessionAffinity {
    /// Returns the header of the token, if sessions are kept by one.
    pub(crate) fn token_header(&self) -> Option<&str> {
        match &self.strategy {
            SessionStrategy::Token(header) => Some(header),
            SessionStrategy::Id { .. } => None,
        }
    }

    /// Returns the endpoint that the session was at; `None` for a request without a session, or for
    /// one that is not known.
    pub(crate) fn endpoint(&self, context: &PickContext<'_>) -> Option<SocketAddr> {
        match &self.strategy {
            SessionStrategy::Token(header) => context.request.header(header)?.trim().parse().ok(),
            SessionStrategy::Id { ttl, .. } => {
                context.sessions.endpoint(self.session(context.request)?, context.now, *ttl)
            }
        }
    }

    /// Returns the session by the client's own word, if it goes by that and the request has one.
    pub(crate) fn session(&self, request: &InferenceRequest) -> Option<SessionId> {
        let SessionStrategy::Id { headers, in_body, .. } = &self.strategy else { return None };
        let names = headers.iter().filter_map(|header| request.header(header).map(str::trim));
        let of_body = request.session.as_deref().filter(|_| *in_body);
        let mut names = names.chain(of_body);
        names.find(|name| !name.is_empty()).map(|name| SessionId::new(&self.profile, name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::Instant,
        pool::{Learned, Sessions},
    };

    /// As the EPP's own table for both strategies has it.
    #[test]
    fn a_request_is_kept_where_its_session_is() {
        let home = SocketAddr::from(([10, 0, 0, 1], 8000));
        let id = |headers: &[&str]| SessionStrategy::Id {
            headers: headers.iter().map(|&header| header.to_owned()).collect(),
            in_body: false,
            ttl: Duration::from_secs(300),
        };
        let both = || id(&["x-session-id", "x-agent"]);
        let mut sessions = Sessions::default();
        sessions.bind(SessionId::new("", "known"), home, Instant::default());
        for (strategy, profile, headers, found) in [
            (SessionStrategy::default(), "", vec![("x-session-token", "10.0.0.1:8000")], true),
            (SessionStrategy::default(), "", vec![("x-session-token", " 10.0.0.1:8000 ")], true),
            (SessionStrategy::default(), "", vec![("x-session-token", "nonsense")], false),
            (SessionStrategy::default(), "", vec![("x-session-id", "known")], false),
            (SessionStrategy::Token("x-t".to_owned()), "", vec![("x-t", "10.0.0.1:8000")], true),
            (both(), "", vec![("x-session-id", "known")], true),
            (both(), "", vec![("x-agent", "known")], true),
            (both(), "", vec![("x-session-id", " "), ("x-agent", "known")], true),
            (both(), "", vec![("x-session-id", "other"), ("x-agent", "known")], false),
            (both(), "", vec![("x-session-token", "10.0.0.1:8000")], false),
            (both(), "", vec![], false),
            (both(), "prefill", vec![("x-session-id", "known")], false),
        ] {
            let headers =
                headers.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
            let request =
                InferenceRequest { headers: headers.collect(), ..InferenceRequest::default() };
            let learned = Learned::default();
            let now = Instant::default();
            let context = PickContext {
                request: &request,
                now,
                quiet_for: Duration::ZERO,
                learned: &learned,
                sessions: &sessions,
                peer: None,
                stopwatch: None,
            };
            let affinity = SessionAffinity { strategy, profile: profile.to_owned() };
            assert_eq!(
                affinity.endpoint(&context),
                found.then_some(home),
                "{affinity:?}, {request:?}"
            );
        }
    }

    #[test]
    fn the_bodys_word_names_the_session_where_no_header_does() {
        let affinity = |in_body| SessionAffinity {
            strategy: SessionStrategy::Id {
                headers: vec!["x-session-id".to_owned()],
                in_body,
                ttl: Duration::from_secs(300),
            },
            profile: String::new(),
        };
        let header = |value: &str| vec![("x-session-id".to_owned(), value.to_owned())];
        for (in_body, headers, session) in [
            (true, vec![], Some("body")),
            (true, header(" "), Some("body")),
            (true, header("mine"), Some("mine")),
            (false, vec![], None),
        ] {
            let session = session.map(|name| SessionId::new("", name));
            let request = InferenceRequest {
                headers,
                session: Some("body".to_owned()),
                ..InferenceRequest::default()
            };
            assert_eq!(affinity(in_body).session(&request), session, "{in_body}: {request:?}");
        }
    }
}
