//! Requests that an operator has explained: answered with every score of every endpoint, and sent nowhere.

use picker_core::{InferenceRequest, saturation::Capacity};
use proxy_wasm::types::Action;
use wire::{
    body::Dialect,
    debug::{DebugWish, MEDIA_TYPE},
    explained::{ToldExplanation, ToldGateway},
};

use super::{
    Stream,
    phase::{Asked, Next, Phase},
};
use crate::{host, pool::Pool, run, vm};

impl Stream {
    /// True if the request is to be explained, and not to be sent.
    pub(super) fn is_explained(&self) -> bool {
        self.wish.get() == Some(DebugWish::Explanation)
    }

    /// Answers a request with the choice that the pool would make for it now, by all that this worker knows. Nothing is
    /// counted, and nothing changes.
    pub(super) fn explain(
        &self,
        pool: &Pool,
        mut request: InferenceRequest,
        asked: &Asked,
    ) -> Next {
        run::look(pool);
        let (now, ledger) = (host::now(), pool.store.ledger());
        let (explanation, capacity) = vm::in_pool(pool.id, |state| {
            let capacity = state.worker.capacity(now, &ledger);
            (state.worker.explain(now, &mut request, &ledger), capacity)
        });
        let saturation = match capacity {
            Capacity::Serving(budget) => Some(budget.saturation()),
            Capacity::Unknown | Capacity::Empty => None,
        };
        let gateway = ToldGateway {
            in_flight: ledger.accounts.requests(),
            waiting: ledger.waiting.into(),
            saturation,
            priority: request.priority.0,
        };
        let told = ToldExplanation::new(&pool.config.name, &request, explanation);
        let told = ToldExplanation { gateway: Some(gateway), ..told };
        let mut headers = vec![("content-type", MEDIA_TYPE)];
        asked.reply_to.append(&mut headers);
        host::reply(200, headers, &told.encode());
        Next { phase: Phase::Answered, action: Action::Pause }
    }

    /// Answers a request that was to be explained and for which nothing is chosen: sent on it would be a request like any
    /// other.
    pub(super) fn withhold(&self, next: Next) -> Next {
        let goes = matches!(next.phase, Phase::Passed | Phase::Naming(_));
        if !goes || !self.is_explained() {
            return next;
        }
        let why =
            "nothing to explain: no pool of the picker has this request, or it needs no choice";
        let body = Dialect::OpenAi.error_body(400, why);
        host::reply(400, vec![("content-type", "application/json")], body.as_bytes());
        Next { phase: Phase::Answered, action: Action::Pause }
    }
}
