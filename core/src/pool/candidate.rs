//! An endpoint that a request may go to, at the moment of choice.

use std::time::Duration;

use super::{EndpointState, EngineLoad, Slot};
use crate::{
    ledger::Sends,
    model::{EndpointObservation, InferenceRequest, Instant},
    saturation::Load,
};

/// An endpoint as filters and scorers see it. A plugin that needs more than this of an endpoint
/// finds it in its [`EndpointState`]; what it needs of the request is in the `PickContext` of the
/// schedule.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate<'a> {
    pub(crate) member: &'a EndpointState,
    /// The member's slot and whether it is up, as each choice asks for them of every candidate: in
    /// a large pool the members themselves are out of the processor's nearest cache.
    pub(crate) slot: Slot,
    pub(crate) is_up: bool,
    /// Numbers of the last scrape, if that is recent enough to go by. A scorer of load gives
    /// [`crate::Score::ZERO`] where there is nothing: an endpoint that we can't see is not
    /// preferred, and when we see none of them the other scorers decide.
    pub(crate) gauges: Option<EngineLoad>,
    /// Blocks of the prompt, from its head, that its cache is believed to hold.
    pub(crate) matched: u32,
    /// Requests in flight there, of all gateways as far as they are known.
    pub(crate) requests: u32,
    /// Requests that this gateway sent there since its metrics were read.
    pub(crate) sent_since: u32,
    /// Requests that this gateway sent there of late, of those that are in flight or were beside them.
    pub(crate) sends: Sends,
    /// Prompt tokens of those requests that the endpoint has not computed yet.
    pub(crate) tokens: u32,
    /// The same, or with the answers that are estimated for them until they end, where the configuration
    /// says so.
    pub(crate) token_load: u32,
    /// Tokens of KV cache that those requests are expected to take by their ends, beside what they find
    /// cached.
    pub(crate) holds: u32,
    /// Seconds until it is expected to have computed them, as far as they explain that.
    pub(crate) busy_for: f64,
    /// Seconds of work that other gateways may have sent there since they were last heard of; 0 for the endpoint
    /// at which this gateway's order begins.
    pub(crate) unheard_for: f64,
}

impl<'a> Candidate<'a> {
    /// Returns a candidate of unknown load that holds so many blocks of the
    /// prompt. The endpoint has only begun to compute what it is sent.
    #[cfg(test)]
    pub(crate) fn idle(member: &'a EndpointState, matched: u32) -> Self {
        Self {
            member,
            slot: member.slot,
            is_up: member.health == crate::model::Health::Up,
            gauges: None,
            matched,
            requests: 0,
            sent_since: 0,
            sends: Sends::default(),
            tokens: 0,
            token_load: 0,
            holds: 0,
            busy_for: f64::INFINITY,
            unheard_for: 0.0,
        }
    }
}

impl Candidate<'_> {
    /// Returns the number of requests that wait there, if it can be told. Of an endpoint with unreadable metrics, all that
    /// was sent there waits: what is in flight is all that is known, and without a number no scorer of queues would
    /// ever prefer it.
    pub(crate) fn waiting(&self) -> Option<u32> {
        self.gauges.map(|gauges| gauges.waiting).or_else(|| self.unread())
    }

    /// Returns the number of requests in its batch, if it can be told; of an endpoint with unreadable metrics, all that was
    /// sent there.
    pub(crate) fn running(&self) -> Option<u32> {
        self.gauges.map(|gauges| gauges.running).or_else(|| self.unread())
    }

    fn unread(&self) -> Option<u32> {
        self.member.is_unread().then_some(self.requests)
    }

    /// Returns a custom metric, if its last scrape is recent enough to go by.
    pub(crate) fn attribute(&self, key: &str) -> Option<f64> {
        self.gauges.and_then(|_| self.member.attribute(key))
    }

    /// Returns the endpoint's load, for a saturation detector.
    pub(crate) fn load(&self, now: Instant, quiet_for: Duration) -> Load {
        Load {
            in_flight: self.requests,
            sent_since: self.sent_since,
            in_flight_tokens: self.token_load.into(),
            kv_to_come: self.member.cache_share(self.holds),
            busy_for: self.busy_for,
            ..self.member.carries(now, quiet_for)
        }
    }

    /// Returns the share of the prompt that it holds; nothing of a prompt without a block.
    pub(crate) fn cached_share(&self, request: &InferenceRequest) -> f64 {
        match request.chain.blocks {
            0 => 0.0,
            blocks => f64::from(self.matched) / f64::from(blocks),
        }
    }

    /// Returns the prompt's tokens that it would have to compute.
    pub(crate) fn uncached_tokens(&self, request: &InferenceRequest) -> u32 {
        request.uncached_tokens(self.matched)
    }

    /// Returns what is known of it now, for what is learnt from how it does.
    pub(crate) fn observation(&self, request: &InferenceRequest) -> EndpointObservation {
        let gauges = self.gauges;
        EndpointObservation {
            // A chain may come with fewer blocks than it has hashes.
            matched: self.matched.min(request.chain.blocks),
            prompt_tokens: request.tokens(),
            uncached_tokens: self.uncached_tokens(request),
            in_flight_tokens: self.tokens,
            busy_for: self.busy_for,
            load: gauges.map(|gauges| (gauges.waiting, gauges.running)),
            kv_usage: gauges.map_or(0.0, |gauges| gauges.kv_usage),
            cold: false,
        }
    }
}
