//! Amounts of load by the measures of the saturation detectors.

/// A measure by which a detector limits what is in flight over all endpoints of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Measure {
    /// Requests in flight.
    Requests,
    /// Uncached prompt tokens in flight.
    Tokens,
}

impl Measure {
    /// Every measure.
    pub const ALL: [Self; 2] = [Self::Requests, Self::Tokens];
}

/// An amount by each measure; `None` where there is none, which is never the same as no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amounts {
    /// Requests in flight.
    pub requests: Option<u64>,
    /// Uncached prompt tokens in flight.
    pub tokens: Option<u64>,
}

impl Amounts {
    /// Returns the amounts of this many requests and nothing else.
    #[must_use]
    pub const fn of_requests(requests: u64) -> Self {
        Self { requests: Some(requests), tokens: None }
    }

    /// Returns the amount by a measure.
    #[must_use]
    pub const fn get(&self, measure: Measure) -> Option<u64> {
        match measure {
            Measure::Requests => self.requests,
            Measure::Tokens => self.tokens,
        }
    }

    /// Sets the amount by a measure.
    pub const fn set(&mut self, measure: Measure, amount: Option<u64>) {
        match measure {
            Measure::Requests => self.requests = amount,
            Measure::Tokens => self.tokens = amount,
        }
    }

    /// Returns the smaller amount by each measure; where one has none, that of the other.
    #[must_use]
    pub fn least(self, other: Self) -> Self {
        let least = |one: Option<u64>, two: Option<u64>| {
            one.zip(two).map(|(one, two)| one.min(two)).or(one).or(two)
        };
        Self {
            requests: least(self.requests, other.requests),
            tokens: least(self.tokens, other.tokens),
        }
    }

    /// True if there is no amount by any measure.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.requests.is_none() && self.tokens.is_none()
    }
}
