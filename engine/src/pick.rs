//! Chooses where one request goes: candidates, scorers, picker.

mod decision;
mod picker;

pub use decision::{Decision, NoPick};
pub use picker::{Picker, UnknownPicker};

use std::time::Duration;

use crate::{
    Instant,
    pool::{Member, Pool},
    prefix::Matches,
    rng::Rng,
    score::{Candidate, Profile, Score, Scorer},
};

/// All that a choice depends on, chance aside.
#[derive(Debug)]
pub(crate) struct Pick<'a> {
    pub(crate) profile: &'a Profile,
    pub(crate) pool: &'a Pool,
    /// What is in flight on each of its members, in their order.
    pub(crate) in_flight: &'a [u32],
    pub(crate) matches: &'a Matches,
    /// Blocks in the prompt.
    pub(crate) blocks: u32,
    pub(crate) now: Instant,
    /// The age from which on an endpoint's metrics say nothing.
    pub(crate) stale_after: Duration,
}

impl Pick<'_> {
    /// Ranks the endpoints.
    pub(crate) fn choose(&self, rng: &mut Rng) -> Result<Decision, NoPick> {
        let members: Vec<(&Member, u32)> = self.pool.eligible(self.in_flight).collect();
        let candidates: Vec<Candidate> =
            members.iter().map(|(member, in_flight)| self.candidate(member, *in_flight)).collect();
        let table = self.table(&candidates);
        let totals = self.totals(&table, candidates.len());
        let ranking = self.profile.picker.rank(&totals, rng);

        let first = ranking.first().copied().ok_or(NoPick::NoEndpoints)?;
        let (best, _) = members.get(first).ok_or(NoPick::NoEndpoints)?;
        let score = |(scorer, scores): &(Scorer, Vec<Score>)| {
            scores.get(first).map(|score| (*scorer, *score))
        };
        let address = |place: &usize| members.get(*place).map(|(member, _)| member.address);
        Ok(Decision {
            ranked: ranking.iter().filter_map(address).collect(),
            scores: table.iter().filter_map(score).collect(),
            total: totals.get(first).copied().unwrap_or(0.0),
            age: best.age(self.now),
            matched: self.matches.blocks(best.slot),
            blocks: self.blocks,
        })
    }

    fn candidate(&self, member: &Member, in_flight: u32) -> Candidate {
        Candidate {
            slot: member.slot,
            load: member.load(self.now, self.stale_after, in_flight),
            matched: self.matches.blocks(member.slot),
        }
    }

    /// The scores of each scorer for each candidate.
    fn table(&self, candidates: &[Candidate]) -> Vec<(Scorer, Vec<Score>)> {
        let scores = |scorer: Scorer| (scorer, scorer.scores(candidates, self.blocks));
        self.profile.scorers.iter().map(|weighted| scores(weighted.scorer)).collect()
    }

    /// The weighted sum for each candidate.
    fn totals(&self, table: &[(Scorer, Vec<Score>)], candidates: usize) -> Vec<f64> {
        let mut totals = vec![0.0; candidates];
        for (weighted, (_, scores)) in self.profile.scorers.iter().zip(table) {
            for (total, score) in totals.iter_mut().zip(scores) {
                *total += weighted.weight.get() * score.get();
            }
        }
        totals
    }
}
