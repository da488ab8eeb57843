//! Where the sessions that clients name are kept.

use std::net::SocketAddr;

use super::Scheduler;
use crate::{
    model::{
        Chain, EventKind, Health, InferenceRequest, Instant, PlacementEvent, SchedulingResult,
        SessionId,
    },
    pool::Pool,
};

impl Scheduler {
    /// Keeps the request's sessions at who was chosen, but those whose own endpoint could have been:
    /// it was passed over for once.
    pub(super) fn bind_sessions(
        &mut self,
        at: Instant,
        ask: &InferenceRequest,
        decision: &SchedulingResult,
    ) -> Vec<PlacementEvent> {
        let Some(chosen) = decision.ranked.first().copied() else { return Vec::new() };
        let scheduling = &self.config.scheduling;
        let sessions = scheduling.session_ids(ask, chosen, decision.prefiller());
        let scene = self.scene(at, ask);
        let bound = sessions.filter_map(|(id, session, endpoint)| {
            let home = session.endpoint(&scene).filter(|home| self.takes(*home, at));
            home.is_none_or(|home| home == endpoint).then_some((id, endpoint))
        });
        let bound: Vec<(SessionId, SocketAddr)> = bound.collect();
        let tell = |(id, endpoint)| self.told(at, endpoint, Chain::default(), EventKind::Bound(id));
        bound.into_iter().flat_map(tell).collect()
    }

    /// Whether requests may go there.
    fn takes(&self, endpoint: SocketAddr, now: Instant) -> bool {
        let member = |pool: &Pool| {
            pool.members().iter().any(|it| it.address == endpoint && it.health == Health::Up)
        };
        let is_there = self.pool.as_ref().is_some_and(member);
        is_there && self.slot(endpoint).is_some_and(|slot| !self.avoidance.avoids(slot, now))
    }
}
