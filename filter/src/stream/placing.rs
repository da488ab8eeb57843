//! A request's place: asked of its pool, and what comes of it.

use std::{rc::Rc, time::Duration};

use picker_core::{
    ClientId, InferenceRequest, SchedulingResult,
    flow::{FairnessId, FlowKey, Outcome, Priority},
    worker::{Decision, Input, PendingRequest},
    workers::AdmissionResult,
};
use proxy_wasm::types::Action;
use wire::{body::OutputWishes, config::Hold, tally::EnqueueOutcome};

use super::{
    Stream,
    phase::{Asked, Held, Next, Phase, Placed, Sent},
    response::Response,
};
use crate::{
    attributes::{self, Decided},
    bodies, destination, homes, host,
    identity::Identity,
    models::Models,
    pool::Pool,
    refusal::Refusal,
    run::{self, Caller},
    session,
    stats::{self, InFlight},
    vm::{self, HeldStream},
};

/// Tells vLLM how much a request matters: there, lower numbers come first.
const VLLM_PRIORITY: &str = "x-vllm-priority";

/// A request as its body says it.
pub(super) struct Wish {
    pub(super) request: InferenceRequest,
    pub(super) models: Models,
    /// Bytes of the body.
    pub(super) bytes: u64,
    pub(super) output: OutputWishes,
    /// The client's own name for it, by which it may be aborted.
    pub(super) own_name: Option<Vec<u8>>,
}

impl Stream {
    /// Asks a pool for a place.
    pub(super) fn place(
        self: &Rc<Self>,
        pool: Rc<Pool>,
        mut asked: Box<Asked>,
        wish: Wish,
    ) -> Next {
        let Wish { request, models, bytes, output, own_name } = wish;
        self.choose_route(&pool, &models.sent);
        let priority = self.priority_once(&pool, &mut asked);
        if self.steers()
            && pool.config.propagate_priority
            && self.instance.config.envoy.way.hold() == Hold::StopIteration
        {
            self.propagate(priority);
        }
        let routing = std::mem::take(&mut asked.routing);
        let mut request = routing.complete(request, asked.identity.slo_ttft);
        session::open(&pool, &mut request, &self.instance.counters);
        request.subset.clone_from(&asked.identity.subset);
        request.priority = priority;
        request.output_max = output.tokens_max;
        let tenant = asked.identity.fairness_id.as_deref();
        request.tenant = tenant.map(ClientId::new).unwrap_or_default();
        if self.is_explained() {
            return self.explain(&pool, request, &asked);
        }
        let placed = Placed { output, own_name, ..self.placed(pool, asked, models, bytes) };
        if placed.pool.config.is_unpicked() {
            return sent(placed, None, Duration::ZERO);
        }
        let times = Self::time_plugins(&placed.pool, &mut request, placed.asked.received_at);
        let input = Input::Arrived(Box::new(PendingRequest {
            id: self.id,
            request,
            flow: placed.flow.clone(),
            bytes,
            ttl: placed.asked.identity.ttl,
            slo_ttft: placed.asked.identity.slo_ttft,
        }));
        let began = host::now();
        let Some(decision) = run::run(&placed.pool, Caller::Stream, input) else {
            debug_assert!(false, "every request that arrives is decided");
            return Next::passed();
        };
        let outcome = match &decision.result {
            AdmissionResult::Sent(_) | AdmissionResult::FailedOpen => EnqueueOutcome::Dispatched,
            AdmissionResult::Held => EnqueueOutcome::Queued,
            AdmissionResult::Refused(_) | AdmissionResult::Rejected(_) | AdmissionResult::Shed => {
                EnqueueOutcome::Rejected
            }
        };
        let took = host::now().saturating_since(began);
        stats::count_choice(&placed.pool, (&placed.models, &placed.flow), outcome, took);
        stats::count_plugins(&placed.pool, &times);
        let pool = Rc::clone(&placed.pool);
        let next = self.settle(placed, decision);
        self.offer_up(&pool, priority, &next);
        if let Phase::Held(_) = next.phase {
            let held: Rc<dyn HeldStream> = Rc::<Self>::clone(self);
            vm::in_pool(pool.id, |pool| pool.held.insert(self.id, held));
            bodies::hold(self.instance.context_id, self.id, priority, bytes);
        }
        next
    }

