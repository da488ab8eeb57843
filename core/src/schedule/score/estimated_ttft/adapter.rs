//! The price of an endpoint whose batch has no room for the request's LoRA adapter.
//!
//! An engine has only so many adapters in one batch. A request for one more waits until all requests
//! for one of the others have ended, however few tokens are to be computed before it. Without a price
//! for that, every endpoint gets requests for every adapter, and all of them wait for slots.

use super::known::Known;
use crate::pool::Candidate;

/// Wait for an adapter's slot, in prompts of the usual length. From 5 to 100 the loads of `bench replay`
/// do alike; at 1 requests leave the endpoints that have their adapter for every short queue. With an
/// end, so that an adapter which all ask for does not stay on the endpoints that happen to have it.
const SLOT_PROMPTS: f64 = 10.0;

/// The adapter that a request asks for, if any candidate says that it serves it.
pub(super) struct AdapterPrice<'a>(Option<&'a str>);

impl<'a> AdapterPrice<'a> {
    pub(super) fn new(known: Known<'a>, candidates: &[Candidate<'_>]) -> Self {
        let model = known.request.model.as_str();
        // In a pool without adapters no candidate is looked at. A model that no page names may be the
        // base model, which needs no slot.
        let is_adapter = known.learned.has_adapters
            && candidates.iter().any(|it| matches!(AdapterSlot::of(it, model), AdapterSlot::Taken));
        Self(is_adapter.then_some(model))
    }

    /// Returns the wait for a slot of the adapter there, in prompts of the usual length.
    pub(super) fn prompts(&self, candidate: &Candidate<'_>) -> f64 {
        match self.0.map(|model| AdapterSlot::of(candidate, model)) {
            Some(AdapterSlot::None) => SLOT_PROMPTS,
            Some(AdapterSlot::Taken | AdapterSlot::Free) | None => 0.0,
        }
    }
}

/// The slot that one adapter finds in an endpoint's batch.
enum AdapterSlot {
    /// Its own: requests for it run or wait there.
    Taken,
    /// One that no adapter has.
    Free,
    /// None, until all requests for another adapter have ended.
    None,
}

impl AdapterSlot {
    /// Returns an adapter's slot on an endpoint; an endpoint that tells of no adapters is taken to have
    /// room.
    fn of(candidate: &Candidate<'_>, model: &str) -> Self {
        let Some(adapters) = &candidate.member.adapters else { return Self::Free };
        // An adapter of which some requests run and others wait counts twice, though it takes one slot: where requests
        // wait for what runs, the batch is full of something. Counted once, first tokens of `bench replay` are a quarter
        // later where one adapter is hot.
        let mut all = adapters.running.iter().chain(&adapters.waiting);
        let count = adapters.running.len() + adapters.waiting.len();
        if all.any(|name| name == model) {
            Self::Taken
        } else if count < usize::try_from(adapters.max).unwrap_or(usize::MAX) {
            Self::Free
        } else {
            Self::None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{Adapters, InferenceRequest, Instant},
        pool::{EndpointState, Learned, tests::member},
    };

    fn serving(running: &[&str], waiting: &[&str]) -> EndpointState {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let adapters = Adapters { max: 2, running: owned(running), waiting: owned(waiting) };
        let mut member = member(&[]);
        member.adapters = Some(adapters);
        member
    }

    /// Returns the price of a model at each endpoint.
    fn prices(model: &str, members: &[EndpointState]) -> Vec<f64> {
        let request = InferenceRequest { model: model.to_owned(), ..InferenceRequest::default() };
        let mut learned = Learned::new(1);
        learned.has_adapters = true;
        let known = Known { request: &request, learned: &learned, now: Instant::default() };
        let candidates: Vec<_> = members.iter().map(|it| Candidate::idle(it, 0)).collect();
        let price = AdapterPrice::new(known, &candidates);
        candidates.iter().map(|it| price.prompts(it)).collect()
    }

    #[test]
    fn an_endpoint_full_of_other_adapters_has_a_price() {
        let members = [
            serving(&["a"], &[]),
            serving(&["b"], &[]),
            serving(&["b", "c"], &[]),
            serving(&["b", "c"], &["a"]),
            serving(&["b"], &["c"]),
            member(&[]),
        ];
        let expected = [0.0, 0.0, SLOT_PROMPTS, 0.0, SLOT_PROMPTS, 0.0];
        assert_eq!(
            prices("a", &members).iter().map(|it| it.to_bits()).collect::<Vec<_>>(),
            expected.map(f64::to_bits)
        );
    }

    #[test]
    fn a_model_that_no_endpoint_names_as_an_adapter_has_none() {
        let members = [serving(&["b", "c"], &[]), serving(&[], &[])];
        assert!(prices("base", &members).iter().all(|price| *price <= 0.0));
    }
}
