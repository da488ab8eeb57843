//! The command line: flags, then environment variables, then the configuration file.

use std::{
    env,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args as ClapArgs, Parser, Subcommand};
use engine::Objective;
use scraper::{
    EnvoyUrl, Plugin, SECRET_BYTES_MIN, Secret, Settings, config,
    objectives::{self, Objectives},
    settings::{Discovery, InferencePool, MetricsSource, Pace, PoolSettings, duration, pool_name},
    targets::{Listed, Target},
};
use wire::metrics::Engines;

/// Between two scrapes of a pod, and between two pushes (EPP: refresh-metrics-interval).
const INTERVAL: Duration = Duration::from_millis(50);
/// For one scrape or push: as long as the EPP waits.
const TIMEOUT: Duration = Duration::from_secs(1);
/// On loopback: who is to read it from elsewhere says so.
const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9091);
/// Between two scrapes of a pod without requests. With a push interval on top it stays below the
/// 200 ms after which the utilization detector calls readings stale.
const IDLE_INTERVAL: Duration = Duration::from_millis(100);
/// Scrapes at once: at 6 ms a scrape these read 256 pods twice in an interval.
const SCRAPES: usize = 64;

/// Reads the metrics of every model server of a pool many times a second and pushes them to every
/// Envoy that runs llm-picker.
///
/// A flag comes before its environment variable, and both before the configuration file.
#[derive(Debug, Parser)]
#[command(name = "llm-scraper", version)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) options: Options,

    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    /// Check the settings as a start would, say what they come to, and end
    #[arg(long, conflicts_with = "once")]
    pub(crate) check: bool,

    /// Scrape every endpoint once, print the snapshots as JSON, and end. Needs no Envoy and no secret
    #[arg(long)]
    pub(crate) once: bool,
}

/// What else it does than scrape and push.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Scrape once, and show where a request would go and every score of every endpoint.
    ///
    /// Options that say what to scrape come before the command:
    /// llm-scraper --endpoint 10.0.0.1:8000 explain request.json
    Explain {
        /// The body of a request
        #[arg(value_name = "BODY.json")]
        body: PathBuf,

        /// The plugin's configuration as JSON; the EPP's defaults if left out
        #[arg(long, value_name = "FILE")]
        picker: Option<PathBuf>,

        /// The request's path, which says how the body is read
        #[arg(long, default_value = "/v1/chat/completions")]
        path: String,
    },

    /// Reads what an EPP runs by, and prints values for llm-picker's Helm chart
    ///
    /// It takes LLMInferenceServices, the EPP's Deployment, the ConfigMap with its
    /// EndpointPickerConfig, InferencePools and InferenceObjectives, as YAML. What cannot be carried
    /// over is listed at the top of what it prints.
    Migrate {
        /// Files, with any number of documents each; without any, and for "-", standard input
        files: Vec<PathBuf>,
    },
}

/// What it scrapes, and for whom.
#[derive(Debug, ClapArgs)]
pub(crate) struct Options {
    /// A configuration file, YAML or JSON: all of the below, and several pools
    #[arg(long, value_name = "FILE", env = "LLM_SCRAPER_CONFIG")]
    config: Option<PathBuf>,

    #[command(flatten)]
    pool: PoolArgs,

    /// Gateways fetch their snapshots, from /v1/pools/NAME/snapshot: there need be no --envoy
    #[arg(long, env = "LLM_SCRAPER_PULL")]
    pull: bool,

    /// The plugin's .wasm, to be served at /plugin.wasm with its checksum
    #[arg(long, value_name = "FILE", env = "LLM_SCRAPER_PLUGIN")]
    plugin: Option<PathBuf>,

    /// An Envoy's ingest listener; repeatable
    #[arg(long = "envoy", value_name = "URL", env = "LLM_SCRAPER_ENVOYS", value_delimiter = ',')]
    envoys: Vec<EnvoyUrl>,

    /// Time between two scrapes of a pod, and between two pushes [default: 50ms]
    #[arg(long, value_name = "DURATION", env = "LLM_SCRAPER_INTERVAL", value_parser = duration)]
    interval: Option<Duration>,

    /// Time between two scrapes of a pod that has no requests, while no Envoy holds any
    /// [default: 100ms]
    #[arg(long, value_name = "DURATION", env = "LLM_SCRAPER_IDLE_INTERVAL", value_parser = duration)]
    idle_interval: Option<Duration>,

    /// How to reach the Kubernetes API; else by KUBECONFIG, else as a pod of the cluster
    #[arg(long, value_name = "FILE", env = "LLM_SCRAPER_KUBECONFIG")]
    kubeconfig: Option<PathBuf>,

    /// How long one scrape or push may take [default: 1s]
    #[arg(long, value_name = "DURATION", env = "LLM_SCRAPER_TIMEOUT", value_parser = duration)]
    timeout: Option<Duration>,

    /// Where the status page (/), /metrics, /healthz and /readyz are served; port 0 lets the system
    /// choose [default: 127.0.0.1:9091]
    #[arg(long, value_name = "IP:PORT", env = "LLM_SCRAPER_LISTEN")]
    listen: Option<SocketAddr>,

