//! Requests that compute nothing: health checks, preflights, lists, cancellations, and what asks for what a pod keeps.

use std::rc::Rc;

use picker_core::{InferenceRequest, Model};
use proxy_wasm::types::Action;
use wire::response::{Kind, MadeName};

use super::{
    Stream,
    phase::{Asked, Naming, Next, Phase},
    reading::choose_any,
};
use crate::{
    destination, homes, host, models::Models, pool::Pool, refusal::Refusal, run, stats, vm,
};

impl Stream {
    /// Answers a request for the list of models, if it is known what is served; else any endpoint does.
    pub(super) fn list_models(&self, asked: Box<Asked>) -> Next {
        let list = if self.steers() { model_list(&asked.candidates) } else { None };
        let Some(list) = list else { return self.go_at_once(asked, None) };
        let mut headers = vec![("content-type", "application/json")];
        asked.reply_to.append(&mut headers);
        host::reply(200, headers, list.as_bytes());
        Next { phase: Phase::Answered, action: Action::Pause }
    }

    /// Sends on a request that computes nothing: no queue may stand between a pod and those that ask for its health. It
    /// goes to the endpoint that keeps what it names, as far as it names something, else to any.
    pub(super) fn go_at_once(&self, mut asked: Box<Asked>, name: Option<&[u8]>) -> Next {
        if !self.steers() {
            return Next::passed();
        }
        let found = homes::take_pool(&mut asked.candidates, name);
        let (pool, home) = match found {
            Some((pool, home)) => (pool, Some(home)),
            None => match choose_any(&mut asked.candidates) {
                Some(pool) => (pool, None),
                None => return Next::passed(),
            },
        };
        run::look(&pool);
        let subset = asked.identity.subset.clone();
        let request = InferenceRequest { subset, home, ..InferenceRequest::default() };
        match vm::in_pool(pool.id, |pool| pool.worker.direct(host::now(), &request)) {
            Ok(result) => {
                if let Some(result) = &result {
                    destination::write(self.instance.config.envoy.way.destination(), result);
                }
                stats::count_placed(&pool, result.is_some());
                let endpoint = result.and_then(|result| result.ranked.first().copied());
                if asked.keeps { Next::naming(pool, endpoint) } else { Next::passed() }
            }
            Err(why) => {
                let placed = self.placed(pool, asked, Models::default(), 0);
                self.refuse(Refusal::Unplaced(why), placed)
            }
        }
    }

    /// Takes in the headers of an answer that names what the pod keeps.
    pub(super) fn begin_name(&self, naming: &mut Naming) {
        let headers = host::response_headers();
        let header = |name| headers.last(name);
        if header(":status").is_some_and(|status| status.starts_with(b"2")) {
            naming.endpoint = self.server(&headers).or(naming.endpoint);
            let kind = Kind::from_headers(header("content-type"), header("content-encoding"));
            naming.made = MadeName::new(kind);
        }
    }
}

impl Naming {
    /// Takes in a part of such an answer.
    pub(super) fn read(&mut self, size: usize) {
        let Some(made) = &mut self.made else { return };
        let name = made.push(&host::response_body(size)).map(<[u8]>::to_vec);
        if let (Some(name), Some(endpoint)) = (&name, self.endpoint) {
            homes::keep(&self.pool, name, endpoint);
        }
        if name.is_some() || made.is_over() {
            self.made = None;
        }
    }
}

/// The answer to a request for the list of models: those of all pools that it may be for, each where a request for it
/// would go. `None` where no scraper says what is served.
fn model_list(pools: &[Rc<Pool>]) -> Option<String> {
    let mut known: Vec<Vec<(String, Option<Model>)>> = Vec::new();
    for (index, pool) in pools.iter().enumerate() {
        run::look(pool);
        let models = vm::in_pool(pool.id, |pool| {
            let list = pool.worker.models().list()?;
            let owned = |(name, model): (&str, Option<&Model>)| (name.to_owned(), model.cloned());
            Some(list.into_iter().map(owned).collect::<Vec<_>>())
        });
        let is_here = |name: &str| {
            let fits = |pool: &Rc<Pool>| pool.config.matches.fits_model(Some(name));
            pools.iter().position(fits) == Some(index)
        };
        known.extend(models.map(|it| it.into_iter().filter(|(name, _)| is_here(name)).collect()));
    }
    if known.is_empty() {
        return None;
    }
    let models = known.iter().flatten().map(|(name, model)| (name.as_str(), model.as_ref()));
    Some(wire::models::list(&models.collect(), host::wall_clock().as_secs()))
}
