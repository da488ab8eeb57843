//! The pool that takes a request, where its own can't, and the route there.

use std::rc::Rc;

use picker_core::PoolCondition;
use wire::{config::FALLBACK_HOPS_MAX, tally::FallbackReason};

use super::{Stream, phase::Asked};
use crate::{fallback::FellBack, host, pool::Pool, route_headers::RouteHeaders, run, stats, vm};

impl Stream {
    /// Returns the pool that takes a request for this one: the first on its way of fallbacks that can. If none can, the
    /// request stays.
    pub(super) fn available(&self, asked: &mut Asked, pool: Rc<Pool>) -> Rc<Pool> {
        if pool.config.fallback.is_none() || !self.steers() {
            return pool;
        }
        let Some(reason) = unavailable(&pool) else { return pool };
        let mut at = Rc::clone(&pool);
        for _ in 0..FALLBACK_HOPS_MAX {
            let Some(next) = self.instance.pools.fallback(&at, self.id.0) else { break };
            if unavailable(&next).is_none() {
                stats::count_fallback(&pool, reason);
                asked.fell_back = Some(FellBack { from: pool.config.name.clone(), reason });
                return next;
            }
            at = next;
        }
        pool
    }

    /// Has Envoy choose the route anew, by the model that a request is sent as and by its pool.
    pub(super) fn choose_route(&self, pool: &Pool, model: &str) {
        if !self.instance.config.routes_anew() || !self.steers() {
            return;
        }
        if !model.is_empty() && !vm::in_pool(pool.id, |pool| pool.worker.knows_snapshot()) {
            run::look(pool);
        }
        let base = vm::in_pool(pool.id, |pool| pool.worker.models().base(model).map(str::to_owned));
        let pool = pool.config.name.as_str();
        RouteHeaders { model, base_model: base.as_deref(), pool }.write();
    }
}

/// Returns the reason why a pool takes no request that may go to a fallback; `None` if it takes them.
fn unavailable(pool: &Pool) -> Option<FallbackReason> {
    if pool.config.is_unpicked() {
        return None;
    }
    run::look(pool);
    let (now, ledger) = (host::now(), pool.store.ledger());
    let limit = pool.config.fallback.as_ref().and_then(|fallback| fallback.saturation);
    match vm::in_pool(pool.id, |pool| pool.worker.condition(now, &ledger)) {
        PoolCondition::Empty => Some(FallbackReason::Empty),
        PoolCondition::Failing => Some(FallbackReason::Failing),
        PoolCondition::Serving(saturation) => {
            limit.filter(|limit| saturation >= *limit).map(|_| FallbackReason::Saturated)
        }
    }
}
