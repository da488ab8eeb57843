//! Requests that compute nothing: health checks, preflights, lists, cancellations, and what asks for what a pod keeps.

use std::net::SocketAddr;

use picker_core::{InferenceRequest, Instant, PickError};
use proxy_wasm::types::Action;
use wire::response::{Kind, MadeName};

use super::{
    Stream,
    phase::{Asked, Naming, Next, Phase},
};
use crate::{
    destination, homes,
    host::{self, Headers},
    identity::{self, Identity},
    models::Models,
    pool::Pool,
    pools::Candidates,
    refusal::Refusal,
    run, stats, vm,
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

    /// Sends on a request that computes nothing, and names nothing that a pod keeps: to any endpoint. Of its headers those
    /// alone are read that say where it may go.
    pub(super) fn go_anywhere(
        &self,
        headers: &Headers,
        candidates: Candidates,
        received_at: Instant,
    ) -> Next {
        if !self.steers() {
            return Next::passed();
        }
        let Some(pool) = self.among(&candidates).for_any() else { return Next::passed() };
        self.choose_route(&pool, "");
        if pool.config.is_unpicked() {
            return Next::passed();
        }
        let subset = identity::subset_hint(headers);
        let request = InferenceRequest { subset, ..InferenceRequest::default() };
        match self.send_at_once(&pool, &request, received_at) {
            Ok(_) => Next::passed(),
            Err(why) => {
                let asked = Box::new(Asked {
                    identity: Identity::read(headers, &self.instance.config.identity),
                    ..Asked::new(headers, candidates, received_at)
                });
                let placed = self.placed(pool, asked, Models::default(), 0);
                self.refuse(Refusal::Unplaced(why), placed)
            }
        }
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
        let subset = asked.identity.subset.clone();
        let request = InferenceRequest { subset, home, ..InferenceRequest::default() };
        match self.send_at_once(&pool, &request, asked.received_at) {
            Ok(endpoint) if asked.keeps => {
                let owner = asked.identity.owner().to_owned();
                Next::naming(Naming { pool, owner, endpoint, made: None })
            }
            Ok(_) => Next::passed(),
            Err(why) => {
                let placed = self.placed(pool, asked, Models::default(), 0);
                self.refuse(Refusal::Unplaced(why), placed)
            }
        }
    }

    /// Writes where such a request goes. Returns the endpoint; `None` where it goes on without one of ours.
    fn send_at_once(
        &self,
        pool: &Pool,
        request: &InferenceRequest,
        received_at: Instant,
    ) -> Result<Option<SocketAddr>, PickError> {
        if vm::in_pool(pool.id, |pool| pool.worker.is_behind(received_at)) {
            run::look(pool);
        }
        let result = vm::in_pool(pool.id, |pool| pool.worker.direct(received_at, request))?;
        if let Some(result) = &result {
            destination::write(self.instance.config.envoy.way.destination(), result);
        }
        stats::count_placed(pool, result.is_some());
        Ok(result.and_then(|result| result.ranked.first().copied()))
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
