//! The details of a gateway's work on a pool that only people look at: how long requests wait, the limit that
//! flow control goes by, some decisions. They travel in a section of a [`crate::reply`] of their own.

use std::time::Duration;

use picker_core::{Amounts, Objective};
use serde::{Deserialize, Serialize};

use crate::{
    FrameError,
    band_limits::BandLimits,
    decisions::{TOLD_MAX, ToldDecision, ToldRecord},
    frame::bound,
    names::clip,
    queues::FLOWS_MAX,
    told_objective::{OBJECTIVES_TOLD_MAX, ObjectiveRecord},
};

/// Bands that are told: flow control has no more.
pub const BANDS_TOLD_MAX: usize = 64;

/// Bytes of a version.
const VERSION_BYTES_MAX: usize = 64;

/// Details of a gateway's work on a pool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact by itself, and both may be true")]
pub struct Details {
    /// True where flow control is on.
    pub has_flow_control: bool,
    /// True where the picker only looks on.
    pub is_observing: bool,
    /// Most that the pool takes of all gateways, by what flow control goes by; none where nothing limits it.
    pub limits: Amounts,
    /// Time that the oldest request of each flow has waited, in the order of the report's queues.
    pub oldest: Vec<Duration>,
    /// Limits of the bands that flow control has. At most [`BANDS_TOLD_MAX`].
    pub bands: Vec<BandLimits>,
    /// Version of the plugin.
    pub version: String,
    /// Objectives of the configuration. At most [`OBJECTIVES_TOLD_MAX`].
    pub objectives: Vec<Objective>,
    /// Some decisions, the newest first. At most [`TOLD_MAX`].
    pub decisions: Vec<ToldDecision>,
}

/// Layout of [`Details`], with times in milliseconds. A newer version appends fields.
#[derive(Serialize, Deserialize)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact by itself, and both may be true")]
pub(crate) struct DetailsRecord<'a> {
    has_flow_control: bool,
    is_observing: bool,
    requests: Option<u64>,
    tokens: Option<u64>,
    oldest_ms: Vec<u64>,
    #[serde(borrow)]
    objectives: Vec<ObjectiveRecord<'a>>,
    #[serde(borrow)]
    decisions: Vec<ToldRecord<'a>>,
    bands: Vec<BandLimits>,
    version: &'a str,
}

impl<'a> DetailsRecord<'a> {
    pub(crate) fn from_details(details: &'a Details) -> Self {
        let Details { has_flow_control, is_observing, limits, oldest, .. } = details;
        let Details { objectives, decisions, bands, version, .. } = details;
        let millis = |waited: &Duration| u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
        Self {
            has_flow_control: *has_flow_control,
            is_observing: *is_observing,
            requests: limits.requests,
            tokens: limits.tokens,
            oldest_ms: oldest.iter().map(millis).collect(),
            objectives: objectives.iter().map(ObjectiveRecord::from_objective).collect(),
            decisions: decisions.iter().map(ToldRecord::from_decision).collect(),
            bands: bands.clone(),
            version: clip(version, VERSION_BYTES_MAX),
        }
    }

    /// Returns the details.
    ///
    /// # Errors
    /// For more flows or decisions than there can be.
    pub(crate) fn into_details(self) -> Result<Details, FrameError> {
        bound(self.oldest_ms.len() <= FLOWS_MAX, "flows", "1,024")?;
        bound(self.objectives.len() <= OBJECTIVES_TOLD_MAX, "objectives", "64")?;
        bound(self.decisions.len() <= TOLD_MAX, "decisions", "64")?;
        bound(self.bands.len() <= BANDS_TOLD_MAX, "bands", "64")?;
        let (objectives, decisions) = (self.objectives.into_iter(), self.decisions.into_iter());
        Ok(Details {
            has_flow_control: self.has_flow_control,
            is_observing: self.is_observing,
            limits: Amounts { requests: self.requests, tokens: self.tokens },
            oldest: self.oldest_ms.into_iter().map(Duration::from_millis).collect(),
            objectives: objectives.map(ObjectiveRecord::into_objective).collect(),
            decisions: decisions.map(ToldRecord::into_decision).collect(),
            bands: self.bands,
            version: clip(self.version, VERSION_BYTES_MAX).to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use picker_core::flow::Priority;

    use super::*;

    fn details(decisions: usize) -> Details {
        let decision = ToldDecision {
            worker: u64::MAX,
            number: 7,
            age: Duration::from_millis(250),
            text: "endpoint=10.0.0.1:8000;score=1.00".to_owned(),
        };
        Details {
            has_flow_control: true,
            is_observing: true,
            limits: Amounts { requests: Some(64), tokens: None },
            oldest: vec![Duration::from_secs(52), Duration::ZERO],
            objectives: vec![Objective { name: "batch".to_owned(), priority: Priority(-7) }],
            decisions: vec![decision; decisions],
            bands: vec![BandLimits { priority: -1, requests: 5_000, bytes: 1 << 30 }],
            version: "0.1.0".to_owned(),
        }
    }

    fn read_back(details: &Details) -> Result<Details, FrameError> {
        let record = DetailsRecord::from_details(details);
        let bytes = postcard::to_extend(&record, Vec::new()).unwrap();
        let (record, _) = postcard::take_from_bytes::<DetailsRecord<'_>>(&bytes).unwrap();
        record.into_details()
    }

    #[test]
    fn details_read_back() {
        let details = details(2);
        assert_eq!(read_back(&details), Ok(details));
    }

    #[test]
    fn more_than_a_reply_has_is_refused_and_a_long_text_is_cut() {
        assert!(read_back(&details(TOLD_MAX + 1)).is_err());
        let mut long = details(1);
        "é".repeat(500).clone_into(&mut long.decisions[0].text);
        assert_eq!(read_back(&long).unwrap().decisions[0].text.len(), 768);
    }
}
