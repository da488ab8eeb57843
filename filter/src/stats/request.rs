//! Counts of requests, by the labels that the EPP tells them apart by.

use std::{net::SocketAddr, time::Duration};

use picker_core::{
    BLOCK_BYTES, Handler, Instant, PluginTime, SchedulingResult, StagesApart,
    flow::{FlowKey, Outcome},
};
use wire::{
    response::Usage,
    tally::{
        Count, EnqueueOutcome, ErrorCode, FallbackReason, Labels, Measure, OTHER, OwnError,
        RefusedStatus, SetId, WorkerTally,
    },
};

use crate::{
    models::Models,
    pace::mean_gap,
    pool::Pool,
    vm::{self, tally::PoolTally},
};

/// A request that is over.
pub(crate) struct Done<'a> {
    pub(crate) models: &'a Models,
    pub(crate) flow: &'a FlowKey,
    /// The EPP's code of its failure, if it failed.
    pub(crate) error: Option<ErrorCode>,
    /// The set that it was counted in as running, if it went on.
    pub(crate) begun: Option<SetId>,
    /// `None` if it was never sent to an endpoint.
    pub(crate) sent: Option<SentRequest<'a>>,
}

/// The measures of a request that was sent.
pub(crate) struct SentRequest<'a> {
    pub(crate) decision: &'a SchedulingResult,
    pub(crate) received_at: Instant,
    pub(crate) ended_at: Instant,
    /// Time at which the response's body began, and the time that it took from there.
    pub(crate) body: Option<(Instant, Duration)>,
    pub(crate) is_streamed: bool,
    pub(crate) request_bytes: u64,
    pub(crate) response_bytes: u64,
    pub(crate) usage: Option<Usage>,
    /// Times between the events of a streamed response.
    pub(crate) gaps: &'a Count,
    /// The endpoint that its answer came from.
    pub(crate) served_by: Option<SocketAddr>,
    /// Outcome where the picker only looks on.
    pub(crate) observed: Option<Observed>,
}

/// Outcome of a request that others sent to an endpoint.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Observed {
    /// True if that was the endpoint that the picker would have chosen; `None` where Envoy did not say.
    pub(crate) agrees: Option<bool>,
}

/// The set that a request is counted in.
struct Counted<'a> {
    tally: &'a mut WorkerTally,
    set: SetId,
}

impl Counted<'_> {
    fn add(&mut self, measure: Measure, value: u64) {
        self.tally.add(self.set, measure, value);
    }
}

fn labels<'a>(models: &'a Models, flow: &'a FlowKey) -> Labels<'a> {
    Labels::request(&models.asked, &models.sent, flow.id.as_str(), flow.priority.0)
}

pub(super) fn in_tally<T>(pool: &Pool, part: impl FnOnce(&mut PoolTally) -> T) -> T {
    vm::in_pool(pool.id, |state| part(&mut state.tally))
}

/// Counts a request that goes on as running. Returns the set that it is counted in.
pub(crate) fn begin(pool: &Pool, models: &Models, flow: &FlowKey) -> SetId {
    in_tally(pool, |tally| {
        let set = tally.counts.place(&labels(models, flow), false);
        tally.counts.begin(set);
        set
    })
}

/// Counts a request that flow control holds. Returns the set that it is counted in.
pub(crate) fn begin_wait(pool: &Pool, models: &Models, flow: &FlowKey, bytes: u64) -> SetId {
    in_tally(pool, |PoolTally { counts, .. }| {
        let request = counts.place(&labels(models, flow), false);
        let is_proven = counts.is_proven(request);
        let tenant = flow.id.as_str();
        let waiting = Labels::waiting(&models.asked, &models.sent, tenant, flow.priority.0);
        let set = counts.place(&waiting, is_proven);
        counts.begin(set);
        counts.pin(set, bytes);
        set
    })
}

/// Counts a request of so many bytes as no longer held.
pub(crate) fn end_wait(pool: &Pool, set: SetId, bytes: u64) {
    in_tally(pool, |tally| {
        tally.counts.leave(set);
        tally.counts.unpin(set, bytes);
    });
}

