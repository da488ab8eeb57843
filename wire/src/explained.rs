//! The explanation of a choice as JSON: what a gateway answers to an operator, and what `explain` shows.

use std::net::SocketAddr;

use picker_core::{
    Explained, Explanation, InferenceRequest, SchedulingResult, Score, score::ScorerWeight,
};
use serde::{Deserialize, Serialize};

/// Endpoints that one profile's list has at most: the best, which are all that people look at. A thousand with six scores
/// each are 300 kB, which a local reply of Envoy carries.
pub const ENDPOINTS_MAX: usize = 1000;

/// Bytes of an explanation at most, for those that read one: four profiles of [`ENDPOINTS_MAX`] endpoints are 2 MB.
pub const EXPLANATION_BYTES_MAX: usize = 4 << 20;

/// The explanation of a choice.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToldExplanation {
    /// Name of the pool.
    pub pool: String,
    /// Model that the request is for, after rewrites.
    pub model: String,
    /// Tokens of the prompt, by its bytes.
    pub prompt_tokens: u32,
    /// Blocks of the prompt.
    pub blocks: u32,
    /// Endpoints that it would go to, best first; none if it would go nowhere.
    pub ranked: Vec<SocketAddr>,
    /// Weighted sum of the first one's scores.
    pub total: f64,
    /// The endpoint that would compute the prompt, where that is chosen apart.
    #[serde(default)]
    pub prefill: Option<SocketAddr>,
    /// The reason for which it would go nowhere; empty if it would go.
    #[serde(default)]
    pub refused: String,
    /// Scores by each profile.
    pub profiles: Vec<ToldProfile>,
    /// Knowledge that only a gateway has; absent where none was asked.
    #[serde(default)]
    pub gateway: Option<ToldGateway>,
}

/// State of the pool at the gateway that explains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToldGateway {
    /// Requests in flight.
    pub in_flight: u64,
    /// Requests that flow control holds.
    pub waiting: u64,
    /// Share of what the pool can take that is in use; absent where nothing says so.
    #[serde(default)]
    pub saturation: Option<f64>,
    /// Priority that the request has.
    pub priority: i32,
}

/// The scores of each endpoint by one profile.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToldProfile {
    /// Name of the profile.
    pub name: String,
    /// Endpoints, the best first and those last that a filter dropped; [`ENDPOINTS_MAX`] at most.
    pub endpoints: Vec<ToldEndpoint>,
    /// Number of endpoints that are left out.
    #[serde(default)]
    pub left_out: usize,
}

/// The scores of one endpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToldEndpoint {
    /// Address of the endpoint.
    pub endpoint: SocketAddr,
    /// The filter that dropped it; empty if none did.
    #[serde(default)]
    pub dropped_by: String,
    /// Weighted sum of the scores; absent if it was dropped.
    pub total: Option<f64>,
    /// Each scorer.
    pub scores: Vec<ToldScore>,
    /// Requests in flight there.
    pub in_flight: u32,
    /// Tokens of the prompt that it is believed to have cached.
    pub cached_tokens: u32,
    /// Seconds until the prompts are computed that were sent there before.
    pub backlog: f64,
    /// Seconds to the first token.
    pub ttft: f64,
}

/// A scorer's word on an endpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToldScore {
    /// Type of the scorer.
    pub scorer: String,
    /// Weight in the profile.
    pub weight: f64,
    /// Score, from 0 to 1.
    pub score: f64,
}

impl ToldExplanation {
    /// Puts the explanation of a request's choice into words.
    #[must_use]
    pub fn new(pool: &str, request: &InferenceRequest, explanation: Explanation) -> Self {
        let Explanation { decision, profiles } = explanation;
        let mut told = Self {
            pool: pool.to_owned(),
            model: request.model.clone(),
            prompt_tokens: request.tokens(),
            blocks: request.chain.blocks,
            ..Self::default()
        };
        match decision {
            Ok(SchedulingResult { ranked, total, prefill, .. }) => {
                told.ranked = ranked;
                told.total = total;
                told.prefill = prefill.map(|it| it.endpoint);
            }
            Err(why) => told.refused = why.to_string(),
        }
        told.profiles = profiles
            .into_iter()
            .map(|profile| {
                let mut endpoints = profile.endpoints;
                // The best first, and of equals in the order of the snapshot.
                endpoints.sort_by(|one, other| total(other).total_cmp(&total(one)));
                let left_out = endpoints.len().saturating_sub(ENDPOINTS_MAX);
                endpoints.truncate(ENDPOINTS_MAX);
                let endpoints = endpoints.into_iter().map(ToldEndpoint::from).collect();
                ToldProfile { name: profile.name, endpoints, left_out }
            })
            .collect();
        told
    }

    /// Returns the JSON that [`Self::decode`] reads.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        // Names, numbers and lists: nothing of it can fail to be written.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads an explanation.
    ///
    /// # Errors
    /// For bytes that are none, in words.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(bytes).map_err(|why| format!("not an explanation: {why}"))
    }
}

/// Returns the sum that endpoints are sorted by: those that were dropped have none.
fn total(it: &Explained) -> f64 {
    it.total.unwrap_or(f64::NEG_INFINITY)
}

impl From<Explained> for ToldEndpoint {
    fn from(it: Explained) -> Self {
        let score = |(scorer, weight, score): (&str, ScorerWeight, Score)| ToldScore {
            scorer: scorer.to_owned(),
            weight: weight.get(),
            score: score.get(),
        };
        Self {
            endpoint: it.endpoint,
            dropped_by: it.dropped_by.to_owned(),
            total: it.total,
            scores: it.scores.into_iter().map(score).collect(),
            in_flight: it.requests,
            cached_tokens: it.expected.hit_tokens,
            backlog: it.expected.backlog,
            ttft: it.expected.ttft,
        }
    }
}
