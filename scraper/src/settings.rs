//! Everything that a scraper is told at start, already checked.

mod endpoints;
mod objectives;
mod tls;

mod pool;

mod gateways;
mod plugin;
mod secret;

use std::{net::SocketAddr, time::Duration};

use wire::config::parse_duration;

pub(crate) use endpoints::{ENDPOINTS_FILE_BYTES_MAX, TARGETS_MAX, parse_endpoints};
pub use endpoints::{ListedEndpoints, Target};
pub use gateways::{EnvoyUrl, GatewayService, Gateways};
pub use objectives::{Objectives, parse_objective};
pub use plugin::Plugin;
pub use pool::{Discovery, InferencePool, MetricsSource, PoolSettings, SelectedPods, pool_name};
pub(crate) use secret::SECRET_FILE_BYTES_MAX;
pub use secret::{SECRET_BYTES_MIN, Secret, SecretSource};
pub use tls::{ClientCertificate, TlsSettings};

/// Everything that [`crate::Scraper::start`] needs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Pools that are scraped.
    pub pools: Vec<PoolSettings>,
    /// Gateways that snapshots are pushed to.
    pub gateways: Gateways,
    /// Intervals and limits of scrapes and pushes.
    pub pace: Pace,
    /// Address of the scraper's own pages; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Place of the secret that signs the snapshots.
    pub secret: SecretSource,
    /// Plugin that is served beside the pages, if there is one.
    pub plugin: Option<Plugin>,
}

/// Intervals and limits of scrapes and pushes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Time between two scrapes of a pod, and between two pushes.
    pub interval: Duration,
    /// Time between two scrapes of a pod that has no requests.
    pub idle_interval: Duration,
    /// Longest time for one scrape or push, connecting included.
    pub timeout: Duration,
    /// Number of scrapes that may run at once, over all pools.
    pub scrapes: usize,
}

impl Pace {
    /// Returns the time between two scrapes of a pod that is busy or `idle`.
    #[must_use]
    pub fn interval(&self, idle: bool) -> Duration {
        if idle { self.idle_interval.max(self.interval) } else { self.interval }
    }
}

/// Reads a duration from a millisecond, which is as fine as tokio's timer, to an hour.
///
/// # Errors
/// If the text is no duration, or one that is too short or too long.
pub fn duration(text: &str) -> Result<Duration, String> {
    let bounds = Duration::from_millis(1)..=Duration::from_secs(3600);
    parse_duration(text).filter(|it| bounds.contains(it)).ok_or_else(|| {
        format!("found {text:?}; allowed: a number with a unit, as in 50ms or 1s, from 1ms to 1h")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units_and_bounds() {
        assert_eq!(duration("50ms"), Ok(Duration::from_millis(50)));
        assert_eq!(duration("1m30s"), Ok(Duration::from_secs(90)));
        for wrong in ["50", "0s", "999us", "2h", "-1s", "fast"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