/// Records the time that the picker worked on a request, and on its answer.
pub(crate) fn count_work(pool: &Pool, request: Duration, response: Duration) {
    in_tally(pool, |PoolTally { counts, whole, .. }| {
        counts.add(*whole, Measure::RequestProcessing, micros(request));
        counts.add(*whole, Measure::ResponseProcessing, micros(response));
    });
}

/// Records the time that each plugin took in one choice.
pub(crate) fn count_plugins(pool: &Pool, times: &[PluginTime]) {
    in_tally(pool, |PoolTally { counts, .. }| {
        for PluginTime { point, plugin, took } in times {
            let set = counts.place(&Labels::plugin(point.name(), plugin), true);
            let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
            counts.add(set, Measure::PluginDuration, nanos);
        }
    });
}

/// Records the time that a look at the queues took.
pub(crate) fn count_dispatch_cycle(pool: &Pool, took: Duration) {
    in_tally(pool, |tally| tally.counts.add(tally.whole, Measure::DispatchCycle, micros(took)));
}

/// Counts a fault of the picker's own.
pub(crate) fn count_own_error(pool: &Pool, error: OwnError) {
    in_tally(pool, |tally| tally.counts.add(tally.whole, Measure::OwnErrors(error), 1));
}

/// Records the time that the choice for a request took: for the pool, and where flow control is on for the
/// request's flow.
pub(crate) fn count_choice(
    pool: &Pool,
    request: (&Models, &FlowKey),
    outcome: EnqueueOutcome,
    took: Duration,
) {
    in_tally(pool, |PoolTally { counts, whole, .. }| {
        counts.add(*whole, Measure::SchedulerDuration, micros(took));
        if pool.config.flow.is_some() {
            let (models, flow) = request;
            let set = counts.place(&labels(models, flow), false);
            counts.add(set, Measure::EnqueueDuration(outcome), micros(took));
        }
    });
}

/// Counts a request that was given an endpoint, or was let through without one.
pub(crate) fn count_placed(pool: &Pool, is_picked: bool) {
    vm::with(|vm| {
        let pending = &mut vm.pending;
        let count = if is_picked { &mut pending.picked } else { &mut pending.failed_open };
        *count += 1;
    });
    let measure = if is_picked { Measure::Picked } else { Measure::FailedOpen };
    in_tally(pool, |tally| tally.counts.add(tally.whole, measure, 1));
}

/// Counts a request that flow control would have held or turned away, where the picker only looks on.
pub(crate) fn count_overruled(pool: &Pool) {
    in_tally(pool, |tally| tally.counts.add(tally.whole, Measure::Overruled, 1));
}

/// Counts an answer that did not say what it cost, so that it was estimated.
pub(crate) fn count_unmetered(pool: &Pool) {
    in_tally(pool, |tally| tally.counts.add(tally.whole, Measure::Unmetered, 1));
}

/// Counts a request that was ended while it ran.
pub(crate) fn count_evicted(pool: &Pool, models: &Models, flow: &FlowKey) {
    in_tally(pool, |PoolTally { counts, .. }| {
        let set = counts.place(&labels(models, flow), false);
        counts.add(set, Measure::Evicted, 1);
    });
}

/// Counts a request that another pool took.
pub(crate) fn count_fallback(pool: &Pool, reason: FallbackReason) {
    in_tally(pool, |tally| tally.counts.add(tally.whole, Measure::Fallbacks(reason), 1));
}

/// Counts a request that was answered with this status in the pool's place.
pub(crate) fn count_refused(pool: &Pool, status: u16) {
    vm::with(|vm| {
        vm.pending.refused += 1;
        vm.pending.unavailable += u32::from(status == 503);
    });
    let measure = Measure::Refused(RefusedStatus::from_status(status));
    in_tally(pool, |tally| tally.counts.add(tally.whole, measure, 1));
}

