//! The pools of one plugin instance, and which of them a request is for.

use std::rc::Rc;

use picker_core::flow::FlowConfig;
use wire::config::{Destined, PoolConfig};

use crate::{
    host::{self, Headers},
    identity,
    pool_worker::PoolWorker,
    pull::Fetcher,
};

/// One pool, as one plugin instance is configured for it.
pub(crate) struct Pool {
    /// What the operator configured.
    pub(crate) config: PoolConfig,
    /// The part of this VM in it.
    pub(crate) node: Rc<PoolWorker>,
    /// What fetches its snapshots, where they are not pushed.
    fetcher: Rc<Fetcher>,
    /// Whether tenants are charged for output tokens.
    pub(crate) charges: bool,
}

/// All of them, in the order in which they are tried.
pub(crate) struct Pools {
    pools: Vec<Rc<Pool>>,
    /// Whether Envoy has to be asked for the route's cluster.
    by_cluster: bool,
}

impl Pool {
    fn configure(config: PoolConfig) -> Result<Self, String> {
        let fetcher = Fetcher::configure(&config.name, config.pull.as_ref())?;
        let node = PoolWorker::configure(&config);
        let charges = config.flow.as_ref().is_some_and(FlowConfig::charges_tokens);
        Ok(Self { config, node, fetcher, charges })
    }
}

impl Pools {
    /// Takes part in all of them from now on.
    ///
    /// # Errors
    /// Where snapshots can't be fetched as configured, in words.
    pub(crate) fn configure(configs: Vec<PoolConfig>) -> Result<Self, String> {
        let by_cluster = configs.iter().any(|config| config.matches.cluster.is_some());
        let pools = configs.into_iter().map(|config| Pool::configure(config).map(Rc::new));
        Ok(Self { pools: pools.collect::<Result<_, _>>()?, by_cluster })
    }

    /// Those that a request with these headers may be for; the first whose model fits is its pool.
    pub(crate) fn fitting(&self, headers: &Headers) -> Vec<Rc<Pool>> {
        let header = |name| identity::last(headers, name).unwrap_or_default();
        let cluster = if self.by_cluster { host::route_cluster() } else { Vec::new() };
        let request =
            Destined { host: header(":authority"), path: header(":path"), cluster: &cluster };
        let fits = |pool: &&Rc<Pool>| pool.config.matches.fits(request);
        self.pools.iter().filter(fits).map(Rc::clone).collect()
    }

    /// What fetches their snapshots.
    pub(crate) fn fetchers(&self) -> impl Iterator<Item = &Fetcher> {
        self.pools.iter().map(|pool| &*pool.fetcher)
    }

    /// The parts of this VM in them.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = &PoolWorker> {
        self.pools.iter().map(|pool| &*pool.node)
    }
}
