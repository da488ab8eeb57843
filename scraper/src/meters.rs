//! The scraper's own metrics.

mod exchange;

use std::{
    fmt,
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use picker_core::{Health, Snapshot};
use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use crate::{
    exchange::ExchangeRow,
    peer::{Fault, OUTCOMES},
    settings::EnvoyUrl,
};
use exchange::ExchangeMeters;

/// Bounds in seconds: from a pod on the same host to the usual timeout.
const DURATION_BUCKETS: [f64; 11] =
    [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0];

/// Bounds in seconds: one to three intervals in fine steps, then up to where the EPP calls metrics
/// stale (2 s).
const AGE_BUCKETS: [f64; 10] = [0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.0];

/// The scraper's own metrics, with the registry that prints them.
#[derive(Debug)]
pub(crate) struct Meters {
    started: Instant,
    /// Time of the publisher's last look at the pools, in milliseconds since the start.
    looked_ms: AtomicU64,
    registry: Registry,
    scrapes: Family<ScrapeLabels, Counter>,
    scrape_duration: Histogram,
    pushes: Family<PushLabels, Counter>,
    endpoints: Family<EndpointLabels, Gauge>,
    reading_age: Histogram,
    snapshot_age: Family<EnvoyLabels, Gauge<f64, AtomicU64>>,
    exchange: ExchangeMeters,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ScrapeLabels {
    pool: String,
    endpoint: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PushLabels {
    envoy: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EnvoyLabels {
    envoy: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndpointLabels {
    pool: String,
    state: &'static str,
}

impl Meters {
    pub(crate) fn new(started: Instant) -> Self {
        let mut meters = Self {
            started,
            looked_ms: AtomicU64::new(0),
            registry: Registry::with_prefix("llm_scraper"),
            scrapes: Family::default(),
            scrape_duration: Histogram::new(DURATION_BUCKETS),
            pushes: Family::default(),
            endpoints: Family::default(),
            reading_age: Histogram::new(AGE_BUCKETS),
            snapshot_age: Family::default(),
            exchange: ExchangeMeters::default(),
        };
        meters.register();
        meters
    }

    /// Records that the publisher looks at the pools.
    pub(crate) fn looks(&self, now: Instant) {
        let passed = now.saturating_duration_since(self.started).as_millis();
        self.looked_ms.store(u64::try_from(passed).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Returns the time since the publisher last looked at the pools.
    pub(crate) fn since_look(&self, now: Instant) -> Duration {
        let looked = Duration::from_millis(self.looked_ms.load(Ordering::Relaxed));
        now.saturating_duration_since(self.started).saturating_sub(looked)
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("scrapes", "Scrapes that ended, by outcome", self.scrapes.clone());
        registry.register_with_unit(
            "scrape_duration",
            "How long scrapes took, connecting included, whatever their outcome",
            Unit::Seconds,
            self.scrape_duration.clone(),
        );
        registry.register("pushes", "Snapshots sent, by outcome", self.pushes.clone());
        let help = "Endpoints in the last snapshot, by state";
        registry.register("endpoints", help, self.endpoints.clone());
        registry.register_with_unit(
            "reading_age",
            "Age of the readings of endpoints that are up, when a snapshot was made",
            Unit::Seconds,
            self.reading_age.clone(),
        );
        registry.register_with_unit(
            "snapshot_age",
            "Time since the Envoy last took a snapshot, or since the start if it never did",
            Unit::Seconds,
            self.snapshot_age.clone(),
        );
        self.exchange.register(registry);
    }

    /// Shows the exchange with these gateways, and with no others.
    pub(crate) fn exchanged(&self, rows: &[ExchangeRow]) {
        self.exchange.show(rows);
    }

    /// Counts a scrape that ended.
    pub(crate) fn scraped<T>(
        &self,
        pool: &str,
        address: SocketAddr,
        took: Duration,
        outcome: &Result<T, Fault>,
    ) {
        let labels = ScrapeLabels {
            pool: pool.to_owned(),
            endpoint: address.to_string(),
            outcome: name(outcome),
        };
        self.scrapes.get_or_create(&labels).inc();
        self.scrape_duration.observe(took.as_secs_f64());
    }

    /// Counts a push that ended.
    pub(crate) fn pushed<T>(&self, url: &EnvoyUrl, outcome: &Result<T, Fault>) {
        let labels = PushLabels { envoy: url.to_string(), outcome: name(outcome) };
        self.pushes.get_or_create(&labels).inc();
    }

    /// Drops the series of an Envoy that is gone.
    pub(crate) fn forget_envoy(&self, url: &EnvoyUrl) {
        for outcome in OUTCOMES {
            self.pushes.remove(&PushLabels { envoy: url.to_string(), outcome });
        }
        self.snapshot_age.remove(&EnvoyLabels { envoy: url.to_string() });
    }

    /// Drops the series of a pod that is gone.
    pub(crate) fn forget_pod(&self, pool: &str, address: SocketAddr) {
        for outcome in OUTCOMES {
            self.scrapes.remove(&ScrapeLabels {
                pool: pool.to_owned(),
                endpoint: address.to_string(),
                outcome,
            });
        }
    }

    /// Counts the endpoints of a new snapshot by state, and observes the ages of their readings.
    pub(crate) fn published(&self, snapshot: &Snapshot) {
        let mut up = 0;
        let mut down = 0;
        let mut unread = 0;
        for endpoint in &snapshot.endpoints {
            match (endpoint.health, &endpoint.metrics) {
                (Health::Down, _) => down += 1,
                (Health::Up, None) => unread += 1,
                (Health::Up, Some(metrics)) => {
                    up += 1;
                    self.reading_age.observe(metrics.age.as_secs_f64());
                }
            }
        }
        for (state, count) in [("up", up), ("down", down), ("unread", unread)] {
            let pool = snapshot.pool.clone();
            self.endpoints.get_or_create(&EndpointLabels { pool, state }).set(count);
        }
    }

    /// Prints the page at `now`, with these families behind the scraper's own; `taken` has the time
    /// when each Envoy last took a snapshot.
    pub(crate) fn page<'a>(
        &self,
        now: Instant,
        taken: impl Iterator<Item = (&'a EnvoyUrl, Option<Instant>)>,
        families: &str,
    ) -> Result<String, fmt::Error> {
        for (url, taken) in taken {
            let age = now.saturating_duration_since(taken.unwrap_or(self.started)).as_secs_f64();
            self.snapshot_age.get_or_create(&EnvoyLabels { envoy: url.to_string() }).set(age);
        }
        let mut page = String::new();
        text::encode_registry(&mut page, &self.registry)?;
        page.push_str(families);
        text::encode_eof(&mut page)?;
        Ok(page)
    }
}

fn name<T>(outcome: &Result<T, Fault>) -> &'static str {
    outcome.as_ref().map_or_else(|fault| fault.kind().outcome(), |_| "ok")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_since_the_publishers_last_look_is_known_from_the_start_on() {
        let start = Instant::now();
        let meters = Meters::new(start);
        let since = |seconds| meters.since_look(start + Duration::from_secs(seconds)).as_secs();
        assert_eq!((since(0), since(40)), (0, 40), "it never looked");
        meters.looks(start + Duration::from_secs(41));
        assert_eq!((since(41), since(100)), (0, 59));
    }
}
