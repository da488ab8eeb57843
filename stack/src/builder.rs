//! The builder of a stack, and the stack that it starts.

use std::{
    fs::{self, File},
    io::Read as _,
    net::SocketAddr,
    path::Path,
};

use anyhow::{Context, Result, anyhow, ensure};
use futures_util::future::try_join_all;
use serde_json::Value;
use wire::config::{PluginConfig, RefusedConfig};

use crate::{
    Pod, Programs, Template, Way,
    bootstrap::Balancing,
    envoy::{Envoy, SECRET_ENVS},
    gateways::{Delivery, GatewayPlan, GatewayRecipe, ports},
    running::{SECRET_FILE, Stack},
    scraper::Scraper,
    way::with_way,
};

/// Configuration of the pool where none is given.
const PLUGIN: &str = include_str!("../../envoy/local/plugin.json");

/// The description of a stack. Every setting has a default.
#[derive(Debug)]
pub struct Builder {
    programs: Programs,
    way: Way,
    port: u16,
    gateways: usize,
    workers: usize,
    plugin: Option<Value>,
    explains: bool,
    endpoints: usize,
    upstreams: Vec<SocketAddr>,
    pod_args: Vec<String>,
    parts: Parts,
    template: Option<Template>,
    delivery: Delivery,
    envoy_env: Vec<(&'static str, String)>,
    /// Secret of the pushes; `None` for one of the stack's own.
    secret: Option<String>,
    /// Secret that Envoy takes too.
    next_secret: Option<String>,
}

/// The parts of the picker that are started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Parts {
    /// The filter, and the scraper that feeds it.
    All,
    /// The filter alone.
    Filter,
    /// Nothing but Envoy.
    Envoy(Balancing),
}

impl Stack {
    /// Describes a stack of these programs: three simulated pods and two workers, until told
    /// otherwise.
    #[must_use]
    pub const fn builder(programs: Programs) -> Builder {
        Builder {
            programs,
            way: Way::STOP_ITERATION_HEADER,
            port: 0,
            gateways: 1,
            workers: 2,
            plugin: None,
            explains: false,
            endpoints: 3,
            upstreams: Vec::new(),
            pod_args: Vec::new(),
            parts: Parts::All,
            template: None,
            delivery: Delivery::Bootstrap,
            envoy_env: Vec::new(),
            secret: None,
            next_secret: None,
        }
    }
}

impl Builder {
    /// Takes other programs than those given at first.
    #[must_use]
    pub fn programs(mut self, programs: Programs) -> Self {
        self.programs = programs;
        self
    }

    /// Sets the way. By default the filter holds requests by stop iteration and names endpoints in
    /// a header.
    #[must_use]
    pub const fn way(mut self, way: Way) -> Self {
        self.way = way;
        self
    }

    /// Takes another configuration of Envoy than the way's own. The plugin's is then part of it.
    #[must_use]
    pub fn template(mut self, template: Template) -> Self {
        self.template = Some(template);
        self
    }

    /// Sets the gateway's port; 0, the default, is a free one.
    #[must_use]
    pub const fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Sets the number of gateways over the same pods, 1 by default. They have ports one behind the other, unless the
    /// port is a free one.
    #[must_use]
    pub const fn gateways(mut self, gateways: usize) -> Self {
        self.gateways = gateways;
        self
    }

    /// Sets the number of each Envoy's worker threads, 2 by default.
    #[must_use]
    pub const fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// Sets the plugin's configuration, but for `envoy`, which follows from the way.
    #[must_use]
    pub fn plugin(mut self, plugin: Value) -> Self {
        self.plugin = Some(plugin);
        self
    }

    /// Has answers say why they came from where they came from, unless the plugin's configuration
    /// says otherwise.
    #[must_use]
    pub const fn explaining(mut self) -> Self {
        self.explains = true;
        self
    }

    /// Sets the number of simulated pods, 3 by default.
    #[must_use]
    pub const fn endpoints(mut self, endpoints: usize) -> Self {
        self.endpoints = endpoints;
        self
    }

    /// Takes servers that run already, instead of simulated pods.
    #[must_use]
    pub fn upstreams(mut self, upstreams: Vec<SocketAddr>) -> Self {
        self.upstreams = upstreams;
        self
    }

    /// Adds arguments for each simulated pod.
    #[must_use]
    pub fn pod_args(mut self, args: &[&str]) -> Self {
        self.pod_args = args.iter().map(ToString::to_string).collect();
        self
    }

    /// Has Envoy read the plugin's configuration from a file of its own, which [`Stack::reload`] replaces.
    #[must_use]
    pub const fn reloadable(mut self) -> Self {
        self.delivery = Delivery::File;
        self
    }

    /// Adds a variable to Envoy's environment.
    #[must_use]
    pub fn envoy_env(mut self, name: &'static str, value: String) -> Self {
        self.envoy_env.push((name, value));
        self
    }

    /// Has the gateway take pushes under this secret instead of one of its own, so that one scraper can push to
    /// several stacks.
    #[must_use]
    pub fn secret(mut self, secret: &str) -> Self {
        self.secret = Some(secret.to_owned());
        self
    }

    /// Has Envoy take this secret too, which the scraper is to sign with later.
    #[must_use]
    pub fn next_secret(mut self, secret: &str) -> Self {
        self.next_secret = Some(secret.to_owned());
        self
    }

    /// Leaves the scraper out: no snapshot comes but what the caller pushes.
    #[must_use]
    pub const fn without_scraper(mut self) -> Self {
        self.parts = Parts::Filter;
        self
    }

