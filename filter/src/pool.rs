//! A pool that this VM takes part in.

use std::rc::Rc;

use picker_core::{
    flow::FlowConfig,
    worker::{Conduct, WorkerConfig},
};
use wire::config::{FailureMode, Mode, PickerConfig, PoolConfig};

use crate::{
    checked::CheckedPool,
    source::Source,
    store::{Heartbeats, SharedStore},
    vm::{self, PoolId},
};

/// A pool, as one plugin instance is configured for it.
pub(crate) struct Pool {
    /// The operator's configuration.
    pub(crate) config: Rc<PoolConfig>,
    /// The settings of the pool's worker.
    pub(crate) worker_config: WorkerConfig,
    /// Context id of that plugin instance.
    pub(crate) instance: u32,
    /// Id of this VM's part in the pool.
    pub(crate) id: PoolId,
    /// The store that this VM shares with the others.
    pub(crate) store: SharedStore,
    /// The heartbeats of the pool's workers.
    pub(crate) heartbeats: Heartbeats,
    /// Source of its snapshots; `None` where they are pushed.
    pub(crate) source: Option<Rc<Source>>,
    /// True if sessions are kept by tokens.
    pub(crate) has_tokens: bool,
}

/// Returns the conduct of the workers of all pools, as an operator configured it.
pub(crate) fn conduct(config: &PickerConfig) -> Conduct {
    match (config.mode, config.failure_mode) {
        (Mode::Observe, _) => Conduct::Observes,
        (Mode::Steer, FailureMode::FailOpen) => Conduct::FailsOpen,
        (Mode::Steer, FailureMode::FailClose) => Conduct::FailsClosed,
    }
}

impl Pool {
    /// Takes part in a pool from now on, as the plugin instance with this context id. `acting` is the context that Envoy
    /// acts on.
    pub(crate) fn join(
        checked: &CheckedPool,
        conduct: Conduct,
        instance: u32,
        acting: u32,
    ) -> Self {
        let CheckedPool { config, source } = checked;
        let worker_config = worker_config(config, conduct);
        let id = vm::join(&config.name, &worker_config, acting);
        let worker = vm::in_pool(id, |pool| pool.worker.id());
        Self {
            instance,
            id,
            store: SharedStore::for_pool(&config.name),
            heartbeats: Heartbeats::for_worker(&config.name, worker),
            source: source.clone(),
            has_tokens: has_tokens(config),
            worker_config,
            config: Rc::clone(config),
        }
    }

    /// True if tenants are charged for output tokens.
    pub(crate) fn charges(&self) -> bool {
        charges(&self.config)
    }
}

/// True if a pool's sessions are kept by tokens.
pub(crate) fn has_tokens(config: &PoolConfig) -> bool {
    config.scheduler.token_headers().next().is_some()
}

/// True if a pool charges tenants for output tokens.
pub(crate) fn charges(config: &PoolConfig) -> bool {
    config.flow.as_ref().is_some_and(FlowConfig::charges_tokens)
}

/// Returns the settings of a pool's worker.
pub(crate) fn worker_config(config: &PoolConfig, conduct: Conduct) -> WorkerConfig {
    WorkerConfig {
        scheduler: config.scheduler.clone(),
        flow: config.flow.clone(),
        objectives: config.objectives.clone(),
        model_rewrites: config.model_rewrites.clone(),
        conduct,
    }
}
