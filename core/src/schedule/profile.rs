//! Filters, then scorers, then a picker.

use std::fmt;

use super::{Explained, ExtensionPoint, Needs, PickContext, Picker, ProfileExplanation};
use crate::{
    model::{
        EndpointObservation, InferenceRequest, Instant, PickError, Reasons, Rng, SchedulingResult,
        Score,
    },
    pool::Candidate,
    schedule::{
        filter::Filter,
        score::{EstimatedTtft, PrefixCache, Scorer, ScorerWeight},
    },
};

/// The plugins that make one choice (EPP: SchedulingProfile).
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// Name by which a handler and the configuration refer to it.
    pub name: String,
    /// Applied in order, each to what the one before it kept.
    pub filters: Vec<Filter>,
    /// Scorers of which the weighted sum ranks what is left; without any, all are equal.
    pub scorers: Vec<WeightedScorer>,
    /// Takes from the ranking.
    pub picker: Picker,
}

/// A scorer and how much it counts.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightedScorer {
    /// The scorer.
    pub scorer: Scorer,
    /// Factor of its score.
    pub weight: ScorerWeight,
}

impl Default for Profile {
    /// Returns the least time to a first token, which in the replay of published traffic came
    /// before the EPP's own weights and its token-aware guide at nearly every load.
    fn default() -> Self {
        let scorer = Scorer::EstimatedTtft(EstimatedTtft::default());
        Self::scored("default", vec![WeightedScorer { scorer, weight: ScorerWeight::ONE }])
    }
}

impl Profile {
    /// Returns the profile of an EPP without any configuration, but with fallbacks (see
    /// [`Picker`]).
    #[must_use]
    pub fn of_the_epp() -> Self {
        let weighted =
            |scorer, weight| WeightedScorer { scorer, weight: ScorerWeight::whole(weight) };
        let prefix = Scorer::PrefixCache(PrefixCache::default());
        let scorers = vec![
            weighted(Scorer::Queue, 2),
            weighted(Scorer::KvCacheUtilization, 2),
            weighted(prefix, 3),
        ];
        Self::scored("default", scorers)
    }

    /// Makes a profile without filters, with the default picker.
    #[must_use]
    pub fn scored(name: &str, scorers: Vec<WeightedScorer>) -> Self {
        Self { name: name.to_owned(), filters: Vec::new(), scorers, picker: Picker::default() }
    }
}

/// The result of a profile (EPP: ProfileRunResult).
#[derive(Clone, Debug)]
pub(crate) struct ProfileRunResult<'a> {
    /// Candidates that the picker took, best first; never empty.
    pub(crate) ranked: Vec<Candidate<'a>>,
    /// Score of the first of them by each scorer.
    pub(crate) scores: Vec<(&'static str, Score)>,
    /// Weighted sum of the scores.
    pub(crate) total: f64,
    /// Reasons of the choice.
    pub(crate) reasons: Reasons,
    /// True if none of the candidates had any of the prompt.
    pub(crate) cold: bool,
}

impl<'a> ProfileRunResult<'a> {
    /// Returns the chosen one.
    pub(crate) fn best(&self) -> Option<&Candidate<'a>> {
        self.ranked.first()
    }

    /// Returns the choice of this profile alone.
    pub(crate) fn result(
        &self,
        request: &InferenceRequest,
        now: Instant,
    ) -> Result<SchedulingResult, PickError> {
        let best = self.best().ok_or(PickError::NoEndpoints)?;
        Ok(SchedulingResult {
            ranked: self.ranked.iter().map(|candidate| candidate.member.address).collect(),
            through: None,
            headers: Vec::new(),
            prefill: None,
            scores: self.scores.clone(),
            total: self.total,
            age: best.member.age(now),
            blocks: request.chain.blocks,
            sight: self.observation(best, request),
            reasons: Some(Box::new(self.reasons.clone())),
        })
    }

    /// Returns what was known of the chosen one.
    pub(crate) fn observation(
        &self,
        best: &Candidate<'_>,
        request: &InferenceRequest,
    ) -> EndpointObservation {
        EndpointObservation { cold: self.cold, ..best.observation(request) }
    }
}

/// The scores of all candidates.
#[derive(Debug)]
pub(crate) struct Table {
    /// The scores of the first scorer for each candidate, then those of the second, and so on.
    scores: Vec<Score>,
    /// The weighted sum for each candidate.
    totals: Vec<f64>,
}

impl Table {
    /// Returns the score of the candidate at `place` by each scorer.
    fn at(&self, place: usize) -> impl Iterator<Item = Score> {
        self.scores.chunks(self.totals.len().max(1)).filter_map(move |of| of.get(place).copied())
    }

    fn total(&self, place: usize) -> f64 {
        self.totals.get(place).copied().unwrap_or(0.0)
    }
}

