//! The gates that take part.

use std::{collections::BTreeMap, time::Duration};

use picker_core::{
    Config, Profile,
    flow::{BandConfig, FlowConfig, Limits, Priority, Ttl},
    saturation::{Adaptive, Detector, LatencyGoals, Utilization},
    worker::{Conduct, WorkerConfig},
};

/// Priorities of interactive requests and of batch.
pub(super) const BANDS: [Priority; 2] = [Priority(10), Priority(0)];

/// A gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gate {
    /// Every request goes at once.
    None,
    /// The EPP's thresholds at their defaults, by our detector of that name, which counts what was sent since
    /// a page too. As the EPP reads them, all that waits goes between two pages.
    Thresholds,
    /// The detector without thresholds.
    Adaptive,
    /// The same with a goal for the time to the first token.
    AdaptiveByTtft,
}

/// The goal of [`Gate::AdaptiveByTtft`], near those that the scenarios are judged by.
const TTFT: Duration = Duration::from_millis(150);

impl Gate {
    pub(super) const ALL: [Self; 4] =
        [Self::None, Self::Thresholds, Self::Adaptive, Self::AdaptiveByTtft];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Thresholds => "thresholds",
            Self::Adaptive => "adaptive",
            Self::AdaptiveByTtft => "adaptive, ttft 150 ms",
        }
    }

    /// Returns the settings of a worker behind this gate: choice and scorers are the same for all.
    pub(super) fn config(self) -> WorkerConfig {
        let detector = match self {
            Self::None | Self::Thresholds => Detector::Utilization(Utilization::default()),
            Self::Adaptive => Detector::Adaptive(Adaptive::default()),
            Self::AdaptiveByTtft => {
                let goals = LatencyGoals { ttft: Some(TTFT), ..LatencyGoals::default() };
                Detector::Adaptive(Adaptive { goals })
            }
        };
        let mut profile = Profile::default();
        if self != Self::None {
            profile.filters.insert(0, picker_core::Filter::Detector(detector.clone()));
        }
        WorkerConfig {
            scheduler: Config { detector, scheduling: profile.into(), ..Config::default() },
            flow: (self != Self::None).then(queues),
            conduct: Conduct::FailsOpen,
            ..WorkerConfig::default()
        }
    }
}

/// Returns queues that turn no request away: the run has an end, and it is the gate that is compared.
fn queues() -> FlowConfig {
    let band = BandConfig { limits: Limits::default(), ..BandConfig::default() };
    FlowConfig {
        bands: BANDS
            .into_iter()
            .map(|priority| (priority, band.clone()))
            .collect::<BTreeMap<_, _>>(),
        default_ttl: Ttl::Within(Duration::from_secs(3_600)),
        ..FlowConfig::default()
    }
}
