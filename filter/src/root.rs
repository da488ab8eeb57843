//! The root context of a plugin instance: configures it, and makes a context for each stream.

use std::rc::Rc;

use proxy_wasm::{
    traits::{Context, HttpContext, RootContext},
    types::ContextType,
};
use wire::config::{CONFIG_BYTES_MAX, Claims, PluginConfig};

use crate::{
    bodies,
    bypass::{Bypass, Bypassed},
    checked::{CheckedConfig, CheckedPicker},
    counters::Counters,
    fetch, gateway, host,
    in_use::InUse,
    ingest::Ingest,
    kept_config::{self, Kept, KeptConfig},
    plugin_instance::PluginInstance,
    pool::conduct,
    pools::Pools,
    receiver::Receiver,
    retired, run,
    stream::Picker,
    ticks,
    vm::{self, KEEPER},
    warm_up,
};

/// A plugin instance in one VM.
pub(crate) struct Root {
    context_id: u32,
    role: InstanceRole,
    /// The memory of the plugin's configurations; `None` before the first.
    kept: Option<KeptConfig>,
    /// True if the configuration that Envoy gave was refused.
    is_faulty: bool,
    /// Text of that configuration, of which only the beginning is kept if it is refused for its length.
    config: Vec<u8>,
    /// Part of this instance in finding the configuration that is in use; `None` before the first.
    in_use: Option<InUse>,
}

/// The role of a plugin instance, by its configuration.
enum InstanceRole {
    /// Lets all requests pass, or answers them: before `on_configure`, or without a usable configuration.
    Bypass(Rc<Bypass>),
    /// Picks endpoints for requests.
    Picker(Rc<PluginInstance>),
    /// Takes the scraper's pushes.
    Ingest(Rc<Receiver>),
}

impl Root {
    /// Makes the root context with this id.
    pub(crate) fn new(context_id: u32) -> Self {
        let role = InstanceRole::Bypass(Rc::new(Bypass::new(Claims::default())));
        let (kept, config, in_use) = (None, Vec::new(), None);
        Self { context_id, role, kept, is_faulty: false, config, in_use }
    }

    /// Applies a configuration, or else the last good one.
    fn configure(&mut self, json: &[u8]) {
        let json = json.get(..=CONFIG_BYTES_MAX).unwrap_or(json);
        let plugin = host::plugin_name();
        let kept = KeptConfig::of_plugin(&plugin);
        let read = CheckedConfig::read(json);
        self.is_faulty = read.is_err();
        self.role = match read {
            Ok(checked) => {
                let Kept { before, is_news } = kept.keep(json);
                if is_news {
                    checked.announce(&plugin);
                }
                // The instance that had them may never say that it goes: its VM may die.
                retired::retire(
                    &before.map(|before| pools_of(&before)).unwrap_or_default(),
                    host::now(),
                );
                InstanceRole::configured(checked, self.context_id)
            }
            Err(faults) => {
                let role = InstanceRole::without(json, &kept, self.context_id);
                if kept.refuse(json, host::now()) {
                    tell(&plugin, &faults, &role);
                }
                role
            }
        };
        self.role.pools().into_iter().for_each(retired::reclaim);
        kept.show(self.is_faulty, host::now());
        self.kept = Some(kept);
        let digest = kept_config::digest(json);
        self.in_use = Some(InUse::configured(self.context_id, &plugin, digest, host::now()));
        self.config = json.to_vec();
    }

    /// Applies the configuration anew if Envoy has taken up this instance again: another one was applied since.
    fn take_up(&mut self) {
        if self.in_use.as_mut().is_some_and(|in_use| in_use.tick(host::now())) {
            let json = std::mem::take(&mut self.config);
            self.configure(&json);
        }
    }
}

impl InstanceRole {
    /// The pools that requests are picked for, where any are.
    fn pools(&self) -> Option<&Pools> {
        match self {
            Self::Picker(instance) => Some(&instance.pools),
            Self::Ingest(_) | Self::Bypass(_) => None,
        }
    }

