//! The saturation of a pool: how near it is to its limit, and how many more requests it can take.
//!
//! A [`Detector`] reads every endpoint's [`Load`] once and answers with a [`Budget`], out of which
//! any number of dispatches can be decided without reading the loads again.

mod adaptive;
mod budget;
mod capacity;
mod concurrency;
mod kept;
mod learnt_limit;
mod load;
mod prompt_room;
mod stale;
mod utilization;

use std::str::FromStr;

pub use adaptive::{
    Adaptive, Allowance, BandShares, EndpointLimit, Expected, LatencyGoals, Overdue, Page,
    Pressure, RequestTimes,
};
pub use budget::Budget;
pub use capacity::Capacity;
pub use concurrency::{Concurrency, ConcurrencyMode};
pub use kept::KeptPlaces;
pub use learnt_limit::LearntLimit;
pub use load::Load;
pub use prompt_room::PromptRoom;
pub use stale::StaleEndpoints;
pub use utilization::{Staleness, Utilization};

use crate::model::{Amounts, Priority, UnknownPolicy};

/// Measures the saturation of a pool: 0 is idle, at 1 and above the gate is shut.
#[derive(Clone, Debug, PartialEq)]
pub enum Detector {
    /// By the engines' own queues and caches (`utilization-detector`).
    Utilization(Utilization),
    /// By what all known gateways have in flight (`concurrency-detector`).
    Concurrency(Concurrency),
    /// By limits that the endpoints show by themselves (`adaptive-detector`).
    Adaptive(Adaptive),
    /// The most saturated of several (`max-saturation-detector`); of none, never saturated.
    Max(Vec<Self>),
}

/// The types of detector. One needs children, so a name alone does not make a detector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DetectorKind {
    /// Makes a [`Detector::Utilization`].
    Utilization,
    /// Makes a [`Detector::Concurrency`].
    Concurrency,
    /// Makes a [`Detector::Adaptive`].
    Adaptive,
    /// Makes a [`Detector::Max`].
    Max,
}

impl Default for Detector {
    fn default() -> Self {
        Self::Utilization(Utilization::default())
    }
}

