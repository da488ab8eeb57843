//! Pools that no configuration has any more: their values in shared data are emptied, once nothing of theirs
//! runs. A key itself can't be removed; an emptied one costs its name.

use std::{collections::BTreeSet, time::Duration};

use picker_core::Instant;
use wire::{config::POOLS_MAX, retired::RetiredPool};

use crate::{
    host,
    pools::Pools,
    store::{self, SharedStore},
};

/// Key of the list of pools that are to be emptied.
const KEY: &str = "llm-picker//v1/retired";

/// Time for which a pool is left alone after it was taken away: workers that have requests of it may not
/// have heard yet, and a worker that died is found within five seconds.
const REST: Duration = Duration::from_secs(10);

/// Time after which a pool is emptied though its ledger counts requests: no worker of it has lived to
/// take them back, or a stream lasts for hours, and its end is then not counted.
const REST_MAX: Duration = Duration::from_secs(3600);

/// Pools in the list: twice as many as a configuration has. More that are taken away at once stay as they are.
const LISTED_MAX: usize = 2 * POOLS_MAX;

/// Pools that are emptied at one tick, so that none takes long: each takes a call of Envoy for every entry of its ring.
const EMPTIED_MAX: usize = 4;

/// Makes the list, so that of two plugin instances that go at once none is lost. For `on_configure` only.
pub(crate) fn create() {
    host::create_shared(KEY);
}

/// Puts pools on the list which a configuration or a plugin instance no longer has, from now on. Others may have them.
pub(crate) fn retire(gone: &[String], now: Instant) {
    if gone.is_empty() {
        return;
    }
    change(|retired| {
        let gone: BTreeSet<&str> = gone.iter().map(String::as_str).collect();
        let known: BTreeSet<String> = retired.iter().map(|pool| pool.name.clone()).collect();
        postpone(retired, &gone, now);
        let new = gone.into_iter().filter(|name| !known.contains(*name));
        let room = LISTED_MAX.saturating_sub(retired.len());
        let new = new.take(room).map(|name| RetiredPool { name: name.to_owned(), since: now });
        retired.extend(new);
    });
}

/// Takes the pools of a plugin instance off the list, as it is configured.
pub(crate) fn reclaim(pools: &Pools) {
    change(|retired| retired.retain(|pool| !has(Some(pools), &pool.name)));
}

/// Empties the pools on the list that are at rest, at a tick of an instance that has `pools`. Those of its own are left alone as
/// long as it is there: another plugin may still have what one gave up, and Envoy takes up an instance again, without a word,
/// that had an earlier configuration and is not gone yet.
pub(crate) fn empty(pools: Option<&Pools>, now: Instant) {
    let listed = host::shared(KEY).value;
    if listed.is_empty() {
        return;
    }
    let listed = wire::retired::decode(&listed);
    let (own, gone): (Vec<_>, Vec<_>) = listed.iter().partition(|pool| has(pools, &pool.name));
    let is_due = |pool: &&&RetiredPool| now.saturating_since(pool.since) >= REST / 2;
    let due: BTreeSet<&str> = own.iter().filter(is_due).map(|pool| pool.name.as_str()).collect();
    if !due.is_empty() {
        change(|retired| postpone(retired, &due, now));
    }
    let at_rest = gone.into_iter().filter(|pool| is_at_rest(pool, now)).take(EMPTIED_MAX);
    for pool in at_rest.filter(|pool| take(&pool.name)) {
        SharedStore::for_pool(&pool.name).clear();
        log::info!("emptied the shared data of pool {}, which is gone", pool.name);
    }
}

fn postpone(retired: &mut [RetiredPool], names: &BTreeSet<&str>, now: Instant) {
    for pool in retired.iter_mut().filter(|pool| names.contains(pool.name.as_str())) {
        pool.since = now;
    }
}

fn is_at_rest(pool: &RetiredPool, now: Instant) -> bool {
    let age = now.saturating_since(pool.since);
    (age >= REST && SharedStore::for_pool(&pool.name).ledger().is_at_rest()) || age >= REST_MAX
}

/// Takes a pool off the list; false if another worker did so first.
fn take(name: &str) -> bool {
    let mut is_taken = false;
    change(|retired| {
        let before = retired.len();
        retired.retain(|pool| pool.name != name);
        is_taken = retired.len() < before;
    });
    is_taken
}

fn change(mut change: impl FnMut(&mut Vec<RetiredPool>)) {
    for _ in 0..store::TRIES_MAX {
        let stored = host::shared(KEY);
        let before = wire::retired::decode(&stored.value);
        let mut retired = before.clone();
        change(&mut retired);
        let is_new = retired != before;
        if !is_new || host::share_if_unchanged(KEY, &wire::retired::encode(&retired), stored.cas) {
            return;
        }
    }
}

fn has(pools: Option<&Pools>, name: &str) -> bool {
    pools.is_some_and(|pools| pools.has(name))
}
