//! Admitters, which turn requests away before endpoints are compared (EPP: admitters).
//!
//! An admitter runs after flow control has let the request go, and only on what may be shed: a
//! priority below zero.

pub use crate::model::Denied;

use super::{Needs, PickContext, SloHeadroom};
use crate::{
    model::{Priority, Rng, Slo},
    pool::Candidate,
};

/// Turns requests away that may be shed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Admitter {
    /// Requests that no endpoint is predicted to serve in time (EPP: latency-slo-admitter).
    LatencySlo,
    /// The more of them, the fuller the pool is (EPP: probabilistic-admitter).
    Probabilistic(Probabilistic),
}

/// Turns away with probability `min(saturation^power * k, 1)`, where saturation is the mean over
/// the endpoints of `max(waiting / queue_depth, kv_usage / kv_cache_util)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Probabilistic {
    /// Waiting requests at which an endpoint is full; above 0 (EPP: queueDepthThreshold).
    pub queue_depth: f64,
    /// KV-cache usage at which it is; above 0 (EPP: kvCacheUtilThreshold).
    pub kv_cache_util: f64,
    /// Exponent of the saturation: the higher, the later it begins; above 0.
    pub power: f64,
    /// Factor of the power: the higher, the faster it then grows; above 0.
    pub k: f64,
}

impl Default for Probabilistic {
    fn default() -> Self {
        Self { queue_depth: 5.0, kv_cache_util: 0.8, power: 5.0, k: 300.0 }
    }
}

impl Admitter {
    /// The plugin types.
    pub const NAMES: &[&str] = &["latency-slo-admitter", "probabilistic-admitter"];

    /// Returns the admitter of that type, without parameters.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "latency-slo-admitter" => Some(Self::LatencySlo),
            "probabilistic-admitter" => Some(Self::Probabilistic(Probabilistic::default())),
            _ => None,
        }
    }

    /// Returns the plugin type in an EndpointPickerConfig.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::LatencySlo => "latency-slo-admitter",
            Self::Probabilistic(_) => "probabilistic-admitter",
        }
    }

    /// Returns what the admitter reads beside the prompt and the candidates.
    pub(crate) const fn needs(&self) -> Needs<'_> {
        match self {
            Self::LatencySlo => Needs::TOKENS,
            Self::Probabilistic(_) => Needs::NOTHING,
        }
    }

    /// Returns an error if the request may not be scheduled among these candidates.
    pub(crate) fn admit(
        &self,
        context: &PickContext<'_>,
        candidates: &[Candidate<'_>],
        rng: &mut Rng,
    ) -> Result<(), Denied> {
        if context.request.priority >= Priority(0) || candidates.is_empty() {
            return Ok(());
        }
        match self {
            Self::LatencySlo => latency_slo(context, candidates),
            Self::Probabilistic(admitter) => admitter.admit(candidates, rng),
        }
    }
}

/// Denies what has an objective where every endpoint is busy, warm and predicted to miss it. An
/// objective that the request does not name is not missed; one endpoint that was not seen, or of
/// which nothing is predicted, admits it.
fn latency_slo(context: &PickContext<'_>, candidates: &[Candidate<'_>]) -> Result<(), Denied> {
    /// Below this KV-cache usage an endpoint is cold, and what is predicted of it a guess.
    const COLD: f32 = 0.02;
    let Slo { ttft, tpot } = context.request.slo;
    if ttft.is_none() && tpot.is_none() {
        return Ok(());
    }
    let misses = |left: SloHeadroom| {
        (ttft.is_some() && left.ttft < 0.0) || (tpot.is_some() && left.tpot < 0.0)
    };
    let is_hopeless = candidates.iter().all(|it| {
        let is_busy = it.gauges.is_some_and(|seen| seen.kv_usage >= COLD && seen.running > 0);
        is_busy && context.headroom(it).is_some_and(misses)
    });
    if is_hopeless { Err(Denied::TooLate) } else { Ok(()) }
}

impl Probabilistic {
    fn admit(&self, candidates: &[Candidate<'_>], rng: &mut Rng) -> Result<(), Denied> {
        let saturation = self.saturation(candidates);
        let probability = (saturation.powf(self.power) * self.k).min(1.0);
        if rng.share() >= probability {
            return Ok(());
        }
        Err(Denied::Shed {
            saturation: parts(saturation, 1000.0),
            probability: parts(probability, 100.0),
        })
    }

    /// Returns the mean saturation; an endpoint that can't be seen counts as 1.
    fn saturation(&self, candidates: &[Candidate<'_>]) -> f64 {
        let of = |it: &Candidate<'_>| {
            it.gauges.map_or(1.0, |seen| {
                let queue = f64::from(seen.waiting) / self.queue_depth;
                queue.max(f64::from(seen.kv_usage) / self.kv_cache_util)
            })
        };
        let count = u32::try_from(candidates.len()).unwrap_or(u32::MAX);
        candidates.iter().map(of).sum::<f64>() / f64::from(count)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "not below zero, and what is beyond u32 is shown as its highest value"
)]
fn parts(share: f64, whole: f64) -> u32 {
    (share * whole).round() as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::{EngineLoad, tests::member};

    /// Returns the saturation of endpoints with these waiting requests and KV-cache usage, or that
    /// are not seen.
    fn saturation(pool: &[Option<(u32, f32)>]) -> f64 {
        let member = member(&[]);
        let candidate = |seen: &Option<(u32, f32)>| Candidate {
            gauges: seen.map(|(waiting, kv_usage)| EngineLoad { waiting, running: 0, kv_usage }),
            ..Candidate::idle(&member, 0)
        };
        Probabilistic::default().saturation(&pool.iter().map(candidate).collect::<Vec<_>>())
    }

    #[test]
    fn the_mean_of_each_ones_worse_side() {
        let is = |pool: &[Option<(u32, f32)>], expected: f64| {
            assert!((saturation(pool) - expected).abs() < 1e-6, "{pool:?}");
        };
        is(&[Some((0, 0.0))], 0.0);
        is(&[Some((5, 0.0))], 1.0);
        is(&[Some((1, 0.4))], 0.5);
        is(&[Some((10, 0.8)), Some((0, 0.0))], 1.0);
        is(&[None, Some((0, 0.0))], 0.5);
    }

    #[test]
    fn the_share_that_is_turned_away() {
        let member = member(&[]);
        let mut rng = Rng::new(1);
        let mut denied = |kv_usage: f32| {
            let gauges = Some(EngineLoad { waiting: 0, running: 0, kv_usage });
            let pool = vec![Candidate { gauges, ..Candidate::idle(&member, 0) }];
            let mut deny = || Probabilistic::default().admit(&pool, &mut rng).is_err();
            (0..10_000).filter(|_| deny()).count()
        };
        assert_eq!(denied(0.0), 0);
        // 0.25^5 * 300 is 0.29.
        assert!((2_800..3_060).contains(&denied(0.2)));
        assert_eq!(denied(0.32), 10_000, "0.4^5 * 300 is above 1");
    }

    #[test]
    fn every_admitter_has_a_name_that_is_read() {
        for name in Admitter::NAMES {
            // A variant that is new does not compile until its name is here.
            let found = Admitter::named(name).map(|admitter| match admitter {
                Admitter::LatencySlo => "latency-slo-admitter",
                Admitter::Probabilistic(_) => "probabilistic-admitter",
            });
            assert_eq!(found, Some(*name));
        }
    }
}
