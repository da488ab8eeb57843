//! The command line: flags, then environment variables, then the configuration file.

mod explain;
mod pool;
mod ready;

use std::{
    env,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args as ClapArgs, Parser, Subcommand};
use clap_complete::Shell;
use scraper::{
    EnvoyUrl, Plugin, Secret, Settings, config,
    settings::{Discovery, Pace, PoolSettings, SECRET_BYTES_MIN, SecretSource, duration},
};

pub(crate) use explain::{DebugHeaderArgs, ExplainArgs};
use pool::PoolArgs;
pub(crate) use ready::ReadyArgs;

/// Default time between two scrapes of a pod, and between two pushes (EPP:
/// refresh-metrics-interval).
const INTERVAL: Duration = Duration::from_millis(50);
/// Default time for one scrape or push: as long as the EPP waits.
const TIMEOUT: Duration = Duration::from_secs(1);
/// Default address of the pages: on loopback, so that other hosts reach them only if that is set.
const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9091);
/// Default time between two scrapes of a pod without requests. With a push interval on top it stays
/// below the 200 ms after which the utilization detector calls readings stale.
const IDLE_INTERVAL: Duration = Duration::from_millis(100);
/// Default number of scrapes at once: at 6 ms a scrape these read 256 pods twice in an interval.
const SCRAPES: usize = 64;

/// Reads the metrics of every model server of a pool many times a second and pushes them to every
/// Envoy that runs llm-picker.
///
/// A flag takes precedence over its environment variable, and both over the configuration file.
#[derive(Debug, Parser)]
#[command(name = "llm-scraper", version)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) options: Options,

    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    /// Check the settings as a start would, print a summary of them, and end
    #[arg(long, conflicts_with = "once")]
    pub(crate) check: bool,

    /// Scrape every endpoint once, print the snapshots as JSON, and end. Needs no Envoy and no
    /// secret
    #[arg(long)]
    pub(crate) once: bool,
}

/// Commands other than to scrape and push.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the endpoint that a request would go to and every score of every endpoint
    ///
    /// A live gateway explains by all that it knows, as requests in flight, prefixes and learnt rates:
    /// llm-scraper --secret-file FILE explain --gateway http://10.0.0.9:8080 request.json. Without one the pods
    /// are scraped once: llm-scraper --endpoint 10.0.0.1:8000 explain request.json. Options that say what to
    /// scrape, and the secret, come before the command.
    Explain(ExplainArgs),

    /// Print a header by which a request's answer tells why it went where it did, also where clients are told nothing
    ///
    /// It is signed with the secret, which comes before the command, and holds for a while:
    /// curl -H "$(llm-scraper --secret-file FILE debug-header)" http://10.0.0.9:8080/v1/chat/completions
    DebugHeader(DebugHeaderArgs),

    /// Check configurations, and print every fault, warning and note with its line and column
    ///
    /// Reads an EPP's configuration (EndpointPickerConfig) or the plugin's, as YAML or JSON, also within
    /// a WasmPlugin, an EnvoyFilter, a ConfigMap, an LLMInferenceService or the chart's values, and the
    /// scraper's settings. Exits with 0 if all is taken, with 1 if there is a fault, with 2 if a file
    /// cannot be read. Give the scraper's settings too, and warnings go by their intervals.
    Check {
        /// Files, with any number of documents each; standard input if there are none, and for "-"
        files: Vec<PathBuf>,
    },

    /// Ask a scraper that runs whether it is ready, and print what it says
    ///
    /// It is once it has tried every pod and a gateway has taken a snapshot. Exits with 0 if it is ready, with 1 if it is not or
    /// does not answer, with 2 on a wrong command line. For images without a shell, as that of the scraper.
    Ready(ReadyArgs),

    /// Print completions for a shell
    Completions {
        /// The shell
        shell: Shell,
    },

    /// Print the manual page, as man reads it
    Man,

    /// Read the manifests of an EPP, and print values for llm-picker's Helm chart
    ///
    /// Reads LLMInferenceServices, the EPP's Deployment, the ConfigMap with its
    /// EndpointPickerConfig, InferencePools and InferenceObjectives, as YAML. Everything that
    /// cannot be carried over is listed at the top of the output.
    Migrate {
        /// Files, with any number of documents each; standard input if there are none, and for "-"
        files: Vec<PathBuf>,

        /// Print the plugin's configuration as JSON instead, for an Envoy without Kubernetes. What is not
        /// carried over goes to standard error
        #[arg(long)]
        plugin: bool,
    },
}

