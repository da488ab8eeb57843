//! Requests that were sent and have not ended.

use std::{collections::BTreeMap, net::SocketAddr};

use super::{OrderTrial, OutputKinds};
use crate::model::{
    Chain, EndpointObservation, Instant, Prefill, PromptHead, PromptSize, RequestId,
    SchedulingResult,
};

/// The most requests of one worker that are remembered: with 1.4 kB for the longest chain, and as much for placement,
/// fallbacks and model, below 50 MB. One placed beyond is served as any other; only, if it fails, its prefix stays learnt.
const PLACEMENTS_MAX: usize = 16_384;

/// The requests of one worker that were sent and have not ended.
#[derive(Clone, Debug, Default)]
pub(crate) struct Placements {
    /// Boxed: the table moves its entries whenever one comes or goes.
    by_request: BTreeMap<RequestId, Box<Placement>>,
}

/// A request on its way.
#[derive(Clone, Debug)]
pub(crate) struct Placement {
    /// Time of sending.
    pub(crate) at: Instant,
    /// Address of the endpoint that it went to, or that answered.
    pub(crate) endpoint: SocketAddr,
    pub(crate) sight: EndpointObservation,
    /// The endpoint that computes its prompt, if that is another.
    pub(crate) prefill: Option<Prefill>,
    /// True if another than the first answered: since when it was there is not known.
    pub(crate) is_moved: bool,
    /// Size of the prompt, until the answer's usage is learnt from.
    pub(crate) size: Option<PromptSize>,
    /// Other endpoints that it may go to, in this order.
    pub(crate) fallbacks: Vec<SocketAddr>,
    /// Kinds of answers that the one to come is of.
    pub(crate) kinds: OutputKinds,
    /// Head of the prompt until it is computed, for what is learnt of the model's template.
    pub(crate) head: Option<Box<PromptHead>>,
    /// Word of the answer on the template, once it comes.
    pub(crate) trial: Option<OrderTrial>,
    /// The request's prompt, until it is answered.
    chain: Option<Chain>,
    /// Last hash of the same, once `endpoint` has taken it.
    pub(crate) served: Option<Chain>,
}

impl Placement {
    /// Makes a placement; `None` for a decision without an endpoint, which there is not.
    pub(crate) fn new(
        at: Instant,
        chain: Chain,
        kinds: OutputKinds,
        size: PromptSize,
        decision: SchedulingResult,
    ) -> Option<Self> {
        let prefill = decision.computed_apart().copied();
        let SchedulingResult { mut ranked, sight, .. } = decision;
        let fallbacks = if ranked.is_empty() { return None } else { ranked.split_off(1) };
        let endpoint = ranked.pop()?;
        Some(Self {
            at,
            endpoint,
            sight,
            prefill,
            is_moved: false,
            size: Some(size),
            fallbacks,
            kinds,
            head: None,
            trial: None,
            chain: Some(chain),
            served: None,
        })
    }

    /// Returns the endpoint that computes the prompt, and what was known of it.
    pub(crate) fn computing(&self) -> (SocketAddr, EndpointObservation) {
        self.prefill.map_or((self.endpoint, self.sight), |it| (it.endpoint, it.sight))
    }

    pub(crate) fn is_unanswered(&self) -> bool {
        self.chain.is_some()
    }

    /// Takes the prompt, once: when the request is answered or given up.
    pub(crate) fn answered(&mut self) -> Option<Chain> {
        self.chain.take()
    }
}

impl Placements {
    /// Remembers a placement, if there is room.
    pub(crate) fn insert(&mut self, request: RequestId, placement: Placement) {
        if self.by_request.len() < PLACEMENTS_MAX {
            self.by_request.insert(request, Box::new(placement));
        }
    }

    pub(crate) fn get(&self, request: RequestId) -> Option<&Placement> {
        self.by_request.get(&request).map(AsRef::as_ref)
    }

    pub(crate) fn get_mut(&mut self, request: RequestId) -> Option<&mut Placement> {
        self.by_request.get_mut(&request).map(AsMut::as_mut)
    }

    /// Counts the placements of each endpoint.
    pub(crate) fn counts(&self) -> BTreeMap<SocketAddr, u32> {
        let mut counts = BTreeMap::new();
        for placement in self.by_request.values() {
            *counts.entry(placement.endpoint).or_insert(0) += 1;
        }
        counts
    }

    /// Forgets a placement, if it was remembered.
    pub(crate) fn remove(&mut self, request: RequestId) -> Option<Box<Placement>> {
        self.by_request.remove(&request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_bounded() {
        let mut placements = Placements::default();
        for request in 0..20_000 {
            let endpoint = SocketAddr::from(([10, 0, 0, 1], 8000));
            let placement = Placement {
                at: Instant::default(),
                endpoint,
                sight: EndpointObservation::default(),
                prefill: None,
                is_moved: false,
                size: None,
                fallbacks: Vec::new(),
                kinds: OutputKinds::default(),
                head: None,
                trial: None,
                chain: None,
                served: None,
            };
            placements.insert(RequestId(request), placement);
        }
        assert_eq!(placements.by_request.len(), PLACEMENTS_MAX);
        assert!(placements.remove(RequestId(0)).is_some());
        assert!(placements.remove(RequestId(19_999)).is_none());
    }
}
