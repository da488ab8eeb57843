//! The head of a worker's counts in shared data: what there is of them, and the worker's gauges.

use picker_core::Instant;
use serde::{Deserialize, Serialize};

use crate::{
    FrameError,
    beliefs::{Beliefs, BeliefsRecord},
    frame::Frame,
    texts::{self, TextRecord},
};

pub(super) const FRAME: Frame = Frame { magic: *b"LPH", version: 3 };

/// Head of a worker's counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Head {
    /// Time when it was written, which is regularly while the worker lives.
    pub written_at: Instant,
    /// Version of each chunk.
    pub versions: Vec<u32>,
    /// Saturation of the pool, where flow control is on and the pool has endpoints.
    pub saturation: Option<f64>,
    /// Entries of the worker's prefix index.
    pub indexed: u64,
    /// What the worker believes and the scraper should hear of.
    pub beliefs: Beliefs,
}

#[derive(Serialize, Deserialize)]
struct HeadRecord<'a> {
    written_at: u64,
    versions: Vec<u32>,
    saturation: Option<f64>,
    indexed: u64,
    beliefs: BeliefsRecord,
    #[serde(borrow)]
    texts: Vec<TextRecord<'a>>,
}

impl Head {
    /// Returns the bytes that [`Head::decode`] reads.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let Self { written_at, ref versions, saturation, indexed, ref beliefs } = *self;
        let (written_at, versions) = (written_at.as_nanos(), versions.clone());
        let texts = texts::records(&beliefs.texts);
        let beliefs = BeliefsRecord::from_beliefs(beliefs);
        let record = HeadRecord { written_at, versions, saturation, indexed, beliefs, texts };
        // Numbers always serialise.
        FRAME.encode(&record).unwrap_or_default()
    }

    /// Reads a head.
    ///
    /// # Errors
    /// For bytes that are none.
    pub fn decode(bytes: &[u8]) -> Result<Self, FrameError> {
        let HeadRecord { written_at, versions, saturation, indexed, beliefs, texts } =
            FRAME.decode(bytes)?;
        let written_at = Instant::from_nanos(written_at);
        let saturation = saturation.filter(|it| it.is_finite());
        let beliefs = Beliefs { stale: beliefs.into_stale(), texts: texts::measures(&texts)? };
        Ok(Self { written_at, versions, saturation, indexed, beliefs })
    }
}
