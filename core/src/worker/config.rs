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
    /// True if requests go on without an endpoint of ours until the first snapshot comes. An empty
    /// pool is known to be empty: nothing could serve the request, so that it never fails open.
    pub fails_open: bool,
}
