//! A pool as it is known: its pods, and the newest reading of each.

mod snapshot;
mod waiting;

use std::{net::SocketAddr, sync::Arc, time::Instant};

use picker_core::{Model, ModelRewrite};
use tokio::sync::watch;
use wire::metrics::Reading;

use crate::settings::Objectives;

pub(crate) use snapshot::{QUIET_MAX, endpoints, snapshot};
pub(crate) use waiting::{WaitingGateways, WaitingReceiver};

/// A server port that is scraped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pod {
    /// Address, which identifies the pod.
    pub(crate) address: SocketAddr,
    /// Labels, sorted by key.
    pub(crate) labels: Vec<(String, String)>,
    /// True if the pod speaks HTTP/2 only.
    pub(crate) http2: bool,
    pub(crate) origin: PodOrigin,
}

/// The origin of a pod, by which it is told from another that had its address before. Nothing is known
/// where pods are listed by their addresses alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PodOrigin {
    /// Name that no other pod has or had (Kubernetes: uid).
    pub(crate) uid: String,
    /// Milliseconds of the Unix time at which the pod was made.
    pub(crate) created_ms: Option<u64>,
}

/// The outcome of a pod's scrapes so far.
#[derive(Debug, Default)]
pub(crate) struct ScrapeState {
    /// True once a scrape has ended, well or not.
    pub(crate) tried: bool,
    /// Reason why the pod is down or cannot be read, if so.
    pub(crate) trouble: Option<Trouble>,
    /// Reading of the last scrape that succeeded.
    pub(crate) reading: Option<TimedReading>,
    /// The present life of the pod's engine.
    pub(crate) life: EngineLife,
}

/// The present life of a pod's engine, with an empty cache at its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct EngineLife {
    /// Milliseconds of the Unix time of its beginning, greater than those of all lives before; zero if
    /// nothing tells.
    pub(crate) number: u64,
    /// Beginning of it, if that is known.
    pub(crate) began: Option<Instant>,
}

/// The reason why a pod has no fresh reading, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// No requests should go there: nothing answers, or its engine sleeps.
    Down(String),
    /// The pod answers, but not with a page that says how loaded it is. Requests may go there.
    Unread(String),
}

/// A reading with its time.
#[derive(Debug)]
pub(crate) struct TimedReading {
    /// Start of the scrape. The page was written a little later, so ages are never understated.
    pub(crate) at: Instant,
    pub(crate) reading: Reading,
}

/// A pod and the state of its scrapes, which the pod's own task writes.
#[derive(Clone, Debug)]
pub(crate) struct ScrapedPod {
    pub(crate) pod: Arc<Pod>,
    pub(crate) state: watch::Receiver<ScrapeState>,
}

/// The readings of a pool's pods, with the objectives and rewrites that go with them.
#[derive(Clone, Debug)]
pub(crate) struct PodReadings {
    /// Pods in the order of the discovery.
    pub(crate) pods: Arc<[ScrapedPod]>,
    pub(crate) objectives: Arc<Objectives>,
    pub(crate) rewrites: Arc<[ModelRewrite]>,
    /// Models that the pods say they serve, by ascending name.
    pub(crate) models: watch::Receiver<Arc<[Model]>>,
}

/// A pool, as publisher and pages see it.
#[derive(Clone, Debug)]
pub(crate) struct PoolView {
    pub(crate) pool: Arc<str>,
    /// Readings; none before the first list of pods.
    pub(crate) readings: watch::Receiver<Option<PodReadings>>,
    pub(crate) waiting: WaitingGateways,
}
