//! Decisions per second, by the counters of the gateways.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::push::EnvoyStatus;

/// The gateways' counters at the last look.
#[derive(Debug, Default)]
pub(super) struct DecisionCounts {
    last: BTreeMap<String, DecisionTotals>,
    at: Option<Instant>,
}

/// Decisions that one gateway has counted.
#[derive(Clone, Copy, Debug, Default)]
struct DecisionTotals {
    placed: u64,
    refused: u64,
}

/// Decisions per second, over all gateways.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct DecisionRates {
    pub(super) placed: f64,
    pub(super) refused: f64,
}

impl DecisionCounts {
    /// Returns the rates since the last call, if any gateway reported both times.
    pub(super) fn rates<'a>(
        &mut self,
        now: Instant,
        envoys: impl Iterator<Item = (&'a str, &'a EnvoyStatus)>,
    ) -> Option<DecisionRates> {
        let totals: BTreeMap<_, _> =
            envoys.filter_map(|(url, it)| Some((url.to_owned(), newest(it)?))).collect();
        let before = std::mem::replace(&mut self.last, totals);
        let elapsed = now.saturating_duration_since(self.at.replace(now)?);
        let both = self.last.iter().filter_map(|(url, now)| Some((before.get(url)?, now)));
        let mut grown_totals: Option<DecisionTotals> = None;
        for (before, now) in both {
            let sum = grown_totals.get_or_insert_default();
            sum.placed += grown(before.placed, now.placed);
            sum.refused += grown(before.refused, now.refused);
        }
        grown_totals.filter(|_| !elapsed.is_zero()).map(|sum| DecisionRates {
            placed: per_second(sum.placed, elapsed),
            refused: per_second(sum.refused, elapsed),
        })
    }
}

/// Returns the counters of a gateway's newest report. Each pool's report has the counts of the
/// whole gateway.
fn newest(envoy: &EnvoyStatus) -> Option<DecisionTotals> {
    let decisions = envoy.reports.values().max_by_key(|timed| timed.at)?.report.decisions;
    Some(DecisionTotals {
        placed: decisions.picked.saturating_add(decisions.failed_open),
        refused: decisions.refused,
    })
}

/// Returns the growth of a counter; a counter that fell began anew.
fn grown(before: u64, now: u64) -> u64 {
    now.checked_sub(before).unwrap_or(now)
}

#[allow(clippy::cast_precision_loss, reason = "for a chart")]
fn per_second(count: u64, elapsed: Duration) -> f64 {
    count as f64 / elapsed.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use wire::report::Report;

    use super::*;
    use crate::push::TimedReport;

    fn envoy(at: Instant, picked: u64) -> EnvoyStatus {
        let mut report = Report::default();
        report.decisions.picked = picked;
        report.decisions.refused = 1;
        let report = TimedReport { at, report };
        EnvoyStatus { reports: [("a".into(), report)].into(), ..EnvoyStatus::default() }
    }

    #[test]
    fn rates_are_of_gateways_that_reported_twice() {
        let start = Instant::now();
        let mut counts = DecisionCounts::default();
        let urls = ["http://a", "http://b"];
        let mut rates = |seconds, picked: &[(usize, u64)]| {
            let envoys: Vec<_> =
                picked.iter().map(|(url, picked)| (urls[*url], envoy(start, *picked))).collect();
            let envoys = envoys.iter().map(|(url, envoy)| (*url, envoy));
            let rates = counts.rates(start + Duration::from_secs(seconds), envoys);
            rates.map(|it| (it.placed, it.refused))
        };
        assert_eq!(rates(0, &[(0, 10)]), None, "the first look");
        assert_eq!(rates(2, &[(0, 30)]), Some((10.0, 0.0)));
        assert_eq!(rates(3, &[(0, 4)]), Some((4.0, 0.0)), "it began anew");
        assert_eq!(rates(4, &[(0, 5), (1, 1000)]), Some((1.0, 0.0)), "b is new");
        assert_eq!(rates(5, &[(1, 1002)]), Some((2.0, 0.0)), "a is gone");
        assert_eq!(rates(6, &[]), None, "no gateway reports");
    }
}
