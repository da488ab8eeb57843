//! The endpoint that each session is kept at, of clients that name theirs (EPP:
//! session-affinity-scorer and -filter, strategy session_id).

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use crate::model::{Instant, SessionId};

/// The sessions of one pool.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sessions {
    young: BTreeMap<SessionId, Binding>,
    /// Sessions that were not used since `young` began; the next time it is full they are
    /// forgotten.
    old: BTreeMap<SessionId, Binding>,
}

#[derive(Clone, Copy, Debug)]
struct Binding {
    endpoint: SocketAddr,
    used_at: Instant,
}

impl Sessions {
    /// Sessions of a generation. Two of them, of 80 bytes a session, are 10 MB a worker; a session
    /// that is forgotten goes by load once, and is kept from then on.
    const GENERATION: usize = 65_536;

    /// Returns the endpoint that a session is kept at, unless it was unused for longer than `ttl`.
    pub(crate) fn endpoint(
        &self,
        session: SessionId,
        now: Instant,
        ttl: Duration,
    ) -> Option<SocketAddr> {
        let binding = self.young.get(&session).or_else(|| self.old.get(&session))?;
        (now.saturating_since(binding.used_at) <= ttl).then_some(binding.endpoint)
    }

    /// Keeps a session there from now on, and notes its use.
    pub(crate) fn bind(&mut self, session: SessionId, endpoint: SocketAddr, used_at: Instant) {
        if self.young.len() >= Self::GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(session, Binding { endpoint, used_at });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(300);

    fn endpoint(last: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, last], 8000))
    }

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn a_session_is_kept_while_it_is_used() {
        let mut sessions = Sessions::default();
        let session = SessionId::new("", "a");
        assert_eq!(sessions.endpoint(session, at(0), TTL), None);
        sessions.bind(session, endpoint(1), at(0));
        assert_eq!(sessions.endpoint(session, at(300), TTL), Some(endpoint(1)));
        assert_eq!(sessions.endpoint(session, at(301), TTL), None);
        sessions.bind(session, endpoint(1), at(200));
        assert_eq!(sessions.endpoint(session, at(500), TTL), Some(endpoint(1)));
        sessions.bind(session, endpoint(2), at(500));
        assert_eq!(sessions.endpoint(session, at(500), TTL), Some(endpoint(2)));
    }

    #[test]
    fn profiles_have_sessions_of_their_own() {
        assert_ne!(SessionId::new("", "a"), SessionId::new("prefill", "a"));
        assert_ne!(SessionId::new("", "a"), SessionId::new("", "b"));
    }

    #[test]
    fn the_unused_are_forgotten_before_there_are_too_many() {
        let mut sessions = Sessions::default();
        let session = |number: usize| SessionId(number as u64);
        for number in 0..5 * Sessions::GENERATION {
            sessions.bind(session(number), endpoint(1), at(0));
            if number % 50_000 == 0 {
                sessions.bind(session(7), endpoint(7), at(0));
            }
            assert!(sessions.young.len() + sessions.old.len() <= 2 * Sessions::GENERATION);
        }
        assert_eq!(sessions.endpoint(session(7), at(0), TTL), Some(endpoint(7)), "it was used");
        assert_eq!(sessions.endpoint(session(8), at(0), TTL), None);
    }
}
