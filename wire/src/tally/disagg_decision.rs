//! The stages of a request that were served apart.

use picker_core::StagesApart;
use serde::{Deserialize, Serialize};

/// Stages that a request ran apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are the EPP's own, and say it")]
pub enum DisaggDecision {
    DecodeOnly,
    PrefillDecode,
    EncodeDecode,
    EncodePrefillDecode,
}

impl DisaggDecision {
    /// Returns the word as the EPP spells it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::DecodeOnly => "decode-only",
            Self::PrefillDecode => "prefill-decode",
            Self::EncodeDecode => "encode-decode",
            Self::EncodePrefillDecode => "encode-prefill-decode",
        }
    }
}

impl From<StagesApart> for DisaggDecision {
    fn from(stages: StagesApart) -> Self {
        match stages {
            StagesApart::DecodeOnly => Self::DecodeOnly,
            StagesApart::Prefill => Self::PrefillDecode,
            StagesApart::Encode => Self::EncodeDecode,
            StagesApart::EncodeAndPrefill => Self::EncodePrefillDecode,
        }
    }
}
