//! A request's end: what its pool is told of it, and its metrics.

use wire::tally::ErrorCode;

use super::{
    Stream,
    phase::{Held, Phase, Placed, RefusedRequest, Sent},
    placing::count,
    response::ResponseEnd,
    worked::Worked,
};
use crate::{
    attributes, bodies,
    decision_header::{self, ServedOutcome},
    host, run,
    stats::{self, Done, Observed},
    vm,
};
use picker_core::{
    End, RequestId, SchedulingResult, TokenUsage,
    flow::Outcome,
    worker::{Input, Observation},
};
use wire::response::OutputTokens;

impl Stream {
    /// Tells the pool of a response that has passed whole. What was kept to be told with the end is told
    /// now, before the client sees that end and asks again: by then its stream may not be gone.
    pub(super) fn finish(&self, sent: &mut Sent) {
        if sent.response.start.is_some() {
            self.tell_end(sent);
        }
    }

    fn tell_end(&self, sent: &mut Sent) {
        let ResponseEnd { start, end } =
            sent.response.take_end(|| sent.placed.asked.identity.client());
        sent.is_over = true;
        if let Some(in_flight) = sent.in_flight.take() {
            in_flight.end(&sent.placed.pool);
        }
        if self.instance.config.envoy.attributes {
            let ttft = sent.response.body(host::now()).map(|(first, _)| first);
            let ttft = ttft.map(|at| at.saturating_since(sent.placed.asked.received_at));
            attributes::tell_end(sent.served_by, sent.response.reader.usage(), ttft);
        }
        // Before the end, with which the pool forgets the request.
        self.charge(sent);
        Self::tell_usage(self.id, sent);
        run::tell(&sent.placed.pool, Input::Ended { request: self.id, start, end });
    }

    /// Tells the pool of the tokens of a response, as far as it tells or they can be estimated.
    fn tell_usage(request: RequestId, sent: &Sent) {
        let Sent { placed, response, .. } = sent;
        let output = response.reader.output_tokens(placed.output).tokens;
        let told = response.whole_usage().unwrap_or_default();
        let (prompt, cached) = (told.prompt_tokens, told.cached_tokens);
        if !(200..300).contains(&response.status) || (output == 0 && prompt == 0) {
            return;
        }
        let usage = TokenUsage { prompt, cached, output };
        // Near enough, and a look at the clock less.
        let at = placed.asked.received_at;
        run::observe(&placed.pool, Observation::Metered { request, at, usage });
    }

    /// Says what became of a request, once its stream is gone.
    pub(super) fn log(&self) {
        let phase = self.leave();
        if let Some(placed) = phase.placed() {
            self.take_back(placed);
        }
        match phase {
            Phase::Sent(sent) => self.log_sent(*sent, None),
            Phase::Evicted(sent) => self.log_sent(*sent, Some(ErrorCode::ResourceExhausted)),
            Phase::Held(held) => {
                self.stop_waiting(&held, Outcome::EvictedContextCancelled);
                record_unsent(&held.placed, ErrorCode::ClientDisconnect);
            }
            Phase::Refusing(refusing) => {
                bodies::forget_upload(self.id);
                record_refused(&refusing.refused);
            }
            Phase::Refused(refused) => record_refused(&refused),
            Phase::Reading(_) => bodies::forget_upload(self.id),
            // Without a pool there is nothing to tell.
            Phase::New | Phase::Passed | Phase::Naming(_) | Phase::Answered => {}
        }
    }

    /// Takes a request that waits out of its pool's queue, for this reason.
    pub(super) fn stop_waiting(&self, held: &Held, outcome: Outcome) {
        let Held { placed, since, counted, .. } = held;
        bodies::let_go(self.id);
        stats::end_wait(&placed.pool, *counted, placed.bytes);
        vm::in_pool(placed.pool.id, |pool| drop(pool.held.remove(&self.id)));
        let (request, start, end) = (self.id, None, End::Gone);
        run::tell(&placed.pool, Input::Ended { request, start, end });
        count(placed, outcome, host::now().saturating_since(*since));
    }

    /// Charges the tenant for the output. An answer that says no usage is charged by what came of it.
    fn charge(&self, sent: &Sent) {
        let Sent { placed, response, .. } = sent;
        let OutputTokens { tokens, is_estimate } = response.reader.output_tokens(placed.output);
        let tokens = if (200..300).contains(&response.status) { tokens } else { 0 };
        if is_estimate && tokens > 0 {
            stats::count_unmetered(&placed.pool);
        }
        // Also none: the tenant may owe for the answer that was expected.
        if placed.pool.charges() {
            let (request, flow) = (self.id, placed.flow.clone());
            run::tell(&placed.pool, Input::Charged { request, flow, tokens });
        }
    }

    /// Says what became of a request that was sent; `refused` for one that was ended from here.
    fn log_sent(&self, mut sent: Sent, refused: Option<ErrorCode>) {
        let pool = std::rc::Rc::clone(&sent.placed.pool);
        if let Some(tpot) = sent.response.tpot() {
            run::observe(&pool, Observation::Streamed { request: self.id, tpot });
        }
        if !sent.is_over {
            self.tell_end(&mut sent);
        }
        let ended_at = host::now();
        let Sent { placed, result, response, counted, .. } = &sent;
        let measured = result.as_ref().map(|decision| stats::SentRequest {
            decision,
            received_at: placed.asked.received_at,
            ended_at,
            body: response.body(ended_at),
            is_streamed: response.is_streamed(),
            request_bytes: placed.bytes,
            response_bytes: response.reader.bytes(),
            usage: response.reader.usage(),
            gaps: response.gaps(),
            served_by: sent.served_by,
            observed: (!self.steers()).then(|| Observed {
                agrees: sent.served_by.map(|it| decision.ranked.first() == Some(&it)),
            }),
        });
        if let Some(Worked { request, response }) = self.worked.get() {
            stats::count_work(&pool, request, response);
        }
        let (models, flow, error) =
            (&placed.models, &placed.flow, refused.or_else(|| response.error()));
        let begun = Some(*counted);
        stats::record(&pool, &Done { models, flow, error, begun, sent: measured });
        if let Some(decision) = result {
            let id = placed.asked.reply_to.request_id();
            log::debug!("request {id}: {}", told(&sent, decision));
            stats::note(&pool, ended_at, || told(&sent, decision));
        }
        run::count(&self.instance.counters, ended_at);
    }
}

/// Counts a request that was refused, where its pool is known.
fn record_refused(RefusedRequest { code, placed }: &RefusedRequest) {
    if let Some(placed) = placed {
        record_unsent(placed, *code);
    }
}

/// Renders a decision with what came of it.
fn told(sent: &Sent, decision: &SchedulingResult) -> String {
    let Sent { placed, response, .. } = sent;
    let identity = &placed.asked.identity;
    let mut text = decision_header::render(decision, identity, placed.flow.priority);
    placed.asked.fell_back.iter().for_each(|way| way.push_to(&mut text));
    let first = response.body(placed.asked.received_at).map(|(first, _)| first);
    let outcome = ServedOutcome {
        model: &placed.models.sent,
        waited: sent.waited,
        ttft: first.map(|at| at.saturating_since(placed.asked.received_at)),
        status: response.status,
        served_by: sent.served_by.filter(|it| decision.ranked.first() != Some(it)),
    };
    decision_header::push_outcome(&mut text, &outcome);
    text
}

/// Counts a request that was never sent.
fn record_unsent(placed: &Placed, code: ErrorCode) {
    let Placed { pool, models, flow, .. } = placed;
    stats::record(pool, &Done { models, flow, error: Some(code), begun: None, sent: None });
}
