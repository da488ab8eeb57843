//! Saturation by what all known gateways have in flight.

use std::str::FromStr;

use super::{
    Budget, Load,
    budget::{Line, float},
};
use crate::model::{Amounts, Measure, UnknownPolicy};

/// EPP: concurrency-detector. Needs no metrics, but knows no requests of others than the gateways.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Concurrency {
    /// Requests that one endpoint should have in flight.
    pub max_requests: u32,
    /// Uncached prompt tokens that one endpoint should have in flight.
    pub max_tokens: u64,
    /// The number that counts.
    pub mode: ConcurrencyMode,
    /// By what share an endpoint may exceed them and still be picked.
    pub headroom: f64,
}

/// The number that the detector counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConcurrencyMode {
    /// Requests.
    #[default]
    Requests,
    /// Uncached prompt tokens.
    Tokens,
    /// On each endpoint, the one it has more of.
    Hybrid,
}

impl Default for Concurrency {
    fn default() -> Self {
        Self {
            max_requests: 100,
            max_tokens: 1_000_000,
            mode: ConcurrencyMode::default(),
            headroom: 0.0,
        }
    }
}

impl Concurrency {
    /// Measures the budget: saturation is all that is in flight over all that should be; in hybrid
    /// mode the mean of each endpoint's worse ratio. A request adds `1 / (n * max)` to either, or
    /// its tokens' part, or at most the larger of the two.
    pub(super) fn room(&self, loads: &[Load]) -> Budget {
        let endpoints = count(loads.len());
        let sum: f64 = loads.iter().map(|load| self.ratio(load)).sum();
        let per_request = 1.0 / self.requests() / endpoints;
        let per_token = 1.0 / self.tokens() / endpoints;
        let idle = Line { saturation: sum / endpoints, ..Line::default() };
        Budget::measured(match self.mode {
            ConcurrencyMode::Requests => {
                Line { per_request, measure: Some(Measure::Requests), ..idle }
            }
            ConcurrencyMode::Tokens => Line { per_token, measure: Some(Measure::Tokens), ..idle },
            ConcurrencyMode::Hybrid => Line { per_request, per_token, ..idle },
        })
    }

    /// Returns the most that these endpoints should have in flight together. In hybrid mode it is the most
    /// of each: whatever is above one of them is above the mean of the worse ratios.
    pub(super) fn limits(&self, loads: &[Load]) -> Amounts {
        let endpoints = u64::try_from(loads.len()).unwrap_or(u64::MAX);
        let requests = Some(endpoints.saturating_mul(self.max_requests.max(1).into()));
        let tokens = Some(endpoints.saturating_mul(self.max_tokens.max(1)));
        match self.mode {
            ConcurrencyMode::Requests => Amounts { requests, tokens: None },
            ConcurrencyMode::Tokens => Amounts { requests: None, tokens },
            ConcurrencyMode::Hybrid => Amounts { requests, tokens },
        }
    }

    pub(super) fn has_headroom(&self, load: &Load) -> bool {
        self.ratio(load) < 1.0 + self.headroom
    }

    fn ratio(&self, load: &Load) -> f64 {
        let requests = f64::from(load.in_flight) / self.requests();
        let tokens = float(load.in_flight_tokens) / self.tokens();
        match self.mode {
            ConcurrencyMode::Requests => requests,
            ConcurrencyMode::Tokens => tokens,
            ConcurrencyMode::Hybrid => requests.max(tokens),
        }
    }

    fn requests(&self) -> f64 {
        f64::from(self.max_requests.max(1))
    }

    fn tokens(&self) -> f64 {
        float(self.max_tokens.max(1))
    }
}

impl ConcurrencyMode {
    /// Every name there is.
    pub const NAMES: &[&str] = &["requests", "tokens", "hybrid"];
}

impl FromStr for ConcurrencyMode {
    type Err = UnknownPolicy;

    fn from_str(name: &str) -> Result<Self, UnknownPolicy> {
        match name {
            "requests" => Ok(Self::Requests),
            "tokens" => Ok(Self::Tokens),
            "hybrid" => Ok(Self::Hybrid),
            _ => Err(UnknownPolicy::new("concurrency mode", name, Self::NAMES)),
        }
    }
}

/// Returns a number of endpoints.
pub(super) fn count(endpoints: usize) -> f64 {
    f64::from(u32::try_from(endpoints).unwrap_or(u32::MAX))
}
