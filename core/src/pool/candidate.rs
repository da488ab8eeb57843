//! An endpoint that a request may go to, at the moment of choice.

use std::time::Duration;

use super::{EndpointState, EngineLoad, Slot};
use crate::{
    model::{EndpointObservation, InferenceRequest, Instant},
    saturation::Load,
};

/// An endpoint as filters and scorers see it. A plugin that needs more than this of an endpoint
/// finds it in its [`EndpointState`]; what it needs of the request is in the `PickContext` of the schedule.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate<'a> {
    pub(crate) member: &'a EndpointState,
    /// The member's slot and whether it is up, as each choice asks for them of every candidate: in a
    /// large pool the members themselves are out of the processor's nearest cache.
    pub(crate) slot: Slot,
    pub(crate) is_up: bool,
    /// What its last scrape read, if that is recent enough to go by. A scorer of load gives
    /// [`crate::Score::ZERO`] where there is nothing: an endpoint that we can't see is not
    /// preferred, and when we see none of them the other scorers decide.
    pub(crate) gauges: Option<EngineLoad>,
    /// Blocks of the prompt, from its head, that its cache is believed to hold.
    pub(crate) matched: u32,
    /// Requests in flight there, of this Envoy.
    pub(crate) requests: u32,
    /// Their prompt tokens that it has not computed yet.
    pub(crate) tokens: u32,
    /// Seconds until it is expected to have computed them, as far as they explain that.
    pub(crate) busy_for: f64,
}

impl<'a> Candidate<'a> {
    /// A member of whose load nothing is known yet, and that holds so many blocks of the prompt. What
    /// it is sent it has only begun to compute.
    #[cfg(test)]
    pub(crate) fn idle(member: &'a EndpointState, matched: u32) -> Self {
        Self {
            member,
            slot: member.slot,
            is_up: member.health == crate::model::Health::Up,
            gauges: None,
            matched,
            requests: 0,
            tokens: 0,
            busy_for: f64::INFINITY,
        }
    }
}

impl Candidate<'_> {
    /// A custom metric, if its last scrape is recent enough to go by.
    pub(crate) fn attribute(&self, key: &str) -> Option<f64> {
        self.gauges.and_then(|_| self.member.attribute(key))
    }

    /// What it carries, for a saturation detector.
    pub(crate) fn load(&self, now: Instant, quiet_for: Duration) -> Load {
        Load {
            in_flight: self.requests,
            in_flight_tokens: self.tokens.into(),
            ..self.member.carries(now, quiet_for)
        }
    }

    /// The share of the prompt that it holds; nothing of a prompt without a block.
    pub(crate) fn cached_share(&self, request: &InferenceRequest) -> f64 {
        match request.chain.blocks {
            0 => 0.0,
            blocks => f64::from(self.matched) / f64::from(blocks),
        }
    }

    /// The prompt's tokens that it would have to compute.
    pub(crate) fn uncached_tokens(&self, request: &InferenceRequest) -> u32 {
        request.uncached_tokens(self.matched)
    }

    /// Returns what is known of it now, for what is learnt from how it does.
    pub(crate) fn observation(&self, request: &InferenceRequest) -> EndpointObservation {
        let gauges = self.gauges;
        EndpointObservation {
            matched: self.matched,
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
