//! A request's headers and body: read, rewritten, and its pool chosen.

use std::rc::Rc;

use picker_core::InferenceRequest;
use proxy_wasm::types::Action;
use wire::{
    body::{Api, BodyError, Inference, OutputWishes, PromptScope},
    config::Hold,
};

use super::{
    Stream,
    phase::{Asked, Next, Phase, Reading},
    placing::Wish,
};
use crate::{
    host::{self, Headers},
    identity::Identity,
    models::Models,
    pool::Pool,
    refusal::Refusal,
    request_meta,
    routing_headers::RoutingHeaders,
    run, vm,
};

/// Encodings in which a client would take its answer.
const ACCEPT_ENCODING: &str = "accept-encoding";

impl Stream {
    /// Holds a request whose body decides; sends on all others by load, before their body.
    pub(super) fn begin(self: &Rc<Self>, headers: &mut Headers, end_of_stream: bool) -> Next {
        let received_at = host::now();
        let instance = &self.instance;
        let candidates = instance.pools.fitting(headers);
        if candidates.is_empty() {
            return Next::passed();
        }
        let trust = &instance.config.identity;
        headers.strip(trust.steering_paths.iter().map(String::as_str));
        let api = request_meta::api(headers);
        let names = candidates.iter().flat_map(|pool| &pool.header_names).map(String::as_str);
        let routing = RoutingHeaders::read(headers, names);
        // The picker's own words to itself: no pod has a use for them.
        headers.strip(candidates.iter().flat_map(|pool| pool.config.scheduler.token_headers()));
        let asked = Box::new(Asked {
            routing,
            identity: Identity::read(headers, trust),
            dialect: api.map(Api::dialect).unwrap_or_default(),
            received_at,
            priority: None,
            candidates,
        });
        // Where tenants are charged for tokens, none may have its usage hidden in a compressed answer.
        if asked.candidates.iter().any(|pool| pool.charges()) && headers.has(ACCEPT_ENCODING) {
            host::remove_request_header(ACCEPT_ENCODING);
        }
        match api.filter(|api| !end_of_stream && reads(&asked.candidates, *api)) {
            Some(api) => self.hold_headers(asked, api, headers),
            None => self.go_by_load(asked, headers),
        }
    }

    /// Waits for the body, if it may be as long as it will be.
    fn hold_headers(&self, asked: Box<Asked>, api: Api, headers: &Headers) -> Next {
        if let Err(refusal) = self.check_size(request_meta::length(headers)) {
            return Self::refuse_unread(&refusal, &asked);
        }
        let reading =
            self.prepare(Reading { asked, api, buffered: 0, may_rewrite: false }, headers);
        let action = match self.instance.config.envoy.way.hold() {
            Hold::StopIteration => Action::Pause,
            Hold::BufferFilter => Action::Continue,
        };
        Next { phase: Phase::Reading(reading), action }
    }

    /// Sends on what needs no reading; a request for the list of models is answered here, if it is
    /// known.
    fn go_by_load(self: &Rc<Self>, mut asked: Box<Asked>, headers: &Headers) -> Next {
        let any_model = |pool: &Pool| pool.config.matches.models.is_empty();
        let pool = choose(&mut asked.candidates, any_model)
            .or_else(|| choose(&mut asked.candidates, |_| true));
        let Some(pool) = pool else { return Next::passed() };
        let header = |name| headers.last(name).unwrap_or_default();
        if header(":method") == b"GET"
            && wire::models::is_asked_for(header(":path"))
            && let Some(list) = model_list(&pool)
        {
            host::reply(200, vec![("content-type", "application/json")], list.as_bytes());
            return Next { phase: Phase::Answered, action: Action::Pause };
        }
        let (request, models) = (InferenceRequest::default(), Models::default());
        let output = OutputWishes::default();
        self.place(pool, asked, Wish { request, models, bytes: 0, output })
    }

    /// Does to the headers what can't be done any more once the body is there.
    fn prepare(&self, mut reading: Reading, headers: &Headers) -> Reading {
        let asked = &mut reading.asked;
        let is_named = asked.identity.model_rewrite.is_some();
        reading.may_rewrite = is_named || asked.candidates.iter().any(|pool| rewrites(pool));
        if self.instance.config.envoy.way.hold() == Hold::StopIteration {
            return reading;
        }
        // The buffer filter counts anew what goes on.
        if reading.may_rewrite && headers.has(request_meta::LENGTH) {
            host::remove_request_header(request_meta::LENGTH);
        }
        let propagating = asked.candidates.iter().find(|pool| pool.config.propagate_priority);
        if let Some(pool) = propagating.map(Rc::clone) {
            let priority = self.priority(&pool, &asked.identity);
            asked.priority = Some(priority);
            self.propagate(priority);
        }
        reading
    }

