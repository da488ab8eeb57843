//! The settings of one worker in one pool.

use crate::{
    flow::FlowConfig,
    model::{ModelRewrite, Objective},
    schedule::Config,
};

/// The settings of one worker in one pool, as the operator configured them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WorkerConfig {
    /// Settings of the scheduler.
    pub scheduler: Config,
    /// Settings of flow control; `None` turns it off.
    pub flow: Option<FlowConfig>,
    /// Objectives that count before those of the same name in a snapshot.
    pub objectives: Vec<Objective>,
    /// Model rewrites that count before those of a snapshot.
    pub model_rewrites: Vec<ModelRewrite>,
    /// Conduct where there is no choice to tell Envoy.
    pub conduct: Conduct,
}

/// Conduct of a worker where there is no choice to tell Envoy. An empty pool is known to be empty: nothing could
/// serve the request, so that it never fails open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Conduct {
    /// Until the first snapshot comes, requests are refused.
    #[default]
    FailsClosed,
    /// Until the first snapshot comes, requests go on without an endpoint of ours.
    FailsOpen,
    /// The worker only looks on: requests are placed as others will send them, and none is held or turned away. What
    /// flow control would have done is said with each decision.
    Observes,
}