/// The pools that are scraped, and the gateways that get snapshots.
#[derive(Debug, ClapArgs)]
pub(crate) struct Options {
    /// A configuration file, YAML or JSON. It can hold everything below, and several pools
    #[arg(long, value_name = "FILE", env = "LLM_SCRAPER_CONFIG")]
    config: Option<PathBuf>,

    #[command(flatten)]
    pool: PoolArgs,

    /// Let gateways fetch their snapshots, from /v1/pools/NAME/snapshot. Then no --envoy is needed
    #[arg(long, env = "LLM_SCRAPER_PULL")]
    pull: bool,

    /// The plugin's .wasm, to be served at /plugin.wasm with its checksum
    #[arg(long, value_name = "FILE", env = "LLM_SCRAPER_PLUGIN")]
    plugin: Option<PathBuf>,

    /// URL of an Envoy's ingest listener; repeatable
    #[arg(long = "envoy", value_name = "URL", env = "LLM_SCRAPER_ENVOYS", value_delimiter = ',')]
    envoys: Vec<EnvoyUrl>,

    /// Time between two scrapes of a pod, and between two pushes [default: 50ms]
    #[arg(long, value_name = "DURATION", env = "LLM_SCRAPER_INTERVAL", value_parser = duration)]
    interval: Option<Duration>,

    /// Time between two scrapes of a pod that has no requests, while no Envoy holds any
    /// [default: 100ms]
    #[arg(long, value_name = "DURATION", env = "LLM_SCRAPER_IDLE_INTERVAL", value_parser = duration)]
    idle_interval: Option<Duration>,

    /// File that says how to reach the Kubernetes API. Without it, KUBECONFIG is used, or else the
    /// service account of the scraper's own pod
    #[arg(long, value_name = "FILE", env = "LLM_SCRAPER_KUBECONFIG")]
    kubeconfig: Option<PathBuf>,

    /// Longest time for one scrape or push [default: 1s]
    #[arg(long, value_name = "DURATION", env = "LLM_SCRAPER_TIMEOUT", value_parser = duration)]
    timeout: Option<Duration>,

    /// Address of the status page (/), /metrics, /healthz and /readyz; port 0 lets the system
    /// choose [default: 127.0.0.1:9091]
    #[arg(long, value_name = "IP:PORT", env = "LLM_SCRAPER_LISTEN")]
    listen: Option<SocketAddr>,

    /// Name of the environment variable that holds the secret shared with the Envoys, 16 bytes or
    /// more [default: LLM_PICKER_SECRET]
    #[arg(long, value_name = "NAME", env = "LLM_SCRAPER_SECRET_ENV")]
    secret_env: Option<String>,

    /// File with that secret, in place of the variable. Read again when it changes; of two lines the
    /// first signs
    #[arg(
        long,
        value_name = "FILE",
        env = "LLM_SCRAPER_SECRET_FILE",
        conflicts_with = "secret_env"
    )]
    secret_file: Option<PathBuf>,
}

/// The settings of one look at each pool.
#[derive(Debug)]
pub(crate) struct OnceSettings {
    pub(super) pools: Vec<PoolSettings>,
    /// Longest time for one scrape.
    pub(super) timeout: Duration,
}

