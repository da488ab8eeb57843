//! Requests that compute nothing: health checks, preflights, lists, cancellations, and what asks for what a pod keeps.

use picker_core::InferenceRequest;
use proxy_wasm::types::Action;
use wire::response::{Kind, MadeName};

use super::{
    Stream,
    phase::{Asked, Naming, Next, Phase},
};
use crate::{
    destination, homes, host, models::Models, pools::Candidates, refusal::Refusal, run, stats, vm,
};

impl Stream {
    /// Answers a request for the list of models, if it is known what is served; else any endpoint does.
    pub(super) fn list_models(&self, asked: Box<Asked>) -> Next {
        let list = if self.steers() { self.model_list(&asked.candidates) } else { None };
        let Some(list) = list else { return self.go_at_once(asked, None) };
        let mut headers = vec![("content-type", "application/json")];
        asked.reply_to.append(&mut headers);
        host::reply(200, headers, list.as_bytes());
        Next { phase: Phase::Answered, action: Action::Pause }
    }

    /// Sends on a request that computes nothing: no queue may stand between a pod and those that ask for its health. It
    /// goes to the endpoint that keeps what it names, as far as it names something, else to any.
    pub(super) fn go_at_once(&self, asked: Box<Asked>, name: Option<&[u8]>) -> Next {
        if !self.steers() {
            return Next::passed();
        }
        let choice = self.among(&asked.candidates);
        let (pool, home) = match choice.home(asked.identity.owner(), name) {
            Some((pool, home)) => (pool, Some(home.endpoint)),
            None => match choice.for_any() {
                Some(pool) => (pool, None),
                None => return Next::passed(),
            },
        };
        self.choose_route(&pool, asked.named.as_ref().map_or("", |models| &models.sent));
        if pool.config.is_unpicked() {
            return Next::passed();
        }
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
                if !asked.keeps {
                    return Next::passed();
                }
                let owner = asked.identity.owner().to_owned();
                Next::naming(Naming { pool, owner, endpoint, made: None })
            }
            Err(why) => {
                let placed = self.placed(pool, asked, Models::default(), 0);
                self.refuse(Refusal::Unplaced(why), placed)
            }
        }
    }

    /// The answer to a request for the list of models: those of all pools that it may be for. `None` where no scraper says
    /// what is served.
    fn model_list(&self, candidates: &Candidates) -> Option<String> {
        let known = self.among(candidates).models()?;
        let models = known.iter().map(|(name, model)| (name.as_str(), model.as_ref()));
        Some(wire::models::list(&models.collect(), host::wall_clock().as_secs()))
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
            homes::keep(&self.pool, &self.owner, name, endpoint);
        }
        if name.is_some() || made.is_over() {
            self.made = None;
        }
    }
}
