//! The interface of a router: it hears what a gateway sees, and is asked for a pod.

use std::time::Duration;

use crate::{
    fleet::{Fleet, Reading},
    trace::Request,
};

/// A gateway's router.
pub(crate) trait Router {
    /// Returns the time between two readings of the pods' metrics; `None` if the router goes by
    /// none.
    fn scrapes_every(&self) -> Option<Duration>;

    /// True if one scraper reads the metrics for all gateways, at the same moments.
    fn shares_scraper(&self) -> bool {
        false
    }

    /// Takes the metrics of all pods, as they were `age` ago.
    fn scraped(&mut self, now: Duration, readings: &[Reading], age: Duration);

    /// Returns the pods for a request. Of the fleet a router may know what its product is told by
    /// events, and nothing else.
    fn place(&mut self, now: Duration, arrival: Arrival<'_>, fleet: &Fleet) -> Route;

    /// Hears that the answer's headers came, which a stream sends long before the first token. They say
    /// nothing of the prompt.
    fn headers(&mut self, _now: Duration, _request: usize) {}

    /// Hears that a request that it placed got its first token.
    fn answered(&mut self, now: Duration, request: usize);

    /// Hears that a request that it placed got its last token.
    fn ended(&mut self, now: Duration, request: usize);
}

/// The pods of a request, by their numbers in the fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    /// Pod that writes the answer.
    pub(crate) pod: usize,
    /// Pod that computes the prompt before, if that is another.
    pub(crate) prefill: Option<usize>,
}

impl From<usize> for Route {
    /// Returns the route of a request that one pod does all of.
    fn from(pod: usize) -> Self {
        Self { pod, prefill: None }
    }
}

/// A request on its arrival.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival<'a> {
    /// Number in the trace.
    pub(crate) number: usize,
    /// Request as the trace has it.
    pub(crate) request: &'a Request,
    /// Prompt as our filter makes it from the bytes.
    pub(crate) chain: &'a picker_core::Chain,
}
