//! The table of follow-ups: the endpoints that keep what answers named, of all pools.

use picker_core::{EventKind, PlacementEvent};
use wire::{
    homes::{self, Home, NameDigest, PoolDigest},
    layout,
};

use super::{SharedStore, TRIES_MAX};
use crate::{fast_format::FastFormat, host};

/// Returns the endpoints that keep what has this name, as far as any worker has learnt it, the newest first.
pub(crate) fn homes(name: NameDigest) -> Vec<Home> {
    homes::find(&host::shared(&bucket_key(name)).value, name)
}

/// Notes the endpoint that keeps what has this name. Of two workers that are the first to write a bucket one may
/// be forgotten, as no key is made before it is used: they are many.
pub(crate) fn keep_home(name: NameDigest, home: Home) {
    let key = bucket_key(name);
    for _ in 0..TRIES_MAX {
        let stored = host::shared(&key);
        let bytes = homes::with(&stored.value, name, home);
        if host::share_if_unchanged(&key, &bytes, stored.cas) {
            break;
        }
    }
}

impl SharedStore {
    /// Takes the names of what endpoints keep out of other gateways' events, and notes them. Returns the other events.
    pub(crate) fn take_names(&self, events: Vec<PlacementEvent>) -> Vec<PlacementEvent> {
        let pool = PoolDigest::new(&self.pool);
        let is_other = |event: &PlacementEvent| {
            let EventKind::Kept(name) = event.verdict else { return true };
            keep_home(name.into(), Home { pool, endpoint: event.endpoint });
            false
        };
        events.into_iter().filter(is_other).collect()
    }
}

fn bucket_key(name: NameDigest) -> String {
    let mut key = layout::common_key("homes/");
    key.push_number(name.bucket());
    key
}
