//! The command line.

use std::{env, net::SocketAddr, path::PathBuf, time::Duration};

use clap::Parser;
use engine::Objective;
use scraper::{
    EnvoyUrl, SECRET_BYTES_MIN, Secret, Settings,
    objectives::{self, Objectives},
    targets::Target,
};
use wire::snapshot::POOL_NAME_MAX;

/// Reads the metrics of every vLLM pod of a pool many times a second and pushes them to every Envoy
/// that runs llm-picker.
#[derive(Debug, Parser)]
#[command(name = "llm-scraper", version)]
pub(crate) struct Args {
    /// The pool's name, as in the plugin's configuration
    #[arg(long, value_name = "NAME", default_value = "default", value_parser = pool)]
    pool: String,

    /// A model server to scrape, at http://HOST:PORT/metrics; repeatable. A name stands for all its
    /// addresses and is looked up again every 5 s. Pod labels may follow: "HOST:PORT key=value"
    #[arg(long = "endpoint", value_name = "HOST:PORT")]
    endpoints: Vec<Target>,

    /// More of them, one "HOST:PORT [key=value ...]" per line, the keys being pod labels; # starts a
    /// comment. Read again when it changes; a broken file leaves the last good list in place
    #[arg(long, value_name = "FILE", required_unless_present = "endpoints")]
    endpoints_file: Option<PathBuf>,

    /// An objective that requests may name, and its priority; repeatable. Higher goes first, below
    /// zero may be shed. One of the same name in the plugin's configuration wins
    #[arg(long = "objective", value_name = "NAME=PRIORITY", value_parser = objectives::parse)]
    objectives: Vec<Objective>,

    /// An Envoy's ingest listener; repeatable
    #[arg(long = "envoy", value_name = "URL", required = true)]
    envoys: Vec<EnvoyUrl>,

    /// Time between two scrapes of a pod, and between two pushes
    #[arg(long, value_name = "DURATION", default_value = "50ms", value_parser = duration)]
    interval: Duration,

    /// How long one scrape or push may take
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = duration)]
    timeout: Duration,

    /// Where /metrics, /healthz, /readyz and an overview at / are served; port 0 lets the system
    /// choose
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:9091")]
    listen: SocketAddr,

    /// The environment variable that holds the secret shared with the Envoys, 16 bytes or more
    #[arg(long, value_name = "NAME", default_value = "LLM_PICKER_SECRET")]
    secret_env: String,
}

impl Args {
    /// # Errors
    /// If there is no usable secret, or an objective is given twice.
    pub(crate) fn settings(self) -> Result<Settings, String> {
        let secret = secret(&self.secret_env)?;
        Ok(Settings {
            pool: self.pool,
            endpoints: self.endpoints,
            endpoints_file: self.endpoints_file,
            objectives: Objectives::new(self.objectives)?,
            envoys: self.envoys,
            interval: self.interval,
            timeout: self.timeout,
            listen: self.listen,
            secret,
        })
    }
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

fn pool(name: &str) -> Result<String, String> {
    match name.len() {
        1..=POOL_NAME_MAX => Ok(name.to_owned()),
        len => Err(format!("it has {len} bytes, and 1 to {POOL_NAME_MAX} are allowed")),
    }
}

/// From a millisecond, which is as fine as tokio's timer, to an hour.
fn duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text)
        .map_err(|why| format!("{why}; write a number and a unit, as in 50ms or 1s"))?;
    match duration.as_secs_f64() {
        0.001..=3600.0 => Ok(duration),
        _ => Err("it must be between 1ms and 1h".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn durations_have_units_and_bounds() {
        assert_eq!(duration("50ms"), Ok(Duration::from_millis(50)));
        assert_eq!(duration("1m30s"), Ok(Duration::from_secs(90)));
        for wrong in ["50", "0s", "999us", "2h", "-1s", "fast"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn there_must_be_endpoints_and_an_envoy() {
        let read = |args: &[&str]| Args::try_parse_from([&["llm-scraper"], args].concat());
        assert!(read(&["--endpoint", "a:1", "--envoy", "http://b:2"]).is_ok());
        assert!(read(&["--endpoints-file", "x", "--envoy", "http://b:2"]).is_ok());
        assert!(read(&["--envoy", "http://b:2"]).is_err());
        assert!(read(&["--endpoint", "a:1"]).is_err());
        assert!(read(&["--endpoint", "a", "--envoy", "http://b:2"]).is_err());
    }

    #[test]
    fn objectives_may_be_below_zero() {
        let args = ["llm-scraper", "--endpoint", "a:1", "--envoy", "http://b:2"];
        let objectives = ["--objective", "batch=-5", "--objective=paid=10"];
        let read = Args::try_parse_from([&args[..], &objectives].concat()).unwrap();
        let read: Vec<_> = read.objectives.iter().map(|it| (&*it.name, it.priority.0)).collect();
        assert_eq!(read, [("batch", -5), ("paid", 10)]);
        assert!(Args::try_parse_from([&args[..], &["--objective", "paid"]].concat()).is_err());
    }
}
