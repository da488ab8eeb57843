//! Why a choice is as it is: every score of every endpoint.

use std::{net::SocketAddr, time::Duration};

use super::PickContext;
use crate::{
    model::{PickError, SchedulingResult, Score},
    pool::Candidate,
    schedule::score::ScorerWeight,
};

/// A choice with all that it was made by.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// What would be decided now; ties may fall otherwise the next time.
    pub decision: Result<SchedulingResult, PickError>,
    /// What each profile makes of each endpoint.
    pub profiles: Vec<ProfileExplanation>,
}

/// What one profile makes of each endpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct ProfileExplanation {
    /// Which profile.
    pub name: String,
    /// Every endpoint that was a candidate, those dropped by a filter first.
    pub endpoints: Vec<Explained>,
}

/// What one profile makes of one endpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct Explained {
    /// Which endpoint.
    pub endpoint: SocketAddr,
    /// The filter that dropped it; empty if none did.
    pub dropped_by: &'static str,
    /// Each scorer's type and weight, and what it gave.
    pub scores: Vec<(&'static str, ScorerWeight, Score)>,
    /// Their weighted sum; `None` if it was dropped.
    pub total: Option<f64>,
    /// Blocks of the prompt that it is believed to have cached.
    pub matched: u32,
    /// Requests in flight there.
    pub requests: u32,
    /// Their prompt tokens that it has not computed yet.
    pub tokens: u32,
    /// How long ago its metrics were read, if they ever were.
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
            age: candidate.member.age(context.now),
        }
    }
}