    /// The environment variable that holds the secret shared with the Envoys, 16 bytes or more
    /// [default: LLM_PICKER_SECRET]
    #[arg(long, value_name = "NAME", env = "LLM_SCRAPER_SECRET_ENV")]
    secret_env: Option<String>,
}

/// One pool without a file, or changes to the file's only one.
#[derive(Debug, Default, PartialEq, ClapArgs)]
#[command(next_help_heading = "One pool")]
struct PoolArgs {
    /// The pool's name, as in the plugin's configuration [default: default]
    #[arg(long = "pool", value_name = "NAME", env = "LLM_SCRAPER_POOL", value_parser = pool_name)]
    name: Option<String>,

    /// A model server to scrape; repeatable. A name stands for all its addresses and is looked up
    /// again every 5 s. Pod labels may follow: "HOST:PORT key=value"
    #[arg(
        long = "endpoint",
        value_name = "HOST:PORT",
        env = "LLM_SCRAPER_ENDPOINTS",
        value_delimiter = ','
    )]
    endpoints: Vec<Target>,

    /// More of them, one "HOST:PORT [key=value ...]" per line, the keys being pod labels; # starts a
    /// comment. Read again when it changes; a broken file leaves the last good list in place
    #[arg(long, value_name = "FILE", env = "LLM_SCRAPER_ENDPOINTS_FILE")]
    endpoints_file: Option<PathBuf>,

    /// In place of a list: an InferencePool of Kubernetes, by its name and namespace
    #[arg(
        long,
        value_name = "[NAMESPACE/]NAME",
        env = "LLM_SCRAPER_INFERENCE_POOL",
        value_parser = InferencePool::parse,
        conflicts_with_all = ["endpoints", "endpoints_file"]
    )]
    inference_pool: Option<InferencePool>,

    /// An objective that requests may name, and its priority; repeatable. Higher goes first, below
    /// zero may be shed. One of the same name in the plugin's configuration wins
    #[arg(long = "objective", value_name = "NAME=PRIORITY", value_parser = objectives::parse)]
    objectives: Vec<Objective>,
}

impl Options {
    /// What is scraped, and how long one scrape may take: all that one look needs.
    ///
    /// # Errors
    /// If the file is not understood, or there is nothing to scrape.
    pub(crate) fn pools(self) -> Result<(Vec<PoolSettings>, Duration), String> {
        let file = self.config.as_deref().map(config::load).transpose()?.unwrap_or_default();
        let timeout = self.timeout.or(file.timeout).unwrap_or(TIMEOUT);
        let kubeconfig = self.kubeconfig.or(file.kubeconfig);
        Ok((reached_by(self.pool.over(file.pools)?, kubeconfig.as_deref()), timeout))
    }

    /// # Errors
    /// If the file is not understood, or something is missing or given twice.
    pub(crate) fn settings(self) -> Result<Settings, String> {
        let file = self.config.as_deref().map(config::load).transpose()?.unwrap_or_default();
        let secret_env = self.secret_env.or(file.secret_env);
        let secret = secret(secret_env.as_deref().unwrap_or("LLM_PICKER_SECRET"))?;
        let mut gateways = file.gateways;
        if !self.envoys.is_empty() {
            (gateways.urls, gateways.service) = (self.envoys, None);
        }
        if gateways.urls.is_empty() && gateways.service.is_none() && !self.pull && !file.pull {
            let give = "give --envoy, or gateways in --config, or --pull if they fetch";
            return Err(format!("no Envoy to push to: {give}"));
        }
        if gateways.tls.is_none() && gateways.urls.iter().any(EnvoyUrl::is_https) {
            return Err("an https:// Envoy needs gateways.tls in --config".to_owned());
        }
        let kubeconfig = self.kubeconfig.or(file.kubeconfig);
        if let Some(service) = &mut gateways.service {
            service.kubeconfig.clone_from(&kubeconfig);
        }
        let pools = reached_by(self.pool.over(file.pools)?, kubeconfig.as_deref());
        let plugin = self.plugin.or(file.plugin).as_deref().map(Plugin::load).transpose()?;
        let scrapes = file.scrapes.and_then(|scrapes| usize::try_from(scrapes).ok());
        Ok(Settings {
            pools,
            gateways,
            pace: Pace {
                interval: self.interval.or(file.interval).unwrap_or(INTERVAL),
                idle_interval: self.idle_interval.or(file.idle_interval).unwrap_or(IDLE_INTERVAL),
                timeout: self.timeout.or(file.timeout).unwrap_or(TIMEOUT),
                scrapes: scrapes.unwrap_or(SCRAPES),
            },
            listen: self.listen.or(file.listen).unwrap_or(LISTEN),
            secret,
            plugin,
        })
    }
}