impl Options {
    /// Returns the settings of one look at each pool, which needs no gateway and no secret.
    ///
    /// # Errors
    /// If the file is not understood, or there is nothing to scrape.
    pub(super) fn once_settings(self) -> Result<OnceSettings, String> {
        let file = self.config.as_deref().map(config::load).transpose()?.unwrap_or_default();
        let timeout = self.timeout.or(file.timeout).unwrap_or(TIMEOUT);
        let kubeconfig = self.kubeconfig.or(file.kubeconfig);
        let pools = with_kubeconfig(self.pool.over(file.pools)?, kubeconfig.as_deref());
        Ok(OnceSettings { pools, timeout })
    }

    /// Returns the secret that gateways have too.
    ///
    /// # Errors
    /// If there is none, or the file is not understood.
    pub(super) fn shared_secret(&self) -> Result<Secret, String> {
        let file = self.config.as_deref().map(config::load).transpose()?.unwrap_or_default();
        Ok(match self.secret(&file)? {
            SecretSource::Fixed(secret) | SecretSource::File { first: secret, .. } => secret,
        })
    }

    fn secret(&self, file: &config::FileConfig) -> Result<SecretSource, String> {
        if self.secret_file.is_some() || self.secret_env.is_some() {
            secret(self.secret_file.as_deref(), self.secret_env.as_deref())
        } else {
            secret(file.secret_file.as_deref(), file.secret_env.as_deref())
        }
    }

    /// Returns the longest time for one exchange.
    pub(super) fn time_max(&self) -> Duration {
        self.timeout.unwrap_or(TIMEOUT)
    }

    /// Returns the settings of a scraper.
    ///
    /// # Errors
    /// If the file is not understood, or something is missing or given twice.
    pub(super) fn settings(self) -> Result<Settings, String> {
        let file = self.config.as_deref().map(config::load).transpose()?.unwrap_or_default();
        let secret = self.secret(&file)?;
        let mut gateways = file.gateways;
        if !self.envoys.is_empty() {
            // Flags replace the file's gateways as a whole.
            gateways.urls = self.envoys;
            gateways.service = None;
        }
        if gateways.urls.is_empty() && gateways.service.is_none() && !self.pull && !file.pull {
            let give = "give --envoy, or gateways in --config, or --pull if gateways fetch";
            return Err(format!("no gateway: {give}"));
        }
        if let (None, Some(url)) = (&gateways.tls, gateways.urls.iter().find(|url| url.is_https()))
        {
            let needs = "https:// needs gateways.tls in --config";
            return Err(format!("invalid gateway URL \"{url}\": {needs}"));
        }
        let kubeconfig = self.kubeconfig.or(file.kubeconfig);
        if let Some(service) = &mut gateways.service {
            service.kubeconfig.clone_from(&kubeconfig);
        }
        let pools = with_kubeconfig(self.pool.over(file.pools)?, kubeconfig.as_deref());
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

/// Sets the file by which pools of Kubernetes reach the API server.
fn with_kubeconfig(mut pools: Vec<PoolSettings>, kubeconfig: Option<&Path>) -> Vec<PoolSettings> {
    for pool in &mut pools {
        match &mut pool.discovery {
            Discovery::InferencePool(pool) => pool.kubeconfig = kubeconfig.map(Into::into),
            Discovery::Pods(pods) => pods.kubeconfig = kubeconfig.map(Into::into),
            Discovery::Listed(_) => (),
        }
    }
    pools
}

/// Finds the secret: in the file, else in the variable of this name or of the usual one.
fn secret(file: Option<&Path>, variable: Option<&str>) -> Result<SecretSource, String> {
    if let Some(file) = file {
        return SecretSource::file(file);
    }
    let name = variable.unwrap_or("LLM_PICKER_SECRET");
    let Some(value) = env::var_os(name) else {
        return Err(format!(
            "the environment variable {name} is not set: it must hold the secret that the Envoys \
             have too, {SECRET_BYTES_MIN} bytes or more"
        ));
    };
    Secret::new(value.as_encoded_bytes())
        .map(SecretSource::Fixed)
        .map_err(|why| format!("invalid secret in the environment variable {name}: {why}"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Args::command().debug_assert();
    }
}
