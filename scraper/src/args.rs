//! The command line: flags, then environment variables, then the configuration file.

mod pool;

use std::{
    env,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args as ClapArgs, Parser, Subcommand};
use scraper::{
    EnvoyUrl, Plugin, SECRET_BYTES_MIN, Secret, Settings, config,
    settings::{Discovery, Pace, PoolSettings, duration},
};

use pool::PoolArgs;

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

        /// The plugin's configuration as JSON; all defaults if left out
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
}
