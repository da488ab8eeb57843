//! A session stays where it was (EPP: session-affinity-scorer).

use super::plugin::{ScorerPlugin, each};
use crate::{
    model::Score,
    pool::Candidate,
    schedule::{Needs, PickContext, SessionAffinity},
};

impl ScorerPlugin for SessionAffinity {
    fn needs(&self) -> Needs<'_> {
        Needs::session(self)
    }

    /// Scores 1 for the session's own endpoint, 0 for the others.
    fn score_all(
        &self,
        context: &PickContext<'_>,
        candidates: &[Candidate<'_>],
        scores: &mut Vec<Score>,
    ) {
        let pinned = self.endpoint(context);
        each(candidates, scores, |candidate| {
            if Some(candidate.member.address) == pinned { Score::ONE } else { Score::ZERO }
        });
    }
}
