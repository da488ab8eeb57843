//! One plugin instance: configures itself and makes a context for each stream.

use std::rc::Rc;

use engine::flow::FlowConfig;
use proxy_wasm::{
    traits::{Context, HttpContext, RootContext},
    types::ContextType,
};
use wire::config::PluginConfig;

use crate::{
    host,
    ingest::Ingest,
    node::Node,
    picker::{Picker, Worker},
    pull::Fetcher,
    receiver::Receiver,
    stats::Stats,
    warm_up,
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
    Picker(Rc<Worker>),
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
            PluginConfig::Picker(config) => {
                let fetcher = Fetcher::configure(&config.pool, config.pull.as_ref())?;
                warm_up::run(&config);
                let node = Node::configure(&config);
                let charges = config.flow.as_ref().is_some_and(FlowConfig::charges_tokens);
                let stats = Stats::define();
                Ok(Self::Picker(Rc::new(Worker { config, stats, node, fetcher, charges })))
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
            worker.fetcher.answered(token, headers, body_size);
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
            worker.node.tick(self.context_id);
            worker.fetcher.ask();
        }
    }

    fn on_queue_ready(&mut self, _: u32) {
        if let Role::Picker(worker) = &self.role {
            worker.node.receive(self.context_id);
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