    fn configured(checked: CheckedConfig, context_id: u32) -> Self {
        match checked {
            CheckedConfig::Picker(CheckedPicker { config, pools }) => {
                // The hot path is the same for all pools, so that one of them warms it up.
                pools.first().into_iter().for_each(|pool| warm_up::run(&pool.config));
                let pools = Pools::configure(pools, conduct(&config), context_id);
                pools.set_tick_period();
                let counters = Counters::define();
                Self::Picker(Rc::new(PluginInstance { context_id, config, counters, pools }))
            }
            CheckedConfig::Ingest(receiver) => {
                ticks::ask(context_id, false);
                Self::Ingest(Rc::new(receiver))
            }
        }
    }

    /// The role of an instance with a refused configuration.
    fn without(refused: &[u8], kept: &KeptConfig, context_id: u32) -> Self {
        match kept.last_good().map(|json| CheckedConfig::read(&json)) {
            Some(Ok(checked)) => Self::configured(checked, context_id),
            Some(Err(_)) | None => {
                ticks::ask(context_id, false);
                Self::Bypass(Rc::new(Bypass::new(Claims::of(refused))))
            }
        }
    }
}

/// Returns the names of the pools in a configuration.
fn pools_of(json: &[u8]) -> Vec<String> {
    match wire::config::parse(json) {
        Ok(PluginConfig::Picker(config)) => {
            config.pools.into_iter().map(|pool| pool.name).collect()
        }
        Ok(PluginConfig::Ingest(_)) | Err(_) => Vec::new(),
    }
}

/// Logs all faults of a configuration, and what is done without it.
fn tell(plugin: &str, faults: &[String], role: &InstanceRole) {
    let instead = match role {
        InstanceRole::Picker(_) | InstanceRole::Ingest(_) => "goes on with the last good one",
        InstanceRole::Bypass(bypass) if bypass.fails_closed() => "answers its requests with 503",
        InstanceRole::Bypass(_) => "lets requests pass unpicked",
    };
    let count = faults.len();
    log::error!("failed to configure plugin {plugin:?}: {instead}; faults: {count}");
    for fault in faults {
        log::error!("{fault}");
    }
}

impl Context for Root {
    fn on_http_call_response(&mut self, token: u32, headers: usize, body_size: usize, _: usize) {
        if let InstanceRole::Picker(instance) = &self.role {
            for pool in instance.pools.joined() {
                fetch::answered(pool, token, headers, body_size);
            }
        }
    }

    fn on_done(&mut self) -> bool {
        let orphaned = run::leave(self.context_id);
        retired::retire(&orphaned, host::now());
        self.role = InstanceRole::Bypass(Rc::new(Bypass::new(Claims::default())));
        (self.kept, self.in_use) = (None, None);
        // The keeper is woken as long as there is its VM.
        self.context_id != KEEPER
    }
}

impl RootContext for Root {
    fn on_configure(&mut self, size: usize) -> bool {
        gateway::draw_id();
        retired::create();
        self.configure(&host::plugin_configuration(size));
        // Whatever it says: a plugin that refuses to start has Envoy refuse every other change of its
        // listener, and a new Envoy answers all routes there with 503.
        true
    }

    fn on_tick(&mut self) {
        host::follow_log_level();
        self.take_up();
        if let Some(kept) = &self.kept {
            kept.show(self.is_faulty, host::now());
        }
        retired::empty(self.role.pools(), host::now());
        if let InstanceRole::Picker(instance) = &self.role {
            let _ = vm::renew_prompt_key();
            instance.pools.tick();
            run::count(&instance.counters, host::now());
            instance.pools.joined().for_each(|pool| fetch::ask(pool));
        } else {
            bodies::tick(self.context_id);
            ticks::ask(self.context_id, bodies::are_crowded());
        }
        if self.context_id == KEEPER {
            run::tick_orphans();
        }
    }

    fn on_queue_ready(&mut self, queue: u32) {
        run::wake(queue);
    }

    fn create_http_context(&self, context_id: u32) -> Option<Box<dyn HttpContext>> {
        self.in_use.iter().for_each(InUse::see_stream);
        match &self.role {
            InstanceRole::Bypass(bypass) => Some(Box::new(Bypassed::new(Rc::clone(bypass)))),
            InstanceRole::Picker(instance) => {
                Some(Box::new(Picker::new(Rc::clone(instance), context_id)))
            }
            InstanceRole::Ingest(receiver) => {
                Some(Box::new(Ingest::new(Rc::clone(receiver), context_id, self.context_id)))
            }
        }
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}