/// Records the time from a grant to the request's going on. The EPP has no such metric, as it decides in
/// the process that sends.
pub(crate) fn count_grant(pool: &Pool, took: Duration) {
    in_tally(pool, |tally| tally.counts.add(tally.whole, Measure::GrantToResume, micros(took)));
}

/// Counts how a request's wait ended, and how long it was.
pub(crate) fn count_outcome(
    pool: &Pool,
    models: &Models,
    flow: &FlowKey,
    outcome: Outcome,
    waited: Duration,
) {
    in_tally(pool, |PoolTally { counts, .. }| {
        let set = counts.place(&labels(models, flow), false);
        counts.add(set, Measure::QueueDuration(outcome.into()), micros(waited));
        let band = counts.place(&Labels::Band(flow.priority.0), true);
        counts.add(band, Measure::QueueOutcomes(outcome.into()), 1);
    });
}

/// Counts an error of a request that was never read, and is none of the pool's requests (EPP).
pub(crate) fn count_unread(pool: &Pool, flow: &FlowKey, code: ErrorCode) {
    in_tally(pool, |PoolTally { counts, .. }| {
        let set = counts.place(&labels(&Models::default(), flow), false);
        counts.add(set, Measure::Errors(code), 1);
    });
}

/// Counts and measures a request that is over.
pub(crate) fn record(pool: &Pool, done: &Done<'_>) {
    in_tally(pool, |PoolTally { counts, whole, .. }| {
        let labels = labels(done.models, done.flow);
        let is_well = done.error.is_none();
        let set = match done.begun {
            Some(begun) => counts.end(begun, &labels, is_well),
            None => counts.place(&labels, is_well),
        };
        // A model that was never served well may be an invention: only its requests have its name.
        let target = if counts.is_proven(set) { &done.models.sent } else { OTHER };
        let endpoint = done.sent.as_ref().and_then(|sent| sent.decision.ranked.first().copied());
        count_attempt(counts, endpoint, target);
        let handler = &pool.worker_config.scheduler.scheduling.handler;
        if let (Handler::Disagg(_), Some(sent)) = (handler, &done.sent) {
            count_stages(counts, target, sent.decision);
        }
        if let Some(rewrite) = &done.models.rewrite {
            count_rewrite(counts, rewrite, done.models, target);
        }
        let mut counted = Counted { tally: counts, set };
        counted.add(Measure::Requests, 1);
        if let Some(code) = done.error {
            counted.add(Measure::Errors(code), 1);
        }
        if let Some(sent) = &done.sent {
            record_sent(&mut counted, sent);
            // One that was evicted is no failure of the endpoint.
            record_endpoint(counts, sent, done.error == Some(ErrorCode::ModelServerError));
            record_prefix(&mut Counted { tally: counts, set: *whole }, sent.decision);
            if let Some(observed) = sent.observed {
                record_observed(&mut Counted { tally: counts, set: *whole }, sent, observed);
            }
        }
    });
}

fn count_attempt(counts: &mut WorkerTally, endpoint: Option<SocketAddr>, target: &str) {
    let set = counts.place(&Labels::attempt(endpoint, target), true);
    counts.add(set, Measure::Attempts { sent: endpoint.is_some() }, 1);
}

fn count_stages(counts: &mut WorkerTally, target: &str, decision: &SchedulingResult) {
    let set = counts.place(&Labels::model(target), true);
    let stages = StagesApart::from_result(decision);
    counts.add(set, Measure::DisaggDecisions(stages.into()), 1);
}

fn count_rewrite(counts: &mut WorkerTally, rewrite: &str, models: &Models, target: &str) {
    let asked = if target == OTHER { OTHER } else { &models.asked };
    let set = counts.place(&Labels::rewrite(rewrite, asked, target), true);
    counts.add(set, Measure::Rewrites, 1);
}

/// Notes the decision on a request that is over, now and then.
pub(crate) fn note(pool: &Pool, ended_at: Instant, text: impl FnOnce() -> String) {
    in_tally(pool, |tally| tally.notes.note(ended_at, text));
}

