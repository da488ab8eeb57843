//! Which gateways hold requests of a pool.

use std::collections::BTreeSet;

use tokio::sync::watch;

use crate::settings::EnvoyUrl;

/// What the gateways' last answers said of one pool.
#[derive(Clone, Debug)]
pub(crate) struct Waiting(watch::Sender<BTreeSet<EnvoyUrl>>);

/// Whether any of them holds requests.
pub(crate) type Waited = watch::Receiver<BTreeSet<EnvoyUrl>>;

impl Waiting {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(BTreeSet::new()))
    }

    pub(crate) fn is_nobody(&self) -> bool {
        self.0.borrow().is_empty()
    }

    pub(crate) fn watch(&self) -> Waited {
        self.0.subscribe()
    }

    /// A gateway has said whether it holds requests, or can't be asked any more.
    pub(crate) fn tell(&self, url: &EnvoyUrl, holds: bool) {
        self.0.send_if_modified(|urls| match holds {
            true => urls.insert(url.clone()),
            false => urls.remove(url),
        });
    }
}
