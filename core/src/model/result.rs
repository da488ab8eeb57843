//! The result of scheduling a request: the endpoints that it goes to, or an error.

use std::{fmt, net::SocketAddr, time::Duration};

use super::{Reasons, Score};

/// The endpoints that a request goes to, and the reasons.
#[derive(Clone, Debug, PartialEq)]
pub struct SchedulingResult {
    /// The chosen endpoint, then those to fall back to, best first. Never empty, no address twice.
    pub ranked: Vec<SocketAddr>,
    /// The address by which Envoy reaches the chosen endpoint, if that is not its own: all ranks of
    /// a pod are behind its main port.
    pub through: Option<SocketAddr>,
    /// Headers to set on the request, beside the destination.
    pub headers: Vec<(&'static str, String)>,
    /// The endpoint that computes the prompt where that was chosen apart. It may be the one that
    /// answers. In a box, since most decisions have none.
    pub prefill: Option<Box<Prefill>>,
    /// Score of the chosen endpoint by each scorer, with the scorer's short name, in the profile's
    /// order.
    pub scores: Vec<(&'static str, Score)>,
    /// Weighted sum of the scores.
    pub total: f64,
    /// Age of the chosen endpoint's metrics, if they were ever read.
    pub age: Option<Duration>,
    /// Blocks in the prompt.
    pub blocks: u32,
    /// Knowledge of the chosen endpoint.
    pub sight: EndpointObservation,
    /// Reasons of the choice; `None` where any endpoint would have done. In a box, as they are large and
    /// only read.
    pub reasons: Option<Box<Reasons>>,
}

/// The endpoint that computes a prompt which another one answers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prefill {
    /// Address of the endpoint.
    pub endpoint: SocketAddr,
    /// Knowledge of the endpoint.
    pub sight: EndpointObservation,
}

/// The knowledge of an endpoint when it was chosen, for what is learnt from how it did.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct EndpointObservation {
    /// Blocks of the prompt that it was believed to have cached.
    pub matched: u32,
    /// The prompt's tokens.
    pub prompt_tokens: u32,
    /// Of those the ones that it would have to compute.
    pub uncached_tokens: u32,
    /// Uncached tokens of other requests that were in flight there.
    pub in_flight_tokens: u32,
    /// Seconds until it was expected to have computed those, as far as they explain that.
    pub busy_for: f64,
    /// Requests that waited there, and those in its batch; none where it could not be seen.
    pub load: Option<(u32, u32)>,
    /// The share of its KV cache that live requests held.
    pub kv_usage: f32,
    /// True if none of those that it was chosen from had any of the prompt.
    pub cold: bool,
}

impl SchedulingResult {
    /// Copies the part that a placement is made of: without scores, reasons and headers, which are for the
    /// request alone.
    pub(crate) fn for_placement(&self) -> Self {
        Self {
            ranked: self.ranked.clone(),
            headers: Vec::new(),
            prefill: self.prefill.clone(),
            scores: Vec::new(),
            reasons: None,
            ..*self
        }
    }

    /// Returns the addresses to which Envoy is to send the request, best first.
    pub fn destinations(&self) -> impl Iterator<Item = SocketAddr> {
        let first = self.through.or_else(|| self.ranked.first().copied());
        first.into_iter().chain(self.ranked.iter().skip(1).copied())
    }

    /// Returns the endpoint behind an address that Envoy says it reached.
    #[must_use]
    pub fn reached(&self, address: SocketAddr) -> SocketAddr {
        let chosen = self.ranked.first().filter(|_| self.through == Some(address));
        chosen.copied().unwrap_or(address)
    }

    /// Returns the endpoint that computes the prompt, if it is another than the one that answers.
    #[must_use]
    pub fn computed_apart(&self) -> Option<&Prefill> {
        self.prefill.as_deref().filter(|it| self.ranked.first() != Some(&it.endpoint))
    }

    /// Returns what was known of the endpoint that computes the prompt.
    #[must_use]
    pub fn computing(&self) -> &EndpointObservation {
        self.computed_apart().map_or(&self.sight, |prefill| &prefill.sight)
    }

    /// Returns the endpoint that was chosen to compute the prompt, if that was chosen apart.
    #[must_use]
    pub fn prefiller(&self) -> Option<SocketAddr> {
        self.prefill.as_ref().map(|prefill| prefill.endpoint)
    }
}

/// The reason for which a request goes nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PickError {
    /// No snapshot of the pool has come yet, so nothing is known of it.
    NoSnapshot,
    /// The pool is empty: scaled to zero, or its selector matches no pod; or the gateway's subset
    /// holds none of it.
    NoEndpoints,
    /// An admitter turned the request away.
    Denied(Denied),
    /// The filter of this type left no endpoint.
    Filtered(&'static str),
    /// The profile that the request asks for does not exist.
    NoProfile,
}

impl fmt::Display for PickError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSnapshot => f.write_str("no snapshot of the pool has been received yet"),
            Self::NoEndpoints => f.write_str("the pool has no endpoints"),
            Self::Denied(why) => why.fmt(f),
            Self::Filtered(filter) => write!(f, "{filter} left no endpoint"),
            Self::NoProfile => f.write_str("no scheduling profile is configured for the request"),
        }
    }
}

/// The reason for which an admitter turned a request away, as its client reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// No endpoint would meet its objectives.
    TooLate,
    /// The dice said so.
    Shed {
        /// The pool's saturation, in thousandths.
        saturation: u32,
        /// With which probability, in hundredths.
        probability: u32,
    },
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::TooLate => f.write_str("no valid endpoint available to serve the request"),
            Self::Shed { saturation, probability } => {
                let of = |parts: u32, whole: u32| f64::from(parts) / f64::from(whole);
                write!(
                    f,
                    "probabilistic-admitter: rejected, saturation={:.3} prob={:.2}",
                    of(saturation, 1000),
                    of(probability, 100)
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_reads() {
        let shed = Denied::Shed { saturation: 250, probability: 29 };
        assert_eq!(
            shed.to_string(),
            "probabilistic-admitter: rejected, saturation=0.250 prob=0.29"
        );
    }
}
