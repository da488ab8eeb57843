//! The beliefs of a worker about a pool that reach the scraper, for its page and its metrics.

use std::time::Duration;

use picker_core::{
    TextMeasure,
    saturation::{StaleEndpoints, Staleness},
};
use serde::{Deserialize, Serialize};

/// Beliefs of a gateway's workers about a pool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beliefs {
    /// Endpoints without fresh metrics, by the saturation detector.
    pub stale: StaleEndpoints,
    /// Bytes per token of the pool's prompts.
    pub texts: Vec<TextMeasure>,
}

impl Beliefs {
    /// Merges the beliefs of workers or gateways: the worst of what is stale, the mean of what was learnt.
    #[must_use]
    pub fn merged<'a>(all: impl IntoIterator<Item = &'a Self, IntoIter: Clone>) -> Self {
        let all = all.into_iter();
        let stale = all.clone().map(|it| it.stale);
        let stale = stale.max_by_key(|it| (it.shut_the_gate(), it.stale)).unwrap_or_default();
        Self { stale, texts: TextMeasure::merged(all.flat_map(|it| &it.texts)) }
    }
}

/// Layout of [`Beliefs`] but for the texts, which are a record of their own.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct BeliefsRecord {
    stale: u32,
    endpoints: u32,
    oldest: Option<Duration>,
    allowed: Duration,
    /// Place among [`Staleness::NAMES`].
    policy: u8,
}

impl BeliefsRecord {
    pub(crate) fn from_beliefs(beliefs: &Beliefs) -> Self {
        let StaleEndpoints { stale, endpoints, oldest, allowed, policy } = beliefs.stale;
        let place = Staleness::NAMES.iter().position(|name| *name == policy.name());
        let policy = place.and_then(|place| u8::try_from(place).ok()).unwrap_or(0);
        Self { stale, endpoints, oldest, allowed, policy }
    }

    /// Returns the endpoints without fresh metrics. A policy that is unknown here counts as the default.
    pub(crate) fn into_stale(self) -> StaleEndpoints {
        let Self { stale, endpoints, oldest, allowed, policy } = self;
        let name = Staleness::NAMES.get(usize::from(policy));
        let policy = name.and_then(|name| name.parse().ok()).unwrap_or_default();
        StaleEndpoints { stale, endpoints, oldest, allowed, policy }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beliefs(stale: u32, policy: Staleness) -> Beliefs {
        let oldest = Some(Duration::from_millis(400));
        let allowed = Duration::from_millis(200);
        let stale = StaleEndpoints { stale, endpoints: 9, oldest, allowed, policy };
        Beliefs { stale, texts: Vec::new() }
    }

    #[test]
    fn beliefs_read_back() {
        for name in Staleness::NAMES {
            let told = beliefs(2, name.parse().unwrap());
            assert_eq!(BeliefsRecord::from_beliefs(&told).into_stale(), told.stale);
        }
    }

    #[test]
    fn of_several_the_worst_counts() {
        let all =
            [beliefs(3, Staleness::Estimate), beliefs(1, Staleness::Saturated), Beliefs::default()];
        let merged = Beliefs::merged(&all);
        assert_eq!((merged.stale.stale, merged.stale.policy), (1, Staleness::Saturated));
    }
}