    /// Takes in more of the body.
    pub(super) fn read_on(
        self: &Rc<Self>,
        mut reading: Reading,
        size: usize,
        end_of_stream: bool,
    ) -> Next {
        // While we pause, Envoy counts all that it has buffered.
        reading.buffered = size;
        let fits = self.check_size(u64::try_from(size).unwrap_or(u64::MAX));
        if fits.is_ok() && !end_of_stream {
            run::note_upload(self.id, size, Rc::<Self>::clone(self));
        } else {
            run::forget_upload(self.id);
        }
        match fits {
            Err(refusal) => Self::refuse_unread(&refusal, &reading.asked),
            Ok(()) if end_of_stream => self.decide(reading),
            Ok(()) => Next { phase: Phase::Reading(reading), action: Action::Pause },
        }
    }

    /// Places a request by its prompt: the body is whole.
    pub(super) fn decide(self: &Rc<Self>, reading: Reading) -> Next {
        let Reading { mut asked, api, buffered: size, may_rewrite } = reading;
        let mut body = host::request_body(size);
        let inference = match wire::body::scan(&body, api, asked.identity.video) {
            Ok(inference) => inference,
            Err(error) => return Self::refuse_unread(&Refusal::Body(error), &asked),
        };
        let model = inference.model.as_deref();
        let fits = |pool: &Pool| pool.config.matches.fits_model(model);
        let Some(pool) = choose(&mut asked.candidates, fits) else { return Next::passed() };
        let rewritten = if may_rewrite { rewritten(&pool, &asked, &inference) } else { None };
        let sent = rewritten.as_ref().map(|it| &*it.model).or(model).unwrap_or_default();
        if sent.is_empty() && api.needs_model() {
            let refusal = Refusal::Body(BodyError::NoModel);
            let placed = self.placed(pool, asked, Models::default(), 0);
            return Self::refuse(&refusal, Box::new(placed));
        }
        let tenant = asked.identity.salt(&self.instance.config.identity);
        let output = inference.output;
        let scope = PromptScope { model: sent, tenant, key: vm::prompt_key() };
        let request = inference.ask(api, scope, pool.config.prompt_blocks_max);
        let models = Models {
            asked: model.unwrap_or_default().to_owned(),
            sent: sent.to_owned(),
            rewrite: rewritten.and_then(|it| it.rule),
        };
        if models.asked != models.sent {
            let place = inference.place.clone();
            place.put(&mut body, &models.sent);
            self.replace_body(size, &body);
        }
        let bytes = u64::try_from(size).unwrap_or(u64::MAX);
        self.place(pool, asked, Wish { request, models, bytes, output })
    }

    fn replace_body(&self, size: usize, body: &[u8]) {
        host::set_request_body(size, body);
        if self.instance.config.envoy.way.hold() == Hold::StopIteration {
            host::set_request_header(request_meta::LENGTH, &body.len().to_string());
        }
    }

    fn check_size(&self, bytes: u64) -> Result<(), Refusal> {
        let limit = self.instance.config.envoy.max_body_bytes;
        if bytes > limit { Err(Refusal::TooLarge { limit }) } else { Ok(()) }
    }
}

/// A model in the place of the one that was asked for.
struct Renamed {
    model: String,
    /// The rule that says so; absent where the request's own header does.
    rule: Option<String>,
}

/// True if the body of a request of this API is read.
fn reads(candidates: &[Rc<Pool>], api: Api) -> bool {
    match candidates {
        // Whatever its body says, it is for that one.
        [first, ..] if first.config.matches.models.is_empty() => first.config.reads(api),
        candidates => candidates.iter().any(|pool| pool.config.reads(api)),
    }
}

/// Takes the first candidate of which this is true.
fn choose(candidates: &mut Vec<Rc<Pool>>, fits: impl Fn(&Pool) -> bool) -> Option<Rc<Pool>> {
    let found = candidates.iter().position(|pool| fits(pool))?;
    Some(candidates.swap_remove(found))
}

/// True if any model is sent as another, by the snapshot that was read last: with every request that is
/// placed, and every second.
fn rewrites(pool: &Pool) -> bool {
    if !vm::in_pool(pool.id, |pool| pool.worker.knows_snapshot()) {
        run::look(pool);
    }
    vm::in_pool(pool.id, |pool| pool.worker.models().rewrites())
}

/// The model that takes the place of the one that is named, by the request's own header or by the
/// pool's rewrites.
fn rewritten(pool: &Pool, asked: &Asked, inference: &Inference<'_>) -> Option<Renamed> {
    if let Some(named) = &asked.identity.model_rewrite {
        return Some(Renamed { model: named.clone(), rule: None });
    }
    let model = inference.model.as_deref();
    let random = host::random();
    vm::in_pool(pool.id, |pool| {
        let chosen = pool.worker.models().choose(model, random)?;
        Some(Renamed { model: chosen.model.to_owned(), rule: Some(chosen.rewrite.to_owned()) })
    })
}

/// The answer to a request for the list of models; `None` where no scraper says what is served.
fn model_list(pool: &Pool) -> Option<String> {
    run::look(pool);
    let created = host::wall_clock().as_secs();
    vm::in_pool(pool.id, |pool| {
        pool.worker.models().list().map(|models| wire::models::list(&models, created))
    })
}