impl Profile {
    /// Ranks the candidates.
    pub(crate) fn run<'a>(
        &self,
        context: &PickContext<'_>,
        mut candidates: Vec<Candidate<'a>>,
        rng: &mut Rng,
    ) -> Result<ProfileRunResult<'a>, PickError> {
        if candidates.is_empty() {
            return Err(PickError::NoEndpoints);
        }
        // Before the filters: a match that a filter drops is still one that the pool has.
        let cold = candidates.iter().all(|candidate| candidate.matched == 0);
        let mut reasons = Reasons { candidates: number(candidates.len()), ..Reasons::default() };
        for filter in &self.filters {
            let before = candidates.len();
            context.run(
                ExtensionPoint::Filter,
                || filter.name(),
                || filter.apply(context, &mut candidates, rng),
            );
            if candidates.is_empty() {
                return Err(PickError::Filtered(filter.name()));
            }
            if candidates.len() < before {
                reasons.dropped.push((filter.name(), number(before - candidates.len())));
            }
        }
        let table = self.table(context, &candidates);
        let places = context.run(
            ExtensionPoint::Picker,
            || self.picker.name(),
            || self.picker.rank(&table.totals, rng),
        );
        let first = places.first().copied().ok_or(PickError::NoEndpoints)?;
        let names = self.scorers.iter().map(|weighted| weighted.scorer.short_name());
        let ranked: Vec<Candidate<'a>> =
            places.iter().filter_map(|place| candidates.get(*place).copied()).collect();
        let mut expected = ranked.iter().map(|it| (it.member.address, context.expectation(it)));
        reasons.chosen = expected.next().map(|(_, expectation)| expectation).unwrap_or_default();
        reasons.runner_up = expected.next();
        Ok(ProfileRunResult {
            ranked,
            scores: names.zip(table.at(first)).collect(),
            total: table.total(first),
            reasons,
            cold,
        })
    }

    /// Returns the needs of each plugin.
    pub(crate) fn needs(&self) -> impl Iterator<Item = Needs<'_>> {
        let scorers = self.scorers.iter().map(|weighted| weighted.scorer.needs());
        self.filters.iter().map(Filter::needs).chain(scorers)
    }

    fn table(&self, context: &PickContext<'_>, candidates: &[Candidate<'_>]) -> Table {
        let count = candidates.len();
        let mut scores = Vec::with_capacity(count * self.scorers.len());
        let mut totals = vec![0.0; count];
        for WeightedScorer { scorer, weight } in &self.scorers {
            let before = scores.len();
            context.run(
                ExtensionPoint::Scorer,
                || scorer.name(),
                || scorer.score(context, candidates, &mut scores),
            );
            debug_assert_eq!(scores.len() - before, count, "a score for each candidate");
            for (total, score) in totals.iter_mut().zip(scores.iter().skip(before)) {
                *total += weight.get() * score.get();
            }
        }
        Table { scores, totals }
    }

    /// Explains every candidate with every score, also those that a filter dropped or that were not
    /// taken.
    pub(crate) fn explain(
        &self,
        context: &PickContext<'_>,
        mut candidates: Vec<Candidate<'_>>,
        rng: &mut Rng,
    ) -> ProfileExplanation {
        let mut endpoints = Vec::with_capacity(candidates.len());
        for filter in &self.filters {
            let before = candidates.clone();
            filter.apply(context, &mut candidates, rng);
            let mut kept = candidates.iter().map(|it| it.slot).collect::<Vec<_>>();
            kept.sort_unstable();
            let dropped = before.iter().filter(|it| kept.binary_search(&it.slot).is_err());
            endpoints.extend(dropped.map(|it| Explained::dropped(it, context, filter.name())));
        }
        let table = self.table(context, &candidates);
        let scored = candidates.iter().enumerate().map(|(place, candidate)| Explained {
            scores: self
                .scorers
                .iter()
                .zip(table.at(place))
                .map(|(weighted, score)| (weighted.scorer.name(), weighted.weight, score))
                .collect(),
            total: Some(table.total(place)),
            ..Explained::dropped(candidate, context, "")
        });
        endpoints.extend(scored);
        ProfileExplanation { name: self.name.clone(), endpoints }
    }
}

/// Converts a number of endpoints, of which a pool has a few thousand at most.
fn number(endpoints: usize) -> u32 {
    u32::try_from(endpoints).unwrap_or(u32::MAX)
}

impl fmt::Display for Profile {
    /// Writes `default: filter, 2 scorer, 1 scorer, picker(3)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.name)?;
        for filter in &self.filters {
            write!(f, "{}, ", filter.name())?;
        }
        for WeightedScorer { scorer, weight } in &self.scorers {
            write!(f, "{} {}, ", weight.get(), scorer.name())?;
        }
        write!(f, "{}", self.picker)
    }
}
