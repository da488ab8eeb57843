//! Where a pool's pods come from. Each discovery is a task that publishes what it has found at
//! first, and again whenever it changes.

mod inference_pool;
mod listed;
mod listing;
mod names;

use picker_core::ModelRewrite;
use tokio::sync::watch;
use tracing::warn;

use crate::{board::Pod, objectives::Objectives, settings, targets::TARGETS_MAX};
use inference_pool::InferencePool;
use listed::Listed;

/// What is known of a pool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// Every address once.
    pub(crate) pods: Vec<Pod>,
    /// What its requests are for.
    pub(crate) objectives: Objectives,
    /// Which models they go to, the oldest first.
    pub(crate) rewrites: Vec<ModelRewrite>,
}

/// A discovery at work: it ends when nobody listens any more.
#[derive(Debug)]
pub(crate) enum Discovery {
    Listed(Listed),
    InferencePool(InferencePool),
}

impl Discovery {
    /// # Errors
    /// If there is no good list to begin with.
    pub(crate) async fn load(settings: settings::Discovery) -> Result<Self, String> {
        match settings {
            settings::Discovery::Listed(listed) => Listed::load(listed).await.map(Self::Listed),
            settings::Discovery::InferencePool(pool) => {
                InferencePool::load(pool).await.map(Self::InferencePool)
            }
        }
    }

    /// Publishes what it finds. Nothing is published before it is known: no pods would tell the
    /// Envoys that the pool is scaled to zero.
    pub(crate) async fn run(self, given: Objectives, found: watch::Sender<Option<Found>>) {
        let publish = |mut new: Found| {
            new.objectives = given.with(&new.objectives);
            publish(&found, new);
        };
        let work = async {
            match self {
                Self::Listed(listed) => {
                    listed.run(|pods| publish(Found { pods, ..Found::default() })).await;
                }
                Self::InferencePool(pool) => pool.run(publish).await,
            }
        };
        tokio::select! {
            () = work => (),
            () = found.closed() => (),
        }
    }
}

fn publish(found: &watch::Sender<Option<Found>>, mut new: Found) {
    found.send_if_modified(|last| {
        let over = new.pods.len().saturating_sub(TARGETS_MAX);
        new.pods.truncate(TARGETS_MAX);
        if last.as_ref() == Some(&new) {
            return false;
        }
        if over > 0 {
            warn!("more than {TARGETS_MAX} endpoints: the last {over} are left out");
        }
        *last = Some(new);
        true
    });
}
