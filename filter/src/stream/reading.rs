//! A request's headers and body: read, rewritten, and its pool chosen.

use std::rc::Rc;

use picker_core::{InferenceRequest, PromptOrder};
use proxy_wasm::types::Action;
use wire::{
    body::{Api, BodyError, Form, HashRules, Inference, OutputWishes, Video},
    config::Hold,
    operation::Class,
};

use super::{
    Stream,
    phase::{Asked, Next, Phase, Reading},
    placing::Wish,
};
use crate::{
    bodies, homes,
    host::{self, Headers},
    identity::Identity,
    models::Models,
    operation::{NamedPath, Operation},
    pool::Pool,
    pools::{self, Candidates, Choice},
    refusal::Refusal,
    request_meta,
    routing_headers::RoutingHeaders,
    vm,
};

/// Encodings in which a client would take its answer.
const ACCEPT_ENCODING: &str = "accept-encoding";

impl Stream {
    /// Holds a request whose body decides; sends on all others at once.
    pub(super) fn begin(self: &Rc<Self>, headers: &mut Headers, end_of_stream: bool) -> Next {
        let received_at = host::now();
        let instance = &self.instance;
        let candidates = instance.pools.fitting(headers);
        if candidates.is_empty() {
            return Next::passed();
        }
        let trust = &instance.config.identity;
        let steers = self.steers();
        self.strip(headers, trust.steering_paths.iter().map(String::as_str));
        let operation = Operation::read(headers, !end_of_stream);
        let choice = self.among(&candidates);
        if operation.is_for_any() && !Operation::lists_models(headers) {
            // The picker's own words to itself: no pod has a use for them.
            self.strip(headers, choice.token_headers());
            return self.go_anywhere(headers, candidates, received_at);
        }
        let Operation { class, form, named, id, keeps } = operation;
        let routing = RoutingHeaders::read(headers, choice.header_names());
        self.strip(headers, choice.token_headers());
        // Where tenants are charged for tokens, none may have its usage hidden in a compressed answer.
        if choice.charge() && steers && headers.has(ACCEPT_ENCODING) {
            host::remove_request_header(ACCEPT_ENCODING);
        }
        let api = if let Class::Read(api) = class { Some(api) } else { None };
        let mut asked = Box::new(Asked {
            routing,
            identity: Identity::read(headers, trust),
            dialect: api.map(Api::dialect).unwrap_or_default(),
            keeps,
            ..Asked::new(headers, candidates, received_at)
        });
        if let Some(named) = named
            && !self.name_by_path(&mut asked, &named)
        {
            return Next::passed();
        }
        match class {
            Class::Refused => self.refuse_unread(Refusal::Control, asked),
            Class::Named if self.check_size(request_meta::length(headers)).is_ok() => {
                self.hold_headers(asked, Api::Named, form, headers)
            }
            Class::Direct if Operation::lists_models(headers) => self.list_models(asked),
            Class::Direct | Class::Named => self.go_at_once(asked, id.as_deref()),
            Class::Upgraded => self.go_by_load(asked),
            Class::Read(api) if !self.reads(&asked, api, &form, headers) => self.go_by_load(asked),
            Class::Read(api) => self.hold_headers(asked, api, form, headers),
        }
    }

    /// Chooses the pool of a request by the model in its path, and puts there what the pool sends it as.
    /// Returns false where no pool has the model.
    fn name_by_path(&self, asked: &mut Asked, path: &NamedPath) -> bool {
        let model = Some(&*path.model);
        let Some(pool) = self.among(&asked.candidates).for_model(model) else { return false };
        let pool = self.available(asked, pool);
        let may_rewrite =
            self.steers() && (asked.identity.model_rewrite.is_some() || pools::rewrites(&pool));
        let renamed = if may_rewrite { rewritten(&pool, asked, model) } else { None };
        if let Some(renamed) = &renamed {
            host::set_request_header(":path", &path.with(&renamed.model));
        }
        asked.candidates = self.among(&asked.candidates).with(&pool);
        asked.named = Some(Models {
            asked: path.model.clone(),
            sent: renamed.as_ref().map_or_else(|| path.model.clone(), |it| it.model.clone()),
            rewrite: renamed.and_then(|it| it.rule),
        });
        true
    }

