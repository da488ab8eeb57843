//! Counts and histograms of requests on their way from a worker to the scraper, which serves them
//! under the EPP's names.
//!
//! A worker sums them by label set in memory ([`WorkerTally`]) and writes those that changed into
//! shared data, some label sets together in a [`chunk`]. Counts are cumulative from the worker's
//! first request on and named by its epoch, a random number, so that the scraper can add them up
//! over workers, gateways and restarts: of each epoch only what is new counts.

// The names: what is measured, and of what.
mod bounds;
mod disagg_decision;
mod family;
mod labels;
mod measure;
mod own_error;
mod queue_outcome;

// The numbers: of one label set, of a worker, on their way.
mod count;
mod table;

pub mod chunk;
pub mod head;
pub mod roll;

/// Version of the values in shared data, and so of their keys: that of chunks and of heads.
pub(crate) const VERSION: u8 = {
    assert!(chunk::FRAME.version == head::FRAME.version, "one version stands for both");
    head::FRAME.version
};

pub use count::{Count, LabelSet};
pub use disagg_decision::DisaggDecision;
pub use family::{Family, FamilyKind, Unit};
pub use head::Head;
pub use labels::{LABEL_BYTES_MAX, Labels, OTHER, clipped};
pub use measure::{Agreement, ErrorCode, FallbackReason, Measure, RefusedStatus};
pub use own_error::OwnError;
pub use queue_outcome::{EnqueueOutcome, QueueOutcome};
pub use table::{Places, SetId, WorkerTally};
