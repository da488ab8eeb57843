//! The endpoints of one pool, as one worker knows them: their state, what each has cached, what was
//! learnt of each, and the requests that were sent there.

mod slot;

mod sent;

mod candidate;
mod endpoints;
mod state;

pub mod prefix;

mod learned;
mod lives;
mod outlier;
mod placements;
mod sessions;

pub(crate) use candidate::Candidate;
pub(crate) use endpoints::{PageSight, Pool};
pub(crate) use learned::{
    Features, HeadSent, Learned, Look, Occupants, OrderTrial, OutputKinds, Rates, Reuse, SentPrompt,
};
pub(crate) use lives::Lives;
pub(crate) use outlier::OutlierDetector;
pub(crate) use placements::{Placement, Placements};
pub(crate) use sent::Sent;
pub(crate) use sessions::Sessions;
pub use slot::Slot;
#[cfg(test)]
pub(crate) use state::tests;
pub(crate) use state::{EndpointState, EngineLoad};
