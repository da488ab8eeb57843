//! The root context of a plugin instance: configures it, and makes a context for each stream.

use std::rc::Rc;

use proxy_wasm::{
    traits::{Context, HttpContext, RootContext},
    types::ContextType,
};
use wire::config::{FailureMode, PluginConfig};

use crate::{
    counters::Counters, fetch, gateway, host, ingest::Ingest, plugin_instance::PluginInstance,
    pool::Pools, receiver::Receiver, run, stream::Picker, warm_up,
};

/// A plugin instance in one VM.
pub(crate) struct Root {
    context_id: u32,
    role: InstanceRole,
}

/// The role of a plugin instance, by its configuration.
enum InstanceRole {
    /// Envoy makes no stream before `on_configure` has succeeded.
    Unconfigured,
    /// Picks endpoints for requests.
    Picker(Rc<PluginInstance>),
    /// Takes the scraper's pushes.
    Ingest(Rc<Receiver>),
}

impl Root {
    /// Makes the root context with this id.
    pub(crate) fn new(context_id: u32) -> Self {
        Self { context_id, role: InstanceRole::Unconfigured }
    }
}

impl InstanceRole {
    fn configured(json: &[u8]) -> Result<Self, String> {
        match wire::config::parse(json).map_err(|error| error.to_string())? {
            PluginConfig::Picker(mut config) => {
                // The hot path is the same for all pools, so that one of them warms it up.
                config.pools.first().into_iter().for_each(warm_up::run);
                let fails_open = config.failure_mode == FailureMode::FailOpen;
                let pools = Pools::configure(std::mem::take(&mut config.pools), fails_open)?;
                run::configure(&pools);
                run::set_tick_period(&pools);
                let counters = Counters::define();
                Ok(Self::Picker(Rc::new(PluginInstance { config, counters, pools })))
            }
            PluginConfig::Ingest(config) => {
                Ok(Self::Ingest(Rc::new(Receiver::new("ingest", &config)?)))
            }
        }
    }
}

impl Context for Root {
    fn on_http_call_response(&mut self, token: u32, headers: usize, body_size: usize, _: usize) {
        if let InstanceRole::Picker(instance) = &self.role {
            for pool in instance.pools.iter() {
                fetch::answered(pool, token, headers, body_size);
            }
        }
    }
}

impl RootContext for Root {
    fn on_configure(&mut self, size: usize) -> bool {
        gateway::draw_id();
        match InstanceRole::configured(&host::plugin_configuration(size)) {
            Ok(role) => self.role = role,
            Err(reason) => log::error!("llm-picker cannot start: {reason}"),
        }
        !matches!(self.role, InstanceRole::Unconfigured)
    }

    fn on_tick(&mut self) {
        if let InstanceRole::Picker(instance) = &self.role {
            run::tick(&instance.pools, self.context_id);
            instance.counters.add_pending(host::now());
            instance.pools.iter().for_each(fetch::ask);
        }
    }

    fn on_queue_ready(&mut self, queue: u32) {
        if let InstanceRole::Picker(instance) = &self.role
            && let Some(pool) = instance.pools.iter().find(|pool| pool.is_woken_by(queue))
        {
            run::receive(pool, queue, self.context_id);
        }
    }

    fn create_http_context(&self, context_id: u32) -> Option<Box<dyn HttpContext>> {
        match &self.role {
            // The SDK panics on `None`; a stream without a plugin passes untouched.
            InstanceRole::Unconfigured => Some(Box::new(Untouched)),
            InstanceRole::Picker(instance) => {
                Some(Box::new(Picker::new(Rc::clone(instance), context_id)))
            }
            InstanceRole::Ingest(receiver) => Some(Box::new(Ingest::new(Rc::clone(receiver)))),
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
