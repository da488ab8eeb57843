//! The choice for requests that compute nothing, such as health checks: any endpoint serves them.

use super::{Pick, Scheduler};
use crate::{
    ledger::Ledger,
    model::{InferenceRequest, Instant, PickError, SchedulingResult},
    pool::{Candidate, prefix::Matches},
};

impl Scheduler {
    /// Chooses endpoints by chance, from those that [`Self::decide`] would choose from. What profiles
    /// and admitters say does not count, as it is about prompts.
    ///
    /// # Errors
    /// If there is nothing to choose from.
    pub fn direct(
        &mut self,
        now: Instant,
        request: &InferenceRequest,
    ) -> Result<SchedulingResult, PickError> {
        let ledger = Ledger::default();
        let matches = Matches::default();
        let pick = Pick { now, request, ledger: &ledger, matches: &matches, stopwatch: None };
        let mut rng = self.rng.clone();
        let mut candidates = self.candidates(pick)?;
        let _ = self.outliers.narrow(now, &mut candidates);
        let is_home = |candidate: &Candidate<'_>| Some(candidate.member.address) == request.home;
        if candidates.iter().any(is_home) {
            candidates.retain(is_home);
        }
        let result = self.config.scheduling.direct(&candidates, &mut rng);
        self.rng = rng;
        result
    }
}
