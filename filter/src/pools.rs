//! The pools of one plugin instance, and which of them a request is for.
//!
//! A configuration may have two thousand pools, of which one Envoy sees a few. So a request looks at the rules that it
//! fits alone, and a worker takes part in a pool from the first request on that is for it: until then the pool costs
//! its configuration.

mod candidates;
mod group;

use std::{cell::OnceCell, collections::BTreeMap, rc::Rc};

use picker_core::worker::Conduct;
use wire::{
    config::{Destined, MatchIndex},
    homes::PoolDigest,
};

use crate::{
    bodies,
    checked::CheckedPool,
    host::{self, Headers},
    pool::{self, Pool},
    run, session_key,
    store::SharedStore,
    ticks,
    vm::{self, instances::ConfiguredPool},
};
pub(crate) use candidates::{Candidates, Choice, rewrites};
use group::Group;

/// Pools of a configuration in which every worker takes part at once: their prefixes are then known to a worker before
/// its first request. Each costs a worker 32 kB, its prefixes, and a look at its ledger a second.
const JOINED_AT_ONCE_MAX: usize = 64;

/// All pools of one plugin instance, in the order in which they are tried.
pub(crate) struct Pools {
    slots: Vec<Slot>,
    index: MatchIndex,
    /// The pools of each group of the index, by its number.
    groups: Vec<Group>,
    by_name: BTreeMap<String, usize>,
    by_digest: BTreeMap<PoolDigest, usize>,
    /// True if Envoy has to be asked for the route's cluster.
    by_cluster: bool,
    conduct: Conduct,
    /// Id of the plugin instance's context.
    context: u32,
}

/// A pool that is configured.
struct Slot {
    checked: CheckedPool,
    /// The pool, once this VM takes part in it.
    joined: OnceCell<Rc<Pool>>,
}

impl Pools {
    /// Configures the pools, as the plugin instance with this context id.
    pub(crate) fn configure(checked: Vec<CheckedPool>, conduct: Conduct, context: u32) -> Self {
        let configs = || checked.iter().map(|pool| &pool.config);
        let by_cluster = configs().any(|config| config.matches.cluster.is_some());
        let index = MatchIndex::new(configs().map(|config| &config.matches));
        let groups = index.groups().iter().map(|group| Group::new(group, &checked)).collect();
        let names = || configs().enumerate().map(|(at, config)| (config.name.as_str(), at));
        let by_digest = names().map(|(name, at)| (PoolDigest::new(name), at)).collect();
        let by_name = names().map(|(name, at)| (name.to_owned(), at)).collect();
        if configs().any(|config| pool::has_tokens(config)) {
            session_key::draw();
        }
        configs().for_each(|config| SharedStore::for_pool(&config.name).create());
        let slots =
            checked.into_iter().map(|checked| Slot { checked, joined: OnceCell::new() }).collect();
        let pools = Self { slots, index, groups, by_name, by_digest, by_cluster, conduct, context };
        pools.join_known();
        pools
    }

    /// Takes part at once in all pools if they are few, else in those that this VM has from before.
    fn join_known(&self) {
        let are_few = self.slots.len() <= JOINED_AT_ONCE_MAX;
        for (at, slot) in self.slots.iter().enumerate() {
            if are_few || vm::has_pool(&slot.checked.config.name) {
                let _ = self.pool(at, self.context);
            }
        }
    }

    /// Finds the pools that a request with these headers may be for.
    pub(crate) fn fitting(&self, headers: &Headers) -> Candidates {
        let header = |name| headers.last(name).unwrap_or_default();
        let cluster = if self.by_cluster { host::route_cluster() } else { Vec::new() };
        let request =
            Destined { host: header(":authority"), path: header(":path"), cluster: &cluster };
        Candidates::of_groups(self.index.fitting(request))
    }

    /// Returns a pool by its place, in which this VM takes part from now on. `acting` is the context that Envoy acts on.
    fn pool(&self, at: usize, acting: u32) -> Option<Rc<Pool>> {
        let Slot { checked, joined } = self.slots.get(at)?;
        if let Some(pool) = joined.get() {
            return Some(Rc::clone(pool));
        }
        let pool = Rc::new(Pool::join(checked, self.conduct, self.context, acting));
        let _ = joined.set(Rc::clone(&pool));
        let entering: Rc<dyn ConfiguredPool> = Rc::<Pool>::clone(&pool);
        vm::enter(pool.id, self.context, entering);
        pool.configure();
        Some(pool)
    }

    /// Returns the pool that takes the requests of another while that can't. `acting` is the context that Envoy acts on.
    pub(crate) fn fallback(&self, pool: &Pool, acting: u32) -> Option<Rc<Pool>> {
        let fallback = pool.config.fallback.as_ref()?;
        self.pool(*self.by_name.get(&fallback.pool)?, acting)
    }

    /// Iterates over the pools that this VM takes part in, in the order in which they are tried.
    pub(crate) fn joined(&self) -> impl Iterator<Item = &Rc<Pool>> {
        self.slots.iter().filter_map(|slot| slot.joined.get())
    }

    /// True if one of the pools has this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// Lets time pass for all pools.
    pub(crate) fn tick(&self) {
        bodies::tick(self.context);
        let now = host::now();
        let count = self.joined().count();
        // Another one at each tick: pools with many requests to let go may leave no turn to those behind them.
        let first = ticks::number(now).checked_rem(count).unwrap_or_default();
        let mut decisions = 0;
        let joined = || self.joined();
        for pool in joined().skip(first).chain(joined().take(first)) {
            if decisions >= run::DECISIONS_MAX {
                break;
            }
            if vm::in_pool(pool.id, |pool| pool.is_due(now)) {
                decisions += run::tick(pool, self.context);
            }
        }
        self.set_tick_period();
    }

    /// Asks for the ticks that the busiest of the pools needs, in the plugin instance that Envoy acts on.
    pub(crate) fn set_tick_period(&self) {
        let is_busy = self.joined().any(|pool| vm::in_pool(pool.id, |pool| pool.worker.is_busy()));
        ticks::ask(self.context, is_busy || bodies::are_crowded());
    }
}
