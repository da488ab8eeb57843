//! Pools of which an Envoy answers the snapshots with an error.
//!
//! Every pool has a link of its own: a pool that is refused, be it too large or not known there,
//! keeps nothing from the others.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use crate::{
    peer::{Fault, Link, log_failure, log_success},
    settings::EnvoyUrl,
};

/// The pools that one Envoy refuses.
pub(super) struct Refusals {
    envoy: String,
    pools: BTreeMap<Arc<str>, Refusal>,
}

struct Refusal {
    link: Link,
    until: Instant,
    why: String,
}

impl Refusals {
    pub(super) fn new(url: &EnvoyUrl) -> Self {
        Self { envoy: format!("Envoy {url}"), pools: BTreeMap::new() }
    }

    /// True if the pool's snapshot is to be tried, as that of any pool that is not refused.
    pub(super) fn is_due(&self, pool: &str) -> bool {
        self.pools.get(pool).is_none_or(|refusal| refusal.until <= Instant::now())
    }

    /// Records that the Envoy took a snapshot of the pool.
    pub(super) fn took(&mut self, pool: &str) {
        if let Some(refusal) = self.pools.get_mut(pool) {
            let name = format_args!("pool {pool} at {}", self.envoy);
            log_success(name, refusal.link.succeeded(Instant::now()));
        }
    }

    /// Records that the Envoy refused a snapshot of the pool.
    pub(super) fn refused(&mut self, pool: &Arc<str>, fault: &Fault) {
        let now = Instant::now();
        let new = || Refusal { link: Link::new(), until: now, why: String::new() };
        let refusal = self.pools.entry(Arc::clone(pool)).or_insert_with(new);
        let name = format_args!("pool {pool} at {}", self.envoy);
        log_failure(name, refusal.link.failed(now, fault.kind()), fault);
        refusal.until = now + refusal.link.wait();
        refusal.why = fault.to_string();
    }

    /// Returns the first pool that the Envoy refuses, with the reason, if that is more than a
    /// hiccup.
    pub(super) fn lasting(&self) -> Option<String> {
        let mut down = self.pools.iter().filter(|(_, refusal)| refusal.link.is_down());
        down.next().map(|(pool, refusal)| format!("pool {pool}: {}", refusal.why))
    }
}
