//! Session tokens: opened on a request's way in, sealed on its answer's way out.

use std::net::SocketAddr;

use picker_core::InferenceRequest;
use wire::session::SessionPlace;

use crate::{counters::Counters, host, pool::Pool, session_key};

/// Puts the endpoints of a request's tokens in their place. A token that was not sealed here is ignored and
/// counted.
pub(crate) fn open(pool: &Pool, request: &mut InferenceRequest, counters: &Counters) {
    if !pool.has_tokens {
        return;
    }
    let scheduling = &pool.config.scheduler.scheduling;
    request.headers.retain_mut(|(name, value)| {
        let mut profiles = scheduling.token_sessions().filter(|(header, _)| header == name);
        let Some(first) = profiles.next() else { return true };
        if value.trim().is_empty() {
            return false;
        }
        let opened = session_key::shared().and_then(|key| {
            let mut places = [first].into_iter().chain(profiles);
            places.find_map(|(header, profile)| key.open(value, place(pool, header, profile)))
        });
        if let Some(endpoint) = opened {
            *value = endpoint.to_string();
        } else {
            counters.session_tokens_ignored.add(1);
        }
        opened.is_some()
    });
}

/// Has the client's session come back to the endpoint that served it.
pub(crate) fn seal(pool: &Pool, served_by: SocketAddr, prefill: Option<SocketAddr>) {
    if !pool.has_tokens {
        return;
    }
    let Some(key) = session_key::shared() else { return };
    let scheduling = &pool.config.scheduler.scheduling;
    for (header, profile, endpoint) in scheduling.sessions_kept(served_by, prefill) {
        let token = key.seal(endpoint, place(pool, header, profile), host::random());
        host::set_response_header(header, &token);
    }
}

fn place<'a>(pool: &'a Pool, header: &'a str, profile: &'a str) -> SessionPlace<'a> {
    SessionPlace { pool: &pool.config.name, header, profile }
}
