//! The table of follow-ups: the endpoints that keep what answers named, of all pools.

use wire::{
    homes::{self, Home, NameDigest},
    layout,
};

use super::TRIES_MAX;
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

fn bucket_key(name: NameDigest) -> String {
    let mut key = layout::common_key("homes/");
    key.push_number(name.bucket());
    key
}