    /// True if the body of a request is read: that of a known API, and any other in which a model may be
    /// named. A file is held up only where its model decides something.
    fn reads(&self, asked: &Asked, api: Api, form: &Form, headers: &Headers) -> bool {
        if !self.among(&asked.candidates).read(api) {
            return false;
        }
        let is_short = || self.check_size(request_meta::length(headers)).is_ok();
        match (api, form) {
            (_, Form::Encoded) => {
                vm::with(|vm| vm.pending.unread += 1);
                false
            }
            (_, Form::Opaque) => false,
            (Api::Other, Form::Json) => is_short() || self.by_model(asked),
            (Api::Other, Form::Multipart(_)) => self.by_model(asked),
            _ => true,
        }
    }

    /// Waits for the body, if it may be as long as it will be.
    fn hold_headers(&self, asked: Box<Asked>, api: Api, form: Form, headers: &Headers) -> Next {
        if let Err(refusal) = self.check_size(request_meta::length(headers)) {
            return self.refuse_unread(refusal, asked);
        }
        let reading = Reading { asked, api, form, buffered: 0, may_rewrite: false };
        let reading = self.prepare(reading, headers);
        let action = match self.instance.config.envoy.way.hold() {
            Hold::StopIteration => Action::Pause,
            Hold::BufferFilter => Action::Continue,
        };
        Next { phase: Phase::Reading(reading), action }
    }

    /// Sends on what needs no reading, by load.
    fn go_by_load(self: &Rc<Self>, mut asked: Box<Asked>) -> Next {
        let Some(mut pool) = self.among(&asked.candidates).for_any() else { return Next::passed() };
        if asked.named.is_none() {
            pool = self.available(&mut asked, pool);
        }
        let models = asked.named.take().unwrap_or_default();
        let request =
            InferenceRequest { model: models.sent.clone(), ..InferenceRequest::default() };
        let output = OutputWishes::default();
        self.place(pool, asked, Wish { request, models, bytes: 0, output, own_name: None })
    }

