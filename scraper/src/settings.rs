//! What a scraper is told at start, already checked.

mod gateways;
mod pool;
mod secret;

use std::{net::SocketAddr, time::Duration};

use wire::config::parse_duration;

use crate::plugin::Plugin;

pub use gateways::{EnvoyUrl, GatewayService, Gateways};
pub use pool::{Discovery, InferencePool, MetricsSource, PoolSettings, pool_name};
pub use secret::{SECRET_BYTES_MIN, Secret};

/// Everything that [`crate::Scraper::start`] needs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What is scraped.
    pub pools: Vec<PoolSettings>,
    /// Who gets snapshots.
    pub gateways: Gateways,
    /// How often scrapes and pushes are made.
    pub pace: Pace,
    /// Where the scraper's own pages are served; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Signs the pushes.
    pub secret: Secret,
    /// Served beside the pages, if there is one.
    pub plugin: Option<Plugin>,
}

/// How often scrapes and pushes are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Between two scrapes of a pod, and between two pushes.
    pub interval: Duration,
    /// Between two scrapes of a pod that has no requests.
    pub idle_interval: Duration,
    /// For one scrape or push, connecting included.
    pub timeout: Duration,
    /// Scrapes at once, over all pools.
    pub scrapes: usize,
}

impl Pace {
    /// Between two scrapes of a pod.
    #[must_use]
    pub fn interval(&self, idle: bool) -> Duration {
        if idle { self.idle_interval.max(self.interval) } else { self.interval }
    }
}

/// A duration from a millisecond, which is as fine as tokio's timer, to an hour.
///
/// # Errors
/// If it is none, or too short or too long.
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
