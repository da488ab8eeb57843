//! One plugin instance: configures itself and makes a context for each stream.

use std::rc::Rc;

use engine::flow::FlowConfig;
use proxy_wasm::{
    traits::{Context, HttpContext, RootContext},
    types::ContextType,
};
use wire::{
    config::{IngestConfig, PluginConfig},
    push::Secret,
};

use crate::{
    host,
    ingest::{Ingest, Receiver},
    node::Node,
    picker::{Picker, Worker},
    stats::Stats,
    warm_up,
};

/// A shorter secret could be guessed by trying.
const SECRET_BYTES_MIN: usize = 16;

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
                warm_up::run(&config);
                let node = Node::configure(&config);
                let charges = config.flow.as_ref().is_some_and(FlowConfig::charges_tokens);
                let stats = Stats::define();
                Ok(Self::Picker(Rc::new(Worker { config, stats, node, charges })))
            }
            PluginConfig::Ingest(config) => Ok(Self::Ingest(Rc::new(receiver(&config)?))),
        }
    }
}

impl Context for Root {}

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

fn receiver(config: &IngestConfig) -> Result<Receiver, String> {
    let name = &config.secret_env;
    let secret = std::env::var(name).unwrap_or_default().into_bytes();
    if secret.len() < SECRET_BYTES_MIN {
        return Err(format!(
            "ingest.secretEnv: found {} bytes in the environment variable {name}; at least \
             {SECRET_BYTES_MIN} are needed, and vm_config.environment_variables must pass it on",
            secret.len()
        ));
    }
    let secret = Secret::new(&secret).ok_or("the secret is empty")?;
    Ok(Receiver { max_bytes: config.max_bytes, secret, stats: Stats::define() })
}
