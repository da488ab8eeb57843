//! One plugin instance: configures itself and makes a context for each stream.

use std::rc::Rc;

use proxy_wasm::{
    traits::{Context, HttpContext, RootContext},
    types::ContextType,
};
use wire::config::PluginConfig;

use crate::{
    host, ingest::Ingest, picker::Picker, plugin_instance::PluginInstance, pool::Pools,
    pool_worker, pull::Fetcher, receiver::Receiver, stats::Stats, warm_up,
};

/// One plugin instance in one VM.
pub(crate) struct Root {
    context_id: u32,
    role: Role,
}

/// What a plugin instance is, once it is configured.
enum Role {
    /// Envoy makes no stream before `on_configure` has succeeded.
    Unconfigured,
    /// It picks endpoints for requests.
    Picker(Rc<PluginInstance>),
    /// It takes the scraper's pushes.
    Ingest(Rc<Receiver>),
}

impl Root {
    /// The instance with this context id.
    pub(crate) fn new(context_id: u32) -> Self {
        Self { context_id, role: Role::Unconfigured }
    }
}

impl Role {
    fn configured(json: &[u8]) -> Result<Self, String> {
        match wire::config::parse(json).map_err(|error| error.to_string())? {
            PluginConfig::Picker(mut config) => {
                // One is as warm as another.
                config.pools.first().into_iter().for_each(warm_up::run);
                let pools = Pools::configure(std::mem::take(&mut config.pools))?;
                pool_worker::set_tick_period(pools.nodes());
                Ok(Self::Picker(Rc::new(PluginInstance { config, pools, stats: Stats::define() })))
            }
            PluginConfig::Ingest(config) => {
                Ok(Self::Ingest(Rc::new(Receiver::new("ingest", &config)?)))
            }
        }
    }
}

impl Context for Root {
    fn on_http_call_response(&mut self, token: u32, headers: usize, body_size: usize, _: usize) {
        if let Role::Picker(worker) = &self.role {
            for fetcher in worker.pools.fetchers() {
                fetcher.answered(token, headers, body_size);
            }
        }
    }
}

impl RootContext for Root {
    fn on_configure(&mut self, size: usize) -> bool {
        match Role::configured(&host::plugin_configuration(size)) {
            Ok(role) => self.role = role,
            Err(reason) => log::error!("llm-picker cannot start: {reason}"),
        }
        !matches!(self.role, Role::Unconfigured)
    }

    fn on_tick(&mut self) {
        if let Role::Picker(worker) = &self.role {
            worker.pools.nodes().for_each(|node| node.tick(self.context_id));
            pool_worker::set_tick_period(worker.pools.nodes());
            worker.pools.fetchers().for_each(Fetcher::ask);
        }
    }

    fn on_queue_ready(&mut self, queue: u32) {
        if let Role::Picker(worker) = &self.role {
            let mut nodes = worker.pools.nodes();
            if let Some(node) = nodes.find(|node| node.is_woken_by(queue)) {
                node.receive(self.context_id);
            }
        }
    }

    fn create_http_context(&self, context_id: u32) -> Option<Box<dyn HttpContext>> {
        match &self.role {
            // The SDK panics on `None`; a stream without a plugin passes untouched.
            Role::Unconfigured => Some(Box::new(Untouched)),
            Role::Picker(worker) => Some(Box::new(Picker::new(Rc::clone(worker), context_id))),
            Role::Ingest(receiver) => Some(Box::new(Ingest::new(Rc::clone(receiver)))),
        }
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

/// A stream that this plugin leaves alone.
struct Untouched;

impl Context for Untouched {}
impl HttpContext for Untouched {}