    /// The request with its pool.
    pub(super) fn placed(
        &self,
        pool: Rc<Pool>,
        asked: Box<Asked>,
        models: Models,
        bytes: u64,
    ) -> Placed {
        let id = asked.identity.fairness_id.as_deref().map(FairnessId::new).unwrap_or_default();
        let flow = FlowKey { id, priority: asked.priority.unwrap_or_default() };
        let output = OutputWishes::default();
        Placed { pool, asked, flow, models, bytes, output, own_name: None }
    }

    /// Does what was decided about a request.
    pub(super) fn settle(&self, placed: Placed, decision: Decision) -> Next {
        let Decision { result, waited, is_overruled, .. } = decision;
        match result {
            AdmissionResult::Sent(result) => {
                if self.steers() {
                    destination::write(self.instance.config.envoy.way.destination(), &result);
                    placed.keep_own_name(&result);
                } else if is_overruled {
                    stats::count_overruled(&placed.pool);
                }
                stats::count_placed(&placed.pool, true);
                count(&placed, Outcome::Dispatched, waited);
                self.tell_attributes(&placed, Some(&result), waited);
                sent(placed, Some(result), waited)
            }
            AdmissionResult::FailedOpen => {
                stats::count_placed(&placed.pool, false);
                self.tell_attributes(&placed, None, waited);
                sent(placed, None, waited)
            }
            AdmissionResult::Held => {
                let counted =
                    stats::begin_wait(&placed.pool, &placed.models, &placed.flow, placed.bytes);
                let held = Held::at_rest(placed, host::now(), counted);
                Next { phase: Phase::Held(held), action: Action::Pause }
            }
            AdmissionResult::Refused(why) => self.refuse(Refusal::Unplaced(why), placed),
            AdmissionResult::Rejected(rejection) => {
                count(&placed, rejection.outcome, waited);
                self.refuse(Refusal::Flow(rejection), placed)
            }
            AdmissionResult::Shed => self.refuse(Refusal::Shed, placed),
        }
    }

    /// Has access logs and spans know the decision, if they are to.
    fn tell_attributes(
        &self,
        placed: &Placed,
        result: Option<&SchedulingResult>,
        waited: Duration,
    ) {
        if self.instance.config.envoy.attributes {
            attributes::tell(&Decided {
                pool: &placed.pool.config.name,
                result,
                objective: placed.asked.identity.objective.as_deref(),
                priority: placed.flow.priority,
                waited,
            });
        }
    }

    /// The request's priority, looked up if it was not before.
    fn priority_once(&self, pool: &Pool, asked: &mut Asked) -> Priority {
        let known = asked.priority;
        let priority = known.unwrap_or_else(|| self.priority(pool, &asked.identity));
        asked.priority = Some(priority);
        priority
    }

    /// The priority of the request's objective. The store is looked at only where the configuration
    /// does not know the objective.
    pub(super) fn priority(&self, pool: &Pool, identity: &Identity) -> Priority {
        let Some(name) = identity.objective.as_deref() else { return Priority::default() };
        let configured = vm::in_pool(pool.id, |pool| pool.worker.configured_priority(name));
        configured.unwrap_or_else(|| {
            run::look(pool);
            vm::in_pool(pool.id, |pool| pool.worker.priority(name))
        })
    }

    /// Tells the model server of a priority.
    pub(super) fn propagate(&self, priority: Priority) {
        let vllm = -i64::from(priority.0);
        host::set_request_header(VLLM_PRIORITY, &vllm.to_string());
    }
}

impl Placed {
    /// Notes where the request goes by the client's own name for it, if it has one.
    fn keep_own_name(&self, result: &SchedulingResult) {
        if let Some((name, endpoint)) = self.own_name.as_deref().zip(result.ranked.first()) {
            homes::keep_chosen(&self.pool, self.asked.identity.owner(), name, *endpoint);
        }
    }
}

/// Counts how a request's wait ended, where flow control is on.
pub(super) fn count(placed: &Placed, outcome: Outcome, waited: Duration) {
    if placed.pool.config.flow.is_some() {
        let Placed { pool, models, flow, .. } = placed;
        stats::count_outcome(pool, models, flow, outcome, waited);
    }
}

pub(super) fn sent(placed: Placed, result: Option<SchedulingResult>, waited: Duration) -> Next {
    let counted = stats::begin(&placed.pool, &placed.models, &placed.flow);
    let in_flight = result.as_ref().and_then(|it| InFlight::begin(&placed.pool, it, &placed.flow));
    let sent = Sent {
        placed,
        result,
        waited,
        response: Response::default(),
        counted,
        in_flight,
        served_by: None,
        is_over: false,
    };
    Next { phase: Phase::Sent(Box::new(sent)), action: Action::Continue }
}
