//! What came of a request.

use std::{fmt, net::SocketAddr, time::Duration};

use super::Score;

/// Where a request goes, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct SchedulingResult {
    /// The chosen endpoint, then those to fall back to, best first. Never empty, no address twice.
    pub ranked: Vec<SocketAddr>,
    /// Where Envoy reaches the chosen one, if that is not its own address: all ranks of a pod are
    /// behind its main port.
    pub through: Option<SocketAddr>,
    /// Headers to set on the request, beside the destination.
    pub headers: Vec<(&'static str, String)>,
    /// Who computes the prompt where that was chosen apart. It may be who answers. In a box, since most
    /// decisions have none.
    pub prefill: Option<Box<Prefill>>,
    /// What each scorer gave the chosen one, by the scorer's short name, in the profile's order.
    pub scores: Vec<(&'static str, Score)>,
    /// Their weighted sum.
    pub total: f64,
    /// How long ago the chosen one's metrics were read, if they ever were.
    pub age: Option<Duration>,
    /// Blocks in the prompt.
    pub blocks: u32,
    /// What was known of the chosen one.
    pub sight: EndpointObservation,
}

/// Who computes a prompt that another endpoint answers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prefill {
    /// Where.
    pub endpoint: SocketAddr,
    /// What was known of it.
    pub sight: EndpointObservation,
}

/// What was known of an endpoint when it was chosen, for what is learnt from how it did.
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
    /// Whether none of those that it was chosen from had any of the prompt.
    pub cold: bool,
}

impl SchedulingResult {
    /// Where Envoy is to send the request, best first.
    pub fn destinations(&self) -> impl Iterator<Item = SocketAddr> {
        let first = self.through.or_else(|| self.ranked.first().copied());
        first.into_iter().chain(self.ranked.iter().skip(1).copied())
    }

    /// Which endpoint that is which Envoy says that it reached.
    #[must_use]
    pub fn reached(&self, address: SocketAddr) -> SocketAddr {
        let chosen = self.ranked.first().filter(|_| self.through == Some(address));
        chosen.copied().unwrap_or(address)
    }

    /// Who computes the prompt, if that is another than who answers.
    #[must_use]
    pub fn computed_apart(&self) -> Option<&Prefill> {
        self.prefill.as_deref().filter(|it| self.ranked.first() != Some(&it.endpoint))
    }

    /// What was known of whoever computes the prompt.
    #[must_use]
    pub fn computing(&self) -> &EndpointObservation {
        self.computed_apart().map_or(&self.sight, |prefill| &prefill.sight)
    }

    /// Where it was chosen that the prompt be computed, if that was chosen apart.
    #[must_use]
    pub fn prefiller(&self) -> Option<SocketAddr> {
        self.prefill.as_ref().map(|prefill| prefill.endpoint)
    }
}

/// Why a request goes nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PickError {
    /// No snapshot of the pool has come yet, so nothing is known of it.
    NoSnapshot,
    /// The pool is empty: scaled to zero, or its selector matches no pod; or the gateway's subset
    /// holds none of it.
    NoEndpoints,
    /// An admitter turned the request away.
    Denied(Denied),
    /// This filter left none.
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

/// Why a request was not admitted, as its client reads it.
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
