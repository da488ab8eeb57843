//! Gateways that hold requests of a pool.

use std::collections::BTreeSet;

use tokio::sync::watch;

use crate::settings::EnvoyUrl;

/// Gateways that hold requests of one pool, by their last answers.
#[derive(Clone, Debug)]
pub(crate) struct WaitingGateways(watch::Sender<BTreeSet<EnvoyUrl>>);

/// A receiver of the gateways that hold requests.
pub(crate) type WaitingReceiver = watch::Receiver<BTreeSet<EnvoyUrl>>;

impl WaitingGateways {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(BTreeSet::new()))
    }

    /// True if no gateway holds requests.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    pub(crate) fn subscribe(&self) -> WaitingReceiver {
        self.0.subscribe()
    }

    /// Records that a gateway holds requests, or that it holds none or can't be asked any more.
    pub(crate) fn set(&self, url: &EnvoyUrl, holds: bool) {
        self.0.send_if_modified(|urls| match holds {
            true => urls.insert(url.clone()),
            false => urls.remove(url),
        });
    }
}