impl Detector {
    /// Returns the name of its type, the EPP's where that has it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        let kind = match self {
            Self::Utilization(_) => DetectorKind::Utilization,
            Self::Concurrency(_) => DetectorKind::Concurrency,
            Self::Adaptive(_) => DetectorKind::Adaptive,
            Self::Max(_) => DetectorKind::Max,
        };
        kind.name()
    }

    /// Returns what the pool can still take. A pool without endpoints has saturation 1 and no room.
    /// The endpoints that compute prompts and those that answer are measured apart, so that the
    /// idle of one stage do not hide that the other is full (EPP: the larger of the stages'
    /// saturations); a request may take of both.
    #[must_use]
    pub fn room(&self, loads: &[Load]) -> Budget {
        if loads.is_empty() {
            return Budget::shut();
        }
        if loads.iter().all(|load| load.decodes() && !load.prefills()) {
            return self.measure(loads);
        }
        let stage = |is_of: fn(&Load) -> bool| -> Vec<Load> {
            loads.iter().filter(|load| is_of(load)).copied().collect()
        };
        let stages = [stage(Load::prefills), stage(Load::decodes)];
        let there = stages.iter().filter(|stage| !stage.is_empty());
        Budget::tightest(there.map(|stage| self.measure(stage)))
    }

    /// Returns the saturation of each stage that has endpoints: of those that compute prompts, and of those that answer.
    #[must_use]
    pub fn stages(&self, loads: &[Load]) -> StageSaturations {
        let stage = |is_of: fn(&Load) -> bool| {
            let of_stage: Vec<Load> = loads.iter().filter(|load| is_of(load)).copied().collect();
            (!of_stage.is_empty()).then(|| self.measure(&of_stage).saturation())
        };
        StageSaturations { prefill: stage(Load::prefills), decode: stage(Load::decodes) }
    }

    /// Returns the budget of [`Self::room`] where a prompt may be computed by another endpoint than the one that
    /// answers. Where the stages share endpoints a request may count for two there.
    #[must_use]
    pub fn room_in_stages(&self, loads: &[Load]) -> Budget {
        let budget = self.room(loads);
        if stages_are_apart(loads) { budget } else { budget.for_two() }
    }

    /// Returns what one stage can still take.
    fn measure(&self, loads: &[Load]) -> Budget {
        match self {
            Self::Utilization(detector) => detector.room(loads),
            Self::Concurrency(detector) => detector.room(loads),
            Self::Adaptive(detector) => detector.room(loads),
            Self::Max(children) => {
                Budget::tightest(children.iter().map(|child| child.measure(loads)))
            }
        }
    }

    /// Returns the most that the pool takes of all gateways, by each measure that this limits. Endpoints
    /// of all stages are taken as one.
    #[must_use]
    pub fn limits(&self, loads: &[Load]) -> Amounts {
        match self {
            Self::Utilization(detector) => detector.limits(loads),
            Self::Concurrency(detector) => detector.limits(loads),
            Self::Adaptive(detector) => detector.limits(loads),
            Self::Max(children) => {
                let limits = children.iter().map(|child| child.limits(loads));
                limits.fold(Amounts::default(), Amounts::least)
            }
        }
    }

    /// Returns the places that bands leave free to the bands above them.
    #[must_use]
    pub fn reserves(&self, loads: &[Load], bands: &BandShares) -> Vec<(Priority, u32)> {
        match self {
            Self::Adaptive(detector) => detector.reserves(loads, bands),
            Self::Utilization(_) | Self::Concurrency(_) => Vec::new(),
            Self::Max(children) => {
                children.iter().flat_map(|child| child.reserves(loads, bands)).collect()
            }
        }
    }

    /// True if a request of this priority may go to a full endpoint at all.
    #[must_use]
    pub fn opens_full(&self, loads: &[Load], bands: &BandShares, priority: Priority) -> bool {
        match self {
            Self::Adaptive(detector) => detector.opens_full(loads, bands, priority),
            Self::Utilization(_) | Self::Concurrency(_) => true,
            Self::Max(children) => {
                children.iter().all(|child| child.opens_full(loads, bands, priority))
            }
        }
    }

    /// True if it goes by the prompt tokens in flight.
    #[must_use]
    pub fn counts_tokens(&self) -> bool {
        match self {
            Self::Utilization(_) => false,
            Self::Concurrency(detector) => detector.mode != ConcurrencyMode::Requests,
            Self::Adaptive(_) => true,
            Self::Max(children) => children.iter().any(Self::counts_tokens),
        }
    }

    /// True if it goes by limits that are learnt of the endpoints.
    #[must_use]
    pub fn learns(&self) -> bool {
        match self {
            Self::Adaptive(_) => true,
            Self::Utilization(_) | Self::Concurrency(_) => false,
            Self::Max(children) => children.iter().any(Self::learns),
        }
    }

    /// Returns the latencies that limits keep to.
    #[must_use]
    pub fn goals(&self) -> LatencyGoals {
        match self {
            Self::Adaptive(detector) => detector.goals,
            Self::Utilization(_) | Self::Concurrency(_) => LatencyGoals::default(),
            Self::Max(children) => children
                .iter()
                .map(Self::goals)
                .fold(LatencyGoals::default(), LatencyGoals::strictest),
        }
    }

    /// True if one endpoint should be sent more, for the scheduling filter of the same name.
    #[must_use]
    pub fn has_headroom(&self, load: &Load) -> bool {
        match self {
            Self::Utilization(detector) => detector.has_headroom(load),
            Self::Concurrency(detector) => detector.has_headroom(load),
            Self::Adaptive(_) => load.free_places() > 0,
            Self::Max(children) => children.iter().all(|child| child.has_headroom(load)),
        }
    }
}

/// Saturation of each stage of a pool; absent for a stage without endpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StageSaturations {
    /// Saturation of the endpoints that compute prompts apart from answers.
    pub prefill: Option<f64>,
    /// Saturation of the endpoints that answer.
    pub decode: Option<f64>,
}

/// True if endpoints that compute prompts and endpoints that answer are never measured together.
fn stages_are_apart(loads: &[Load]) -> bool {
    loads.iter().any(Load::prefills) && !loads.iter().any(|it| it.prefills() && it.decodes())
}

impl DetectorKind {
    /// Every name there is.
    pub const NAMES: &[&str] = &[
        "utilization-detector",
        "concurrency-detector",
        "adaptive-detector",
        "max-saturation-detector",
    ];

    /// Returns the name of it, the EPP's where that has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Utilization => "utilization-detector",
            Self::Concurrency => "concurrency-detector",
            Self::Adaptive => "adaptive-detector",
            Self::Max => "max-saturation-detector",
        }
    }
}

impl FromStr for DetectorKind {
    type Err = UnknownPolicy;

    fn from_str(name: &str) -> Result<Self, UnknownPolicy> {
        [Self::Utilization, Self::Concurrency, Self::Adaptive, Self::Max]
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| UnknownPolicy::new("saturation detector", name, Self::NAMES))
    }
}