impl PoolArgs {
    /// The file's pools with these changes.
    fn over(self, mut pools: Vec<PoolSettings>) -> Result<Vec<PoolSettings>, String> {
        if self == Self::default() && !pools.is_empty() {
            return Ok(pools);
        }
        let file = match (pools.pop(), pools.len()) {
            (file, 0) => file,
            (_, others) => {
                let found = others + 1;
                return Err(format!(
                    "flags that describe a pool go with a file of one pool, and it has {found}"
                ));
            }
        };
        Ok(vec![self.over_one(file)?])
    }

    fn over_one(self, file: Option<PoolSettings>) -> Result<PoolSettings, String> {
        let listed = !self.endpoints.is_empty() || self.endpoints_file.is_some();
        let listed = listed.then_some(Discovery::Listed(Listed {
            endpoints: self.endpoints,
            file: self.endpoints_file,
        }));
        let listed = listed.or_else(|| self.inference_pool.map(Discovery::InferencePool));
        let objectives = Objectives::new(self.objectives)?;
        let mut pool = match (file, &listed) {
            (Some(file), _) => file,
            (None, Some(discovery)) => PoolSettings {
                name: match discovery {
                    Discovery::InferencePool(pool) => pool.name.clone(),
                    Discovery::Listed(_) => "default".to_owned(),
                },
                discovery: discovery.clone(),
                objectives: Objectives::default(),
                engines: Engines::default(),
                source: MetricsSource::default(),
            },
            (None, None) => {
                return Err(
                    "no endpoints: give --endpoint, --endpoints-file, --inference-pool, or a \
                            pool in --config"
                        .to_owned(),
                );
            }
        };
        pool.name = self.name.unwrap_or(pool.name);
        pool.discovery = listed.unwrap_or(pool.discovery);
        if objectives != Objectives::default() {
            pool.objectives = objectives;
        }
        Ok(pool)
    }
}

/// The pools of Kubernetes are looked for by this file.
fn reached_by(mut pools: Vec<PoolSettings>, kubeconfig: Option<&Path>) -> Vec<PoolSettings> {
    for pool in &mut pools {
        if let Discovery::InferencePool(pool) = &mut pool.discovery {
            pool.kubeconfig = kubeconfig.map(Into::into);
        }
    }
    pools
}

fn secret(name: &str) -> Result<Secret, String> {
    let Some(value) = env::var_os(name) else {
        return Err(format!(
            "the environment variable {name} is not set: it must hold the secret that the Envoys \
             have too, {SECRET_BYTES_MIN} bytes or more"
        ));
    };
    Secret::new(value.as_encoded_bytes())
        .map_err(|why| format!("the secret in the environment variable {name} is too short: {why}"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Args::command().debug_assert();
    }

    fn pools(args: &[&str], file: &str) -> Result<Vec<PoolSettings>, String> {
        let args = Args::try_parse_from([&["llm-scraper"], args].concat());
        let args = args.map_err(|why| why.to_string())?;
        args.options.pool.over(config::parse(file).unwrap().pools)
    }

    #[test]
    fn flags_come_before_the_file() {
        let file = "pools: [{name: chat, endpoints: [a:1], objectives: [{name: paid}]}]";
        let of = |args: &[&str]| pools(args, file).unwrap().remove(0);
        assert_eq!(of(&[]), config::parse(file).unwrap().pools.remove(0));
        let changed = of(&["--endpoint", "b:2"]);
        assert_eq!(changed.name, "chat");
        assert_eq!(changed.objectives, of(&[]).objectives);
        let endpoints = vec!["b:2".parse().unwrap()];
        assert_eq!(changed.discovery, Discovery::Listed(Listed { endpoints, file: None }));
        let pool = InferencePool::parse("demo/qwen").unwrap();
        let changed = of(&["--inference-pool", "demo/qwen"]);
        assert_eq!(changed.discovery, Discovery::InferencePool(pool));
        assert_eq!(of(&["--pool", "code"]).name, "code");
    }

    #[test]
    fn there_is_a_pool_by_flags_or_by_file() {
        assert_eq!(pools(&["--endpoint", "a:1"], "{}").unwrap()[0].name, "default");
        assert!(pools(&["--endpoints-file", "x"], "{}").is_ok());
        assert!(pools(&[], "{}").unwrap_err().starts_with("no endpoints"));
        assert!(pools(&["--endpoint", "a"], "{}").is_err());
        let two = "pools: [{name: a, endpoints: [a:1]}, {name: b, endpoints: [b:1]}]";
        assert_eq!(pools(&[], two).unwrap().len(), 2);
        assert!(pools(&["--endpoint", "a:1"], two).unwrap_err().ends_with("and it has 2"));
    }

    #[test]
    fn objectives_may_be_below_zero() {
        let args = ["llm-scraper", "--endpoint", "a:1", "--envoy", "http://b:2"];
        let objectives = ["--objective", "batch=-5", "--objective=paid=10"];
        let read = Args::try_parse_from([&args[..], &objectives].concat()).unwrap().options.pool;
        let read: Vec<_> = read.objectives.iter().map(|it| (&*it.name, it.priority.0)).collect();
        assert_eq!(read, [("batch", -5), ("paid", 10)]);
        assert!(Args::try_parse_from([&args[..], &["--objective", "paid"]].concat()).is_err());
    }
}
