//! Requests that compute nothing: health checks, preflights, lists, cancellations.

use picker_core::InferenceRequest;
use proxy_wasm::types::Action;

use super::{
    Stream,
    phase::{Asked, Next, Phase},
    reading::choose_any,
};
use crate::{
    destination,
    host::{self, Headers},
    models::Models,
    pool::Pool,
    refusal::Refusal,
    run, stats, vm,
};

impl Stream {
    /// Sends on a request that computes nothing, to any endpoint: no queue may stand between a pod and
    /// those that ask for its health. A request for the list of models is answered here, if it is known.
    pub(super) fn go_at_once(&self, mut asked: Box<Asked>, headers: &Headers) -> Next {
        let Some(pool) = choose_any(&mut asked.candidates) else { return Next::passed() };
        run::look(&pool);
        let header = |name| headers.last(name).unwrap_or_default();
        if !self.steers() {
            return Next::passed();
        }
        if header(":method") == b"GET"
            && wire::models::is_asked_for(header(":path"))
            && let Some(list) = model_list(&pool)
        {
            host::reply(200, vec![("content-type", "application/json")], list.as_bytes());
            return Next { phase: Phase::Answered, action: Action::Pause };
        }
        let subset = asked.identity.subset.clone();
        let request = InferenceRequest { subset, ..InferenceRequest::default() };
        match vm::in_pool(pool.id, |pool| pool.worker.direct(host::now(), &request)) {
            Ok(result) => {
                if let Some(result) = &result {
                    destination::write(self.instance.config.envoy.way.destination(), result);
                }
                stats::count_placed(&pool, result.is_some());
                Next::passed()
            }
            Err(why) => {
                let placed = self.placed(pool, asked, Models::default(), 0);
                self.refuse(&Refusal::Unplaced(why), placed)
            }
        }
    }
}

/// The answer to a request for the list of models; `None` where no scraper says what is served.
fn model_list(pool: &Pool) -> Option<String> {
    let created = host::wall_clock().as_secs();
    vm::in_pool(pool.id, |pool| {
        pool.worker.models().list().map(|models| wire::models::list(&models, created))
    })
}
