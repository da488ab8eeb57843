//! The share of prompt tokens that pods had cached, by the counters of the pods.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    sync::Arc,
};

use wire::metrics::PrefixUse;

/// Samples, one a second, over which the share is taken. In a single second a pod that serves long
/// answers may read no prompt at all.
const SAMPLES_MAX: usize = 10;

/// The pods' counters of the last seconds.
#[derive(Debug, Default)]
pub(super) struct PrefixHits {
    /// Samples of each pod of each pool: one more than the window, the newest last.
    samples: BTreeMap<(Arc<str>, SocketAddr), VecDeque<PrefixUse>>,
    /// Samples of the pods that were not asked for since the last round.
    before: BTreeMap<(Arc<str>, SocketAddr), VecDeque<PrefixUse>>,
}

impl PrefixHits {
    /// Begins a new second. Pods that were not asked for in the last are forgotten.
    pub(super) fn begin(&mut self) {
        self.before = std::mem::take(&mut self.samples);
    }

    /// Adds a sample and returns the share within the window, of the tokens that were looked up, if
    /// there were any.
    pub(super) fn share(
        &mut self,
        pool: &Arc<str>,
        pod: SocketAddr,
        now: PrefixUse,
    ) -> Option<f32> {
        let key = (Arc::clone(pool), pod);
        let mut samples = self.before.remove(&key).unwrap_or_default();
        let fell = |last: &PrefixUse| now.queried < last.queried || now.cached < last.cached;
        if samples.back().is_some_and(fell) {
            // The engine began anew, and all that it counts came after the last sample.
            samples.clear();
            samples.push_back(PrefixUse::default());
        }
        samples.push_back(now);
        while samples.len() > SAMPLES_MAX + 1 {
            samples.pop_front();
        }
        let first = samples.front().copied().unwrap_or_default();
        self.samples.insert(key, samples);
        share(now.cached - first.cached, now.queried - first.queried)
    }
}

#[allow(clippy::cast_precision_loss, reason = "for a chart")]
fn share(cached: u64, queried: u64) -> Option<f32> {
    (queried > 0).then(|| (cached as f32 / queried as f32).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_of_the_last_seconds() {
        let mut prefixes = PrefixHits::default();
        let pool = Arc::from("a");
        let mut next = |queried, cached| {
            prefixes.begin();
            prefixes.share(&pool, ([10, 0, 0, 1], 80).into(), PrefixUse { queried, cached })
        };
        assert_eq!(next(1_000, 900), None, "what was before is not known");
        assert_eq!(next(1_100, 925), Some(0.25));
        assert_eq!(next(1_100, 925), Some(0.25), "the window is longer than a second");
        assert_eq!(next(1_200, 1_025), Some(0.625));
        for _ in 0..SAMPLES_MAX - 1 {
            next(1_200, 1_025);
        }
        assert_eq!(next(1_200, 1_025), None, "nothing was looked up lately");
        assert_eq!(next(40, 10), Some(0.25), "it began anew");
        assert_eq!(next(40, 40), Some(1.0));
    }

    #[test]
    fn a_pod_that_is_gone_is_forgotten() {
        let mut prefixes = PrefixHits::default();
        let pool = Arc::from("a");
        let pod = ([10, 0, 0, 1], 80).into();
        for queried in [10, 20] {
            prefixes.begin();
            prefixes.share(&pool, pod, PrefixUse { queried, cached: 10 });
        }
        (0..2).for_each(|_| prefixes.begin());
        assert_eq!(prefixes.share(&pool, pod, PrefixUse { queried: 30, cached: 10 }), None);
    }
}
