//! One plugin instance: configures itself and makes a context for each stream.

use std::{hash::BuildHasher, rc::Rc};

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
    picker::Picker,
    stats::Stats,
    warm_up,
    worker::Worker,
};

/// A shorter secret could be guessed by trying.
const SECRET_BYTES_MIN: usize = 16;

/// What this plugin instance is, once it is configured.
#[derive(Default)]
pub(crate) enum Root {
    /// Envoy makes no stream before `on_configure` has succeeded.
    #[default]
    Unconfigured,
    /// It picks endpoints for requests.
    Picker(Rc<Worker>),
    /// It takes the scraper's pushes.
    Ingest(Rc<Receiver>),
}

impl Root {
    fn configured(json: &[u8]) -> Result<Self, String> {
        match wire::config::parse(json).map_err(|error| error.to_string())? {
            PluginConfig::Picker(config) => {
                warm_up::run(&config);
                Ok(Self::Picker(Rc::new(Worker::new(config, random_seed()))))
            }
            PluginConfig::Ingest(config) => Ok(Self::Ingest(Rc::new(receiver(&config)?))),
        }
    }
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, size: usize) -> bool {
        match Self::configured(&host::plugin_configuration(size)) {
            Ok(configured) => *self = configured,
            Err(reason) => log::error!("llm-picker cannot start: {reason}"),
        }
        !matches!(self, Self::Unconfigured)
    }

    fn create_http_context(&self, context_id: u32) -> Option<Box<dyn HttpContext>> {
        match self {
            // The SDK panics on `None`; a stream without a plugin passes untouched.
            Self::Unconfigured => Some(Box::new(Untouched)),
            Self::Picker(worker) => Some(Box::new(Picker::new(Rc::clone(worker), context_id))),
            Self::Ingest(receiver) => Some(Box::new(Ingest::new(Rc::clone(receiver)))),
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

/// Differs from VM to VM, so that workers break ties differently.
fn random_seed() -> u64 {
    std::collections::hash_map::RandomState::new().hash_one(0_u8)
}
