//! The settings of an Envoy before it starts.

use super::Envoy;
use crate::{
    Module, Plugin,
    machine::{LatePart, Machine, Options},
    world::{
        Crossings, Level, World, calls::Calls, metrics::Metrics, queues::Queues, rng::Rng,
        shared_data::SharedData,
    },
};
use std::{cell::RefCell, collections::BTreeMap, rc::Rc, time::Duration};

/// Bytes of Envoy's default `per_connection_buffer_limit_bytes`.
const BUFFER_LIMIT: usize = 1024 * 1024;

/// Time of silence after which a stream ends: Envoy's default `stream_idle_timeout`.
const IDLE_TIMEOUT: Duration = Duration::from_secs(300);

/// Time since the machine booted when an Envoy starts: hardly any, so that no time is taken for long ago
/// by being near zero.
const UP: Duration = Duration::from_secs(3);

/// Start of the wall clock, 2026-01-01T00:00:00Z: some date that is neither zero nor now.
const EPOCH: Duration = Duration::from_secs(1_767_225_600);

/// An Envoy that hasn't started yet.
#[must_use]
pub struct Builder {
    module: Module,
    plugins: Vec<Plugin>,
    idle_timeout: Duration,
    options: Options,
    world: World,
}

impl Builder {
    pub(super) fn new(module: &Module) -> Self {
        let world = World {
            vm_id: String::new(),
            vm_config: Vec::new(),
            env: Vec::new(),
            clusters: Vec::new(),
            now_nanos: nanos(UP),
            wall_ahead_nanos: nanos(EPOCH) - nanos(UP),
            rng: Rng::new(0),
            shared_data: SharedData::default(),
            queues: Queues::default(),
            metrics: Metrics::default(),
            calls: Calls::default(),
            properties: BTreeMap::new(),
            logs: Vec::new(),
            log_level: Level::Info,
            crossings: Crossings::default(),
            reply_of_none_stops: true,
        };
        let options = Options {
            workers: 1,
            buffer_limit: BUFFER_LIMIT,
            idle_timeout_nanos: nanos(IDLE_TIMEOUT),
            healthy_upstream: true,
            late_part: LatePart::default(),
        };
        Self {
            module: module.clone(),
            plugins: Vec::new(),
            idle_timeout: IDLE_TIMEOUT,
            options,
            world,
        }
    }

    /// Adds a plugin. All of them share one VM per worker; requests go to the first unless
    /// [`crate::Worker::through`] says otherwise.
    pub fn plugin(mut self, plugin: Plugin) -> Self {
        self.plugins.push(plugin);
        self
    }

    /// Sets the number of worker threads, 1 unless given (and at least 1).
    pub const fn workers(mut self, workers: usize) -> Self {
        self.options.workers = if workers == 0 { 1 } else { workers };
        self
    }

    /// Sets Envoy's `vm_config.vm_id`, empty unless given.
    pub fn vm_id(mut self, vm_id: &str) -> Self {
        vm_id.clone_into(&mut self.world.vm_id);
        self
    }

    /// Sets Envoy's `vm_config.configuration`.
    pub fn vm_config(mut self, configuration: impl Into<Vec<u8>>) -> Self {
        self.world.vm_config = configuration.into();
        self
    }

    /// Adds an environment variable of the VMs.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.world.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the seed of `random_get`, and so of every hash map of the plugin.
    pub const fn seed(mut self, seed: u64) -> Self {
        self.world.rng = Rng::new(seed);
        self
    }

    /// Sets the start of the wall clock, since the Unix epoch.
    pub fn starting_at(mut self, since_epoch: Duration) -> Self {
        self.world.wall_ahead_nanos = nanos(since_epoch).saturating_sub(self.world.now_nanos);
        self
    }

    /// Sets the bytes that Envoy buffers for a paused filter before it answers 413: 1 MiB unless
    /// given.
    pub const fn buffer_limit(mut self, bytes: usize) -> Self {
        self.options.buffer_limit = bytes;
        self
    }

    /// Sets the time after which a silent stream gets 504: 5 minutes unless given.
    pub const fn stream_idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// Sets the fate of a part of a body that comes after a resume in the middle of it.
    pub const fn late_part(mut self, late_part: LatePart) -> Self {
        self.options.late_part = late_part;
        self
    }

    /// Makes a reply of a context without a stream do nothing at all. No known Envoy is so: there it
    /// stops whatever the present callback returns.
    pub const fn reply_of_none_stops_nothing(mut self) -> Self {
        self.world.reply_of_none_stops = false;
        self
    }

    /// Makes the router answer 503 at once, for want of a healthy host.
    pub const fn no_healthy_upstream(mut self) -> Self {
        self.options.healthy_upstream = false;
        self
    }

    /// Adds a cluster that plugins may call; any other is a bad argument to them.
    pub fn cluster(mut self, name: &str) -> Self {
        self.world.clusters.push(name.to_owned());
        self
    }

    /// Adds a property that every stream has, such as `xds.cluster_name` or `source.address`.
    pub fn property(mut self, path: &str, value: impl Into<Vec<u8>>) -> Self {
        self.world.properties.insert(path.to_owned(), value.into());
        self
    }

    /// Starts all VMs and configures every plugin in each.
    ///
    /// # Errors
    /// When the module wants a host function that no Envoy has, is of another ABI, traps, or when
    /// a plugin refuses its configuration; the message has the plugin's last log line.
    pub fn start(self) -> anyhow::Result<Envoy> {
        let idle_timeout_nanos = nanos(self.idle_timeout);
        let options = Options { idle_timeout_nanos, ..self.options };
        let world = Rc::new(RefCell::new(self.world));
        let machine = Machine::start(&self.module, world.clone(), self.plugins, options)?;
        Envoy::new(machine, world)
            .ok_or_else(|| anyhow::anyhow!("an Envoy needs at least one plugin: Builder::plugin"))
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
