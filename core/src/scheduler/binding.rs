//! Sessions that clients name, each bound to an endpoint.

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
    /// Binds the request's sessions to the chosen endpoints. A session keeps its own endpoint if that
    /// takes requests: it was passed over for this request alone.
    pub(super) fn bind_sessions(
        &mut self,
        at: Instant,
        request: &InferenceRequest,
        result: &SchedulingResult,
    ) -> Vec<PlacementEvent> {
        let Some(chosen) = result.ranked.first().copied() else { return Vec::new() };
        let scheduling = &self.config.scheduling;
        let sessions = scheduling.session_ids(request, chosen, result.prefiller());
        let context = self.context(at, request);
        let bound = sessions.filter_map(|(id, session, endpoint)| {
            let home = session.endpoint(&context).filter(|home| self.takes(*home));
            home.is_none_or(|home| home == endpoint).then_some((id, endpoint))
        });
        // A filter and a scorer of the same session bind it once.
        let bound = bound.fold(Vec::new(), |mut all: Vec<(SessionId, SocketAddr)>, one| {
            if !all.contains(&one) {
                all.push(one);
            }
            all
        });
        let emit = |(id, endpoint)| self.emit(at, endpoint, Chain::default(), EventKind::Bound(id));
        bound.into_iter().flat_map(emit).collect()
    }

    /// True if requests may go to this endpoint: it is up and not ejected.
    fn takes(&self, endpoint: SocketAddr) -> bool {
        let member = |pool: &Pool| {
            pool.members().iter().any(|it| it.address == endpoint && it.health == Health::Up)
        };
        let is_there = self.pool.as_ref().is_some_and(member);
        is_there && !self.ejects(endpoint)
    }
}
