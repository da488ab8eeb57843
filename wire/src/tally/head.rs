//! The head of a worker's counts in shared data: what there is of them, and the worker's gauges.

use picker_core::{Amounts, Instant, Objective, saturation::StageSaturations};
use serde::{Deserialize, Serialize};

use crate::{
    FrameError,
    band_limits::BandLimits,
    beliefs::{Beliefs, BeliefsRecord},
    decisions::{NOTED_MAX, NotedDecision, NotedRecord},
    frame::{Frame, bound},
    texts::{self, TextRecord},
    told_objective::{OBJECTIVES_TOLD_MAX, ObjectiveRecord},
};

pub(super) const FRAME: Frame = Frame { magic: *b"LPH", version: 5 };

/// Head of a worker's counts.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact by itself, and both may be true")]
pub struct Head {
    /// Time when it was written, which is regularly while the worker lives.
    pub written_at: Instant,
    /// Version of each chunk.
    pub versions: Vec<u32>,
    /// Saturation of the pool, where flow control is on and the pool has endpoints.
    pub saturation: Option<f64>,
    /// Saturation of each stage.
    pub stages: StageSaturations,
    /// Entries of the worker's prefix index.
    pub indexed: u64,
    /// Beliefs of the worker that the scraper should hear of.
    pub beliefs: Beliefs,
    /// True where flow control is on.
    pub has_flow_control: bool,
    /// True where the picker only looks on.
    pub is_observing: bool,
    /// Most that the pool takes of all gateways.
    pub limits: Amounts,
    /// Limits of the bands that flow control has.
    pub bands: Vec<BandLimits>,
    /// Objectives of the configuration. At most [`OBJECTIVES_TOLD_MAX`].
    pub objectives: Vec<Objective>,
    /// Some of the last decisions. At most [`NOTED_MAX`].
    pub decisions: Vec<NotedDecision>,
}

#[derive(Serialize, Deserialize)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact by itself, and both may be true")]
struct HeadRecord<'a> {
    written_at: u64,
    versions: Vec<u32>,
    saturation: Option<f64>,
    /// Of prefill, and of decode.
    stages: [Option<f64>; 2],
    indexed: u64,
    beliefs: BeliefsRecord,
    #[serde(borrow)]
    texts: Vec<TextRecord<'a>>,
    has_flow_control: bool,
    is_observing: bool,
    /// Requests, and tokens.
    limits: [Option<u64>; 2],
    bands: Vec<BandLimits>,
    #[serde(borrow)]
    objectives: Vec<ObjectiveRecord<'a>>,
    #[serde(borrow)]
    decisions: Vec<NotedRecord<'a>>,
}

impl Head {
    /// Returns the bytes that [`Head::decode`] reads.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let Amounts { requests, tokens } = self.limits;
        let record = HeadRecord {
            written_at: self.written_at.as_nanos(),
            versions: self.versions.clone(),
            saturation: self.saturation,
            stages: [self.stages.prefill, self.stages.decode],
            indexed: self.indexed,
            beliefs: BeliefsRecord::from_beliefs(&self.beliefs),
            texts: texts::records(&self.beliefs.texts),
            has_flow_control: self.has_flow_control,
            is_observing: self.is_observing,
            limits: [requests, tokens],
            bands: self.bands.clone(),
            objectives: self.objectives.iter().map(ObjectiveRecord::from_objective).collect(),
            decisions: self.decisions.iter().map(NotedRecord::from_decision).collect(),
        };
        // Numbers and text always serialise.
        FRAME.encode(&record).unwrap_or_default()
    }

    /// Reads a head.
    ///
    /// # Errors
    /// For bytes that are none.
    pub fn decode(bytes: &[u8]) -> Result<Self, FrameError> {
        let record: HeadRecord<'_> = FRAME.decode(bytes)?;
        bound(record.objectives.len() <= OBJECTIVES_TOLD_MAX, "objectives", "64")?;
        bound(record.decisions.len() <= NOTED_MAX, "decisions", "8")?;
        let [requests, tokens] = record.limits;
        let [prefill, decode] = record.stages.map(|it| it.filter(|it| it.is_finite()));
        let texts = texts::measures(&record.texts)?;
        let objectives = record.objectives.into_iter().map(ObjectiveRecord::into_objective);
        let decisions = record.decisions.into_iter().map(NotedRecord::into_decision);
        Ok(Self {
            written_at: Instant::from_nanos(record.written_at),
            versions: record.versions,
            saturation: record.saturation.filter(|it| it.is_finite()),
            stages: StageSaturations { prefill, decode },
            indexed: record.indexed,
            beliefs: Beliefs { stale: record.beliefs.into_stale(), texts },
            has_flow_control: record.has_flow_control,
            is_observing: record.is_observing,
            limits: Amounts { requests, tokens },
            bands: record.bands,
            objectives: objectives.collect(),
            decisions: decisions.collect(),
        })
    }
}
