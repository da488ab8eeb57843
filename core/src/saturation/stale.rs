//! The endpoints that a detector has no fresh metrics of.

use std::{fmt, time::Duration};

use super::{Detector, Load, Staleness, Utilization};

/// The endpoints of which the metrics are too old for a detector, or missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StaleEndpoints {
    /// Number of these endpoints.
    pub stale: u32,
    /// Number of all endpoints that can be chosen.
    pub endpoints: u32,
    /// Age of the oldest metrics; `None` if no stale endpoint was ever read.
    pub oldest: Option<Duration>,
    /// Age up to which the detector goes by metrics.
    pub allowed: Duration,
    /// Treatment of the stale endpoints.
    pub policy: Staleness,
}

impl StaleEndpoints {
    /// True if requests wait for nothing but fresh metrics: stale endpoints count as full, and there are
    /// such.
    #[must_use]
    pub fn shut_the_gate(&self) -> bool {
        self.stale > 0 && self.policy == Staleness::Saturated
    }
}

/// Says what was found and what is allowed, for logs and the status page.
impl fmt::Display for StaleEndpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stale, endpoints, oldest, allowed, policy } = self;
        write!(f, "{stale} of {endpoints} endpoints have stale metrics and ")?;
        f.write_str(match policy {
            Staleness::Saturated => "count as full",
            Staleness::Ignore => "are left out",
            Staleness::Estimate => "are estimated by what is in flight",
        })?;
        write!(f, " (stalenessPolicy \"{}\"): ", policy.name())?;
        match oldest {
            Some(age) => write!(f, "found metrics {} ms old", age.as_millis())?,
            None => f.write_str("found metrics that were never read")?,
        }
        write!(f, "; allowed: {} ms (metricsStalenessThreshold)", allowed.as_millis())
    }
}

impl Detector {
    /// Returns the endpoints that are stale by this detector; of several the one that finds most. None is
    /// for a detector that reads no metrics.
    #[must_use]
    pub fn stale(&self, loads: &[Load]) -> StaleEndpoints {
        match self {
            Self::Utilization(detector) => stale(detector, loads),
            Self::Concurrency(_) | Self::Adaptive(_) => StaleEndpoints::default(),
            Self::Max(children) => {
                let found = children.iter().map(|child| child.stale(loads));
                found.max_by_key(|it| (it.shut_the_gate(), it.stale)).unwrap_or_default()
            }
        }
    }
}

fn stale(detector: &Utilization, loads: &[Load]) -> StaleEndpoints {
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let stale = || loads.iter().filter(|load| detector.is_stale(load));
    StaleEndpoints {
        stale: count(stale().count()),
        endpoints: count(loads.len()),
        oldest: stale().filter_map(|load| load.metrics_age).max(),
        allowed: detector.metrics_staleness,
        policy: detector.staleness,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::saturation::Concurrency;

    fn read(age_ms: u64) -> Load {
        Load { metrics_age: Some(Duration::from_millis(age_ms)), ..Load::default() }
    }

    #[test]
    fn stale_endpoints_are_named_with_what_is_allowed() {
        let loads = [read(200), read(201), read(1_020), Load::default()];
        let found = |staleness| {
            let detector = Detector::Utilization(Utilization { staleness, ..Default::default() });
            let found =
                Detector::Max(vec![Detector::Concurrency(Concurrency::default()), detector]);
            let found = found.stale(&loads);
            format!("{} {found}", found.shut_the_gate())
        };
        insta::assert_snapshot!(Staleness::NAMES.map(|name| found(name.parse().unwrap())).join("\n"), @r#"
        false 3 of 4 endpoints have stale metrics and are estimated by what is in flight (stalenessPolicy "estimate"): found metrics 1020 ms old; allowed: 200 ms (metricsStalenessThreshold)
        true 3 of 4 endpoints have stale metrics and count as full (stalenessPolicy "saturated"): found metrics 1020 ms old; allowed: 200 ms (metricsStalenessThreshold)
        false 3 of 4 endpoints have stale metrics and are left out (stalenessPolicy "ignore"): found metrics 1020 ms old; allowed: 200 ms (metricsStalenessThreshold)
        "#);
        let never = Detector::default().stale(&[Load::default()]).to_string();
        assert!(never.contains("never read"), "{never}");
        assert_eq!(Detector::default().stale(&loads[..1]).stale, 0);
    }
}
