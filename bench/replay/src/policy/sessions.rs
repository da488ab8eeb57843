//! Session stickiness: the pod of a conversation's first request serves all of it; that request goes to
//! the pod with the fewest requests, as one without a session does.

use std::collections::HashMap;

use crate::peer::{Knows, Policy, View};

/// The pods of the sessions so far. A replay has some thousands of sessions, so that none is dropped.
#[derive(Debug, Default)]
pub(crate) struct Sessions(HashMap<u32, usize>);

impl Policy for Sessions {
    fn pick(&mut self, view: &mut View<'_>) -> usize {
        let session = view.request.claims.session;
        if let Some(pod) = session.and_then(|session| self.0.get(&session)) {
            return *pod;
        }
        let pod = view.least(view.pods(), |view, pod| view.load(pod).requests as f64);
        if let Some(session) = session {
            self.0.insert(session, pod);
        }
        pod
    }

    fn knows(&self) -> Knows {
        Knows::Nothing
    }
}
