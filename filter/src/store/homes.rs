//! The store's part in follow-ups: the endpoints that keep what answers named.

use std::net::SocketAddr;

use wire::{
    homes::{self, BUCKETS, NameDigest},
    layout::key,
};

use super::{SharedStore, TRIES_MAX};
use crate::{fast_format::FastFormat, host};

impl SharedStore {
    /// Returns the endpoint that keeps what has this name, as far as any worker has learnt it.
    pub(crate) fn home(&self, name: NameDigest) -> Option<SocketAddr> {
        homes::find(&host::shared(&self.home_key(name.bucket())).value, name)
    }

    /// Notes the endpoint that keeps what has this name. Of two workers that are the first to write a bucket one may
    /// be forgotten, as no key is made before it is used: they are many.
    pub(crate) fn keep_home(&self, name: NameDigest, endpoint: SocketAddr) {
        let key = self.home_key(name.bucket());
        for _ in 0..TRIES_MAX {
            let stored = host::shared(&key);
            let bytes = homes::with(&stored.value, name, endpoint);
            if host::share_if_unchanged(&key, &bytes, stored.cas) {
                break;
            }
        }
    }

    /// Forgets all of them.
    pub(super) fn clear_homes(&self) {
        (0..BUCKETS).for_each(|bucket| host::empty_shared(&self.home_key(bucket)));
    }

    fn home_key(&self, bucket: u64) -> String {
        let mut key = key(&self.pool, "homes/");
        key.push_number(bucket);
        key
    }
}
