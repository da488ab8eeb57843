//! The endpoints that a request may go to.

use super::{Pick, Scheduler};
use crate::{
    model::{InferenceRequest, PickError},
    pool::{Candidate, Sent},
};

impl Scheduler {
    /// Returns the endpoints that a request may go to, ejected ones among them.
    pub(super) fn candidates(&self, pick: Pick<'_>) -> Result<Vec<Candidate<'_>>, PickError> {
        let Pick { now, request, ledger, matches, .. } = pick;
        let pool = self.pool.as_ref().ok_or(PickError::NoSnapshot)?;
        let stale_after = self.config.stale_after;
        let sent = Sent { own: &ledger.accounts, others: self.others.as_deref() };
        let mut candidates = pool.candidates(now, stale_after, sent, matches);
        if self.config.output_estimate.counts_as_load() {
            candidates.iter_mut().for_each(|candidate| candidate.token_load = candidate.holds);
        }
        narrow(&mut candidates, request);
        Ok(candidates)
    }
}

/// Leaves the endpoints that the request may go to: those of its subset, and of them those that are
/// up, or all if none is, since a scraper that is cut off sees every endpoint down. If its home is among
/// them, no other answers; others may compute its prompt.
fn narrow(candidates: &mut Vec<Candidate<'_>>, request: &InferenceRequest) {
    if let Some(subset) = &request.subset {
        candidates.retain(|candidate| subset.contains(candidate.member.address));
    }
    let up = candidates.iter().filter(|candidate| candidate.is_up).count();
    if (1..candidates.len()).contains(&up) {
        candidates.retain(|candidate| candidate.is_up);
    }
    let is_home = |candidate: &Candidate<'_>| Some(candidate.member.address) == request.home;
    if candidates.iter().any(is_home) {
        candidates.retain(|candidate| is_home(candidate) || !candidate.member.roles.decodes());
    }
}