    /// Does to the headers what can't be done any more once the body is there.
    fn prepare(&self, mut reading: Reading, headers: &Headers) -> Reading {
        let asked = &mut reading.asked;
        if !self.steers() {
            return reading;
        }
        if self.instance.config.envoy.way.hold() == Hold::StopIteration {
            reading.may_rewrite = true;
            return reading;
        }
        let choice = self.among(&asked.candidates);
        reading.may_rewrite = asked.identity.model_rewrite.is_some() || choice.may_rewrite();
        // The buffer filter counts anew what goes on.
        if reading.may_rewrite && headers.has(request_meta::LENGTH) {
            host::remove_request_header(request_meta::LENGTH);
        }
        if let Some(pool) = choice.propagating() {
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
        // What only looks on ends no request for what others pin: this one goes on unseen instead.
        let goes_unseen = !self.steers() && !end_of_stream && bodies::would_crowd(self.id, size);
        if fits.is_ok() && !end_of_stream && !goes_unseen {
            bodies::note_upload(self.instance.context_id, self.id, size, Rc::<Self>::clone(self));
        } else {
            bodies::forget_upload(self.id);
        }
        match fits {
            _ if goes_unseen => {
                vm::with(|vm| vm.pending.unread += 1);
                Next::passed()
            }
            Err(refusal) => self.refuse_unread(refusal, reading.asked),
            Ok(()) if end_of_stream => self.decide(reading),
            Ok(()) => Next { phase: Phase::Reading(reading), action: Action::Pause },
        }
    }

    /// Places a request by its prompt: the body is whole.
    pub(super) fn decide(self: &Rc<Self>, reading: Reading) -> Next {
        let Reading { mut asked, api, form, buffered: size, may_rewrite } = reading;
        let mut body = host::request_body(size);
        let inference = match inference(&body, api, &form, asked.identity.video) {
            Ok(inference) if api == Api::Named => {
                return self.go_at_once(asked, inference.goes_on_from);
            }
            Ok(inference) => inference,
            Err(error) => return self.refuse_unread(Refusal::Body(error), asked),
        };
        let model = inference.model.as_deref();
        let Some(mut pool) = self.among(&asked.candidates).for_model(model) else {
            return Next::passed();
        };
        let home = homes::home(&pool, asked.identity.owner(), inference.goes_on_from);
        // What a pod of this pool keeps is in no other.
        if home.is_none() && asked.named.is_none() {
            pool = self.available(&mut asked, pool);
        }
        let models = asked.named.take().unwrap_or_else(|| {
            // A body of no known API gets no member that it may not have.
            let is_known = model.is_some() || api != Api::Other;
            let may_rewrite = may_rewrite && is_known;
            let renamed = if may_rewrite { rewritten(&pool, &asked, model) } else { None };
            let asked = model.unwrap_or_default();
            Models {
                asked: asked.to_owned(),
                sent: renamed.as_ref().map_or(asked, |it| &it.model).to_owned(),
                rewrite: renamed.and_then(|it| it.rule),
            }
        });
        let tenant = asked.identity.salt(&self.instance.config.identity);
        let output = inference.output;
        let order = prompt_order(&pool, &inference, &models.sent);
        let blocks_max = pool.config.prompt_blocks_max;
        let key = vm::prompt_key();
        let rules = HashRules { model: &models.sent, tenant, key, blocks_max, order };
        let mut request = inference.ask(api, rules);
        request.home = home;
        let own_name = inference.own_name.map(<[u8]>::to_vec);
        let is_named_here = model.unwrap_or_default() == models.asked;
        if models.asked != models.sent && is_named_here {
            let place = inference.place.clone();
            place.put(&mut body, &models.sent);
            self.replace_body(size, &body);
        }
        let bytes = u64::try_from(size).unwrap_or(u64::MAX);
        self.place(pool, asked, Wish { request, models, bytes, output, own_name })
    }

    fn replace_body(&self, size: usize, body: &[u8]) {
        host::set_request_body(size, body);
        if self.instance.config.envoy.way.hold() == Hold::StopIteration {
            host::set_request_header(request_meta::LENGTH, &body.len().to_string());
        }
    }

    /// True if the model of a request decides where it goes, or as what.
    fn by_model(&self, asked: &Asked) -> bool {
        let choice = self.among(&asked.candidates);
        asked.named.is_none()
            && (asked.identity.model_rewrite.is_some()
                || choice.are_by_model()
                || choice.may_rewrite())
    }

    /// Looks at the pools that this request may be for.
    pub(super) fn among<'a>(&'a self, candidates: &'a Candidates) -> Choice<'a> {
        self.instance.pools.among(candidates, self.id.0)
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

/// Reads what the picker needs of a body. One of no known API that cannot be read names no model.
fn inference<'a>(
    body: &'a [u8],
    api: Api,
    form: &Form,
    video: Video,
) -> Result<Inference<'a>, BodyError> {
    match form {
        Form::Multipart(boundary) => Ok(wire::body::scan_form(body, boundary)),
        _ if wire::body::is_wide(body) => {
            vm::with(|vm| vm.pending.unread += 1);
            Ok(Inference::unread())
        }
        Form::Json | Form::Encoded | Form::Opaque => match wire::body::scan(body, api, video) {
            Err(_) if matches!(api, Api::Other | Api::Named) => Ok(Inference::unread()),
            result => result,
        },
    }
}

/// The model that takes the place of the one that is named, by the request's own header or by the
/// pool's rewrites.
fn rewritten(pool: &Pool, asked: &Asked, model: Option<&str>) -> Option<Renamed> {
    if let Some(named) = &asked.identity.model_rewrite {
        return Some(Renamed { model: named.clone(), rule: None });
    }
    if !pools::rewrites(pool) {
        return None;
    }
    let random = host::random();
    vm::in_pool(pool.id, |pool| {
        let chosen = pool.worker.models().choose(model, random)?;
        Some(Renamed { model: chosen.model.to_owned(), rule: Some(chosen.rewrite.to_owned()) })
    })
}

/// Returns the order in which a request's prompt is hashed: as configured, or as the model's answers
/// taught.
fn prompt_order(pool: &Pool, inference: &Inference<'_>, model: &str) -> PromptOrder {
    if !inference.has_order() {
        return PromptOrder::default();
    }
    let learnt = vm::in_pool(pool.id, |pool| pool.worker.prompt_order(model));
    PromptOrder { tools_at: pool.config.tools_at.unwrap_or(learnt.tools_at), ..learnt }
}