/// Records what an endpoint did with a request.
fn record_endpoint(counts: &mut WorkerTally, sent: &SentRequest<'_>, is_failed: bool) {
    let ranked = sent.decision.ranked.first().copied();
    let Some(endpoint) = sent.served_by.or(ranked) else { return };
    let set = counts.place(&Labels::Endpoint(Some(endpoint)), true);
    let mut counted = Counted { tally: counts, set };
    counted.add(Measure::EndpointRequests, 1);
    if is_failed {
        counted.add(Measure::EndpointErrors, 1);
    }
    if let Some(usage) = sent.usage {
        counted.add(Measure::EndpointTokens, usage.output_tokens.into());
    }
    if let Some((first, _)) = sent.body {
        counted.add(Measure::EndpointTtft, micros(first.saturating_since(sent.received_at)));
        counted.tally.merge(set, Measure::EndpointItl, sent.gaps);
    }
}

fn record_sent(counted: &mut Counted<'_>, sent: &SentRequest<'_>) {
    let duration = sent.ended_at.saturating_since(sent.received_at);
    counted.add(Measure::Duration, micros(duration));
    counted.add(Measure::RequestBytes, sent.request_bytes);
    counted.add(Measure::ResponseBytes, sent.response_bytes);
    if let Some((first, streamed)) = sent.body {
        let ttft = micros(first.saturating_since(sent.received_at));
        counted.add(Measure::Ttft { streaming: sent.is_streamed }, ttft);
        if sent.is_streamed {
            record_stream(counted, sent, streamed);
        }
    }
    if let Some(usage) = sent.usage {
        record_usage(counted, usage, duration);
    }
}

/// Records whether a request went where the picker would have sent it, and what that was expected to take.
fn record_observed(counted: &mut Counted<'_>, sent: &SentRequest<'_>, observed: Observed) {
    counted.add(Measure::Observed(observed.agrees.into()), 1);
    let expected = sent.decision.reasons.as_ref().map(|reasons| reasons.chosen.ttft);
    // Elsewhere it would have taken another time.
    let agreed = observed.agrees == Some(true);
    if let (true, Some(expected), Some((first, _))) = (agreed, expected, sent.body) {
        let expected = Duration::try_from_secs_f64(expected).unwrap_or_default();
        counted.add(Measure::ExpectedTtft, micros(expected));
        counted.add(Measure::ObservedTtft, micros(first.saturating_since(sent.received_at)));
    }
}

/// Records the prompt's blocks, and those that the chosen endpoint is expected to have cached.
fn record_prefix(counted: &mut Counted<'_>, decision: &SchedulingResult) {
    let (blocks, matched) = (decision.blocks, decision.sight.matched);
    if blocks > 0 {
        counted.add(Measure::HitRatio, u64::from(matched) * 1_000_000 / u64::from(blocks));
        counted
            .add(Measure::HitBytes, u64::from(matched) * u64::try_from(BLOCK_BYTES).unwrap_or(0));
    }
}

/// Records the mean time between the tokens that the usage counts, and the times between events.
fn record_stream(counted: &mut Counted<'_>, sent: &SentRequest<'_>, streamed: Duration) {
    let tokens = sent.usage.map_or(0, |usage| usage.output_tokens);
    if let Some(tpot) = mean_gap(streamed, tokens) {
        counted.add(Measure::StreamedTpot, micros(tpot));
    }
    counted.tally.merge(counted.set, Measure::StreamedItl, sent.gaps);
}

fn record_usage(counted: &mut Counted<'_>, usage: Usage, duration: Duration) {
    counted.add(Measure::InputTokens, usage.prompt_tokens.into());
    counted.add(Measure::OutputTokens, usage.output_tokens.into());
    if let Some(cached) = usage.cached_tokens {
        counted.add(Measure::CachedTokens, cached.into());
    }
    if usage.output_tokens > 0 {
        counted.add(Measure::PerOutputToken, micros(duration / usage.output_tokens));
    }
}

/// Returns a time as measures of seconds count it.
pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
