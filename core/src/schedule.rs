//! The choice of an endpoint for one request: admitters, then profiles of filters, scorers and a
//! picker.

mod context;
mod needs;
mod output;
mod session_affinity;
mod stopwatch;

pub mod filter;
pub mod score;

mod explanation;
mod picker;
mod profile;
mod scheduling;

pub mod admission;
mod config;

pub use admission::Admitter;
pub use config::Config;
pub(crate) use context::{PickContext, SloHeadroom};
pub use explanation::{Explained, Explanation, ProfileExplanation};
pub(crate) use needs::Needs;
pub use output::{OutputEstimate, OutputRatio};
pub use picker::{Order, Picker};
pub(crate) use profile::ProfileRunResult;
pub use profile::{Profile, WeightedScorer};
pub use scheduling::{Decider, Disagg, Handler, Scheduling, StageOrder, StagesApart};
pub use session_affinity::{SessionAffinity, SessionStrategy};
pub(crate) use stopwatch::Stopwatch;
pub use stopwatch::{Clock, ExtensionPoint, PluginTime};