    /// Leaves our filter out, and the scraper that would feed it: the same Envoy, which balances by
    /// itself. The cost of the filter is measured against it.
    #[must_use]
    pub const fn without_filter(mut self, balancing: Balancing) -> Self {
        self.parts = Parts::Envoy(balancing);
        self.way = Way::STOP_ITERATION_HEADER;
        self
    }

    /// Starts pods, Envoy and scraper, in this order, and waits until requests can be served by a snapshot.
    pub async fn start(self) -> Result<Stack> {
        let plugin = self.checked_plugin()?;
        let ports = ports(self.port, self.gateways)?;
        let dir = tempfile::Builder::new().prefix("llm-picker-").tempdir()?;
        let secret = self.secret.clone().map_or_else(secret, Ok)?;
        // Of a file the scraper notices a change, so a secret can be replaced while everything runs.
        let secret_file = dir.path().join(SECRET_FILE);
        fs::write(&secret_file, &secret).with_context(|| secret_file.display().to_string())?;
        let pods = self.pods(dir.path()).await?;
        let endpoints: Vec<SocketAddr> = pods.iter().map(|pod| pod.addr).collect();
        let has_scraper = self.parts == Parts::All;
        let recipe = self.recipe(plugin, endpoints.clone(), &secret);
        let gateways = ports
            .into_iter()
            .enumerate()
            .map(|(number, ports)| recipe.start(GatewayPlan { folder: dir.path(), number, ports }));
        let mut siblings = try_join_all(gateways).await?;
        let scraper = if has_scraper {
            let ingests: Vec<SocketAddr> = siblings.iter().map(|envoy| envoy.ingest).collect();
            let programs = &recipe.programs;
            let mut scraper =
                Scraper::start(programs, dir.path(), &endpoints, &ingests, &secret_file).await?;
            scraper.ready().await?;
            for envoy in &mut siblings {
                informed(envoy, &scraper).await?;
            }
            Some(scraper)
        } else {
            None
        };
        let status = scraper.as_ref().map(|scraper| scraper.status);
        let envoy = siblings.remove(0);
        Ok(Stack {
            gateway: envoy.gateway,
            ingest: envoy.ingest,
            admin: envoy.admin,
            status,
            pods,
            secret,
            way: recipe.way,
            workers: recipe.workers,
            recipe,
            envoy,
            siblings,
            scraper,
            earlier_scrapers: Vec::new(),
            dir,
        })
    }

    /// Returns what every gateway is started by.
    fn recipe(self, plugin: Value, endpoints: Vec<SocketAddr>, secret: &str) -> GatewayRecipe {
        let secrets = [Some(secret.to_owned()), self.next_secret].into_iter().flatten();
        let mut env = self.envoy_env;
        env.extend(SECRET_ENVS.into_iter().zip(secrets));
        GatewayRecipe {
            programs: self.programs,
            way: self.way,
            workers: self.workers,
            template: self.template,
            alone: match self.parts {
                Parts::Envoy(balancing) => Some(balancing),
                Parts::All | Parts::Filter => None,
            },
            delivery: self.delivery,
            env,
            plugin,
            endpoints,
        }
    }

    async fn pods(&self, dir: &Path) -> Result<Vec<Pod>> {
        if !self.upstreams.is_empty() {
            return Ok(self.upstreams.iter().copied().map(Pod::given).collect());
        }
        let mut pods = Vec::new();
        for number in 1..=self.endpoints {
            pods.push(Pod::start(&self.programs, dir, number, &self.pod_args).await?);
        }
        Ok(pods)
    }

    /// Returns the plugin's whole configuration, which the plugin would take: nothing is started for one
    /// that it would not.
    fn checked_plugin(&self) -> Result<Value> {
        let plugin = match &self.plugin {
            Some(plugin) => plugin.clone(),
            None => serde_json::from_str(PLUGIN).context("envoy/local/plugin.json")?,
        };
        let has_ingest = plugin.get("ingest").is_some();
        ensure!(
            !has_ingest,
            "invalid ingest: must be left out, as the stack has an ingest of its own"
        );
        let mut plugin = with_way(plugin, self.way)?;
        if let Some(keys) = plugin.as_object_mut().filter(|_| self.explains) {
            keys.entry("decisionHeader").or_insert(Value::Bool(true));
            if let Some(envoy) = keys.get_mut("envoy").and_then(Value::as_object_mut) {
                envoy.entry("attributes").or_insert(Value::Bool(true));
            }
        }
        if self.template.is_some() {
            // Tests bring configurations of their own in it.
            return Ok(plugin);
        }
        match wire::config::parse(plugin.to_string().as_bytes()) {
            // An ingest is refused above.
            Ok(PluginConfig::Picker(_) | PluginConfig::Ingest(_)) => Ok(plugin),
            Err(refused) => Err(faults(&refused)),
        }
    }
}

/// Returns the faults of a configuration in the plugin's own words, each on a line.
pub fn faults(refused: &RefusedConfig) -> anyhow::Error {
    let lines: Vec<String> = refused.faults().iter().map(ToString::to_string).collect();
    anyhow!("{}", lines.join("\n"))
}

/// Waits until Envoy knows every pod's load: for a push after the scraper has tried them all.
async fn informed(envoy: &mut Envoy, scraper: &Scraper) -> Result<()> {
    let pushed = envoy.pushes().await?;
    // The next one may have been written before the last pod was scraped; the one behind it was not.
    if envoy.wait_for_pushes(pushed + 2).await? {
        return Ok(());
    }
    let envoy = envoy.child.failure("took no snapshot");
    let scraper = scraper.child.failure("pushed none that was taken");
    Err(anyhow!("{envoy}\n{scraper}"))
}

/// Returns 128 random bits, in hexadecimal.
fn secret() -> Result<String> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(format!("{:032x}", u128::from_le_bytes(bytes)))
}
