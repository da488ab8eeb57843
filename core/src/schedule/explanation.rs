//! The explanation of a choice: every score of every endpoint.

use std::{net::SocketAddr, time::Duration};

use super::PickContext;
use crate::{
    model::{Expectation, PickError, SchedulingResult, Score},
    pool::Candidate,
    schedule::score::ScorerWeight,
};

/// A choice with all that it was made by.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// Decision that would be made now; ties may fall otherwise the next time.
    pub decision: Result<SchedulingResult, PickError>,
    /// Scores by each profile.
    pub profiles: Vec<ProfileExplanation>,
}

/// The scores of each endpoint by one profile.
#[derive(Clone, Debug, PartialEq)]
pub struct ProfileExplanation {
    /// Name of the profile.
    pub name: String,
    /// Every endpoint that was a candidate, those dropped by a filter first.
    pub endpoints: Vec<Explained>,
}

/// The scores of one endpoint by one profile.
#[derive(Clone, Debug, PartialEq)]
pub struct Explained {
    /// Address of the endpoint.
    pub endpoint: SocketAddr,
    /// The filter that dropped it; empty if none did.
    pub dropped_by: &'static str,
    /// Type, weight and score of each scorer.
    pub scores: Vec<(&'static str, ScorerWeight, Score)>,
    /// Weighted sum of the scores; `None` if the endpoint was dropped.
    pub total: Option<f64>,
    /// Blocks of the prompt that it is believed to have cached.
    pub matched: u32,
    /// Requests in flight there.
    pub requests: u32,
    /// Prompt tokens of those requests that the endpoint has not computed yet.
    pub tokens: u32,
    /// What the request would be expected to meet there.
    pub expected: Expectation,
    /// Age of the endpoint's metrics, if they were ever read.
    pub age: Option<Duration>,
}

impl Explained {
    pub(crate) fn dropped(
        candidate: &Candidate<'_>,
        context: &PickContext<'_>,
        dropped_by: &'static str,
    ) -> Self {
        Self {
            endpoint: candidate.member.address,
            dropped_by,
            scores: Vec::new(),
            total: None,
            matched: candidate.matched,
            requests: candidate.requests,
            tokens: candidate.tokens,
            expected: context.expectation(candidate),
            age: candidate.member.age(context.now),
        }
    }
}
