//! The discovery of a pool's pods. Each discovery is a task that publishes the pool at first, and
//! again whenever it changes.

mod endpoints_file;
mod names;

mod inference_pool;
mod listed;

use picker_core::ModelRewrite;
use tokio::sync::watch;
use tracing::warn;

use crate::{
    pool::Pod,
    settings::{Discovery, Objectives, TARGETS_MAX},
};
use inference_pool::PoolWatch;
use listed::ListedDiscovery;

/// A pool as it was discovered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DiscoveredPool {
    /// Pods, every address once.
    pub(crate) pods: Vec<Pod>,
    /// Objectives of the pool's requests.
    pub(crate) objectives: Objectives,
    /// Rewrites of model names, the oldest first.
    pub(crate) rewrites: Vec<ModelRewrite>,
}

/// A discovery at work, which ends when the channel has no receiver any more.
#[derive(Debug)]
pub(crate) enum DiscoveryTask {
    Listed(ListedDiscovery),
    Watched(PoolWatch),
}

impl DiscoveryTask {
    /// Starts from settings.
    ///
    /// # Errors
    /// If there is no good list to begin with, or no way to an API server.
    pub(crate) async fn load(discovery: Discovery) -> Result<Self, String> {
        match discovery {
            Discovery::Listed(listed) => ListedDiscovery::load(listed).await.map(Self::Listed),
            Discovery::InferencePool(pool) => PoolWatch::of_pool(pool).await.map(Self::Watched),
            Discovery::Pods(pods) => PoolWatch::of_pods(pods).await.map(Self::Watched),
        }
    }

    /// Publishes the pool whenever it changes, with the objectives `given` at start. Nothing is
    /// published before it is known: no pods would tell the Envoys that the pool is scaled to zero.
    pub(crate) async fn run(
        self,
        given: Objectives,
        discovered: watch::Sender<Option<DiscoveredPool>>,
    ) {
        let publish = |mut pool: DiscoveredPool| {
            pool.objectives = given.with(&pool.objectives);
            publish(&discovered, pool);
        };
        let work = async {
            match self {
                Self::Listed(listed) => {
                    listed
                        .run(|pods| publish(DiscoveredPool { pods, ..DiscoveredPool::default() }))
                        .await;
                }
                Self::Watched(watch) => watch.run(publish).await,
            }
        };
        tokio::select! {
            () = work => (),
            () = discovered.closed() => (),
        }
    }
}

fn publish(discovered: &watch::Sender<Option<DiscoveredPool>>, mut pool: DiscoveredPool) {
    discovered.send_if_modified(|last| {
        let over = pool.pods.len().saturating_sub(TARGETS_MAX);
        pool.pods.truncate(TARGETS_MAX);
        if last.as_ref() == Some(&pool) {
            return false;
        }
        if over > 0 {
            warn!("more than {TARGETS_MAX} endpoints: the last {over} are left out");
        }
        *last = Some(pool);
        true
    });
}
