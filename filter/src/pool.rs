//! The pools of one plugin instance, and which of them a request is for.

use std::rc::Rc;

use picker_core::{
    flow::FlowConfig,
    worker::{Conduct, WorkerConfig},
};
use wire::config::{Destined, FailureMode, Mode, PickerConfig, PoolConfig};

use crate::{
    checked::CheckedPool,
    host::{self, Headers},
    session_key,
    source::Source,
    store::{Heartbeats, SharedStore},
    vm::{self, PoolId},
};

/// A pool, as one plugin instance is configured for it.
pub(crate) struct Pool {
    /// The operator's configuration.
    pub(crate) config: PoolConfig,
    /// The settings of the pool's worker.
    pub(crate) worker_config: WorkerConfig,
    /// Id of this VM's part in the pool.
    pub(crate) id: PoolId,
    /// The store that this VM shares with the others.
    pub(crate) store: SharedStore,
    /// The heartbeats of the pool's workers.
    pub(crate) heartbeats: Heartbeats,
    /// Source of its snapshots; `None` where they are pushed.
    pub(crate) source: Option<Rc<Source>>,
    /// Headers that the pool's plugins go by, in lower case.
    pub(crate) header_names: Vec<String>,
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

/// All pools of one plugin instance, in the order in which they are tried.
pub(crate) struct Pools {
    pools: Vec<Rc<Pool>>,
    /// True if Envoy has to be asked for the route's cluster.
    by_cluster: bool,
}

impl Pool {
    fn configure(checked: CheckedPool, conduct: Conduct, context: u32) -> Self {
        let CheckedPool { config, source } = checked;
        let worker_config = worker_config(&config, conduct);
        let id = vm::join(&config.name, &worker_config, context);
        let pool = Self {
            id,
            store: SharedStore::for_pool(&config.name),
            heartbeats: Heartbeats::for_worker(
                &config.name,
                vm::in_pool(id, |pool| pool.worker.id()),
            ),
            source,
            has_tokens: config.scheduler.token_headers().count() > 0,
            header_names: config.scheduler.header_names().into_iter().map(str::to_owned).collect(),
            worker_config,
            config,
        };
        pool.store.create();
        pool
    }

    /// True if tenants are charged for output tokens.
    pub(crate) fn charges(&self) -> bool {
        self.config.flow.as_ref().is_some_and(FlowConfig::charges_tokens)
    }
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

impl Pools {
    /// Takes part in all configured pools from now on, as the plugin instance with this context id.
    pub(crate) fn configure(checked: Vec<CheckedPool>, conduct: Conduct, context: u32) -> Self {
        let by_cluster = checked.iter().any(|pool| pool.config.matches.cluster.is_some());
        let configure = |pool| Rc::new(Pool::configure(pool, conduct, context));
        let pools: Vec<Rc<Pool>> = checked.into_iter().map(configure).collect();
        if pools.iter().any(|pool| pool.has_tokens) {
            session_key::draw();
        }
        Self { pools, by_cluster }
    }

    /// Finds the pools that a request with these headers may be for; the first that serves its model is
    /// the request's pool.
    pub(crate) fn fitting(&self, headers: &Headers) -> Vec<Rc<Pool>> {
        let header = |name| headers.last(name).unwrap_or_default();
        let cluster = if self.by_cluster { host::route_cluster() } else { Vec::new() };
        let request =
            Destined { host: header(":authority"), path: header(":path"), cluster: &cluster };
        let fits = |pool: &&Rc<Pool>| pool.config.matches.fits(request);
        self.pools.iter().filter(fits).map(Rc::clone).collect()
    }

    /// Iterates over all pools, in the order in which they are tried.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Rc<Pool>> {
        self.pools.iter()
    }
}
