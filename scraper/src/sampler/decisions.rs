//! Decisions per second, by what gateways had counted.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::{envoy::Standing, settings::EnvoyUrl};

/// What gateways had counted when they were last looked at.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Placed, refused.
    last: BTreeMap<EnvoyUrl, (u64, u64)>,
    at: Option<Instant>,
}

impl Counts {
    /// Placed and refused per second since the last call, if any gateway told both times.
    pub(super) fn rates<'a>(
        &mut self,
        now: Instant,
        standings: impl Iterator<Item = (&'a EnvoyUrl, &'a Standing)>,
    ) -> Option<(f64, f64)> {
        // Each pool's report has the counts of the whole gateway.
        let newest = |standing: &Standing| {
            let (_, report) = standing.reports.values().max_by_key(|(at, _)| *at)?;
            let decisions = report.decisions;
            Some((decisions.picked + decisions.failed_open, decisions.refused))
        };
        let counts: BTreeMap<_, _> =
            standings.filter_map(|(url, it)| Some((url.clone(), newest(it)?))).collect();
        let before = std::mem::replace(&mut self.last, counts);
        let elapsed = now.saturating_duration_since(self.at.replace(now)?);
        let both = self.last.iter().filter_map(|(url, now)| Some((before.get(url)?, now)));
        let (mut told, mut placed, mut refused) = (false, 0, 0);
        for ((placed_before, refused_before), (placed_now, refused_now)) in both {
            told = true;
            placed += grown(*placed_before, *placed_now);
            refused += grown(*refused_before, *refused_now);
        }
        let told = told && !elapsed.is_zero();
        told.then(|| (per_second(placed, elapsed), per_second(refused, elapsed)))
    }
}

/// How much a counter grew; one that fell began anew.
fn grown(before: u64, now: u64) -> u64 {
    now.checked_sub(before).unwrap_or(now)
}

#[allow(clippy::cast_precision_loss, reason = "for a chart")]
fn per_second(count: u64, elapsed: Duration) -> f64 {
    count as f64 / elapsed.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Report;

    fn standing(at: Instant, picked: u64) -> Standing {
        let mut report = Report::default();
        (report.decisions.picked, report.decisions.refused) = (picked, 1);
        Standing { reports: [("a".into(), (at, report))].into(), ..Standing::default() }
    }

    #[test]
    fn rates_are_of_gateways_that_told_twice() {
        let start = Instant::now();
        let mut counts = Counts::default();
        let urls = ["http://a", "http://b"].map(|url| url.parse::<EnvoyUrl>().unwrap());
        let mut rates = |seconds, picked: &[(usize, u64)]| {
            let standings: Vec<_> = picked
                .iter()
                .map(|(url, picked)| (&urls[*url], standing(start, *picked)))
                .collect();
            let standings = standings.iter().map(|(url, standing)| (*url, standing));
            counts.rates(start + Duration::from_secs(seconds), standings)
        };
        assert_eq!(rates(0, &[(0, 10)]), None, "the first look");
        assert_eq!(rates(2, &[(0, 30)]), Some((10.0, 0.0)));
        assert_eq!(rates(3, &[(0, 4)]), Some((4.0, 0.0)), "it began anew");
        assert_eq!(rates(4, &[(0, 5), (1, 1000)]), Some((1.0, 0.0)), "b is new");
        assert_eq!(rates(5, &[(1, 1002)]), Some((2.0, 0.0)), "a is gone");
        assert_eq!(rates(6, &[]), None, "nobody tells");
    }
}
