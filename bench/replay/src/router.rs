//! What places requests: told of what a gateway sees, asked for a pod.

use std::time::Duration;

use crate::{fleet::Fleet, trace::Request};

/// One gateway's router.
pub(crate) trait Router {
    /// How often it reads the pods' metrics; `None` if it goes by none.
    fn scrapes_every(&self) -> Option<Duration>;

    /// The metrics of all pods, as they were `age` ago.
    fn scraped(&mut self, now: Duration, readings: &[Reading], age: Duration);

    /// Where a request goes: the number of a pod of the fleet. Of the fleet a router may know what
    /// its product is told by events, and nothing else.
    fn place(&mut self, now: Duration, arrival: Arrival<'_>, fleet: &Fleet) -> usize;

    /// A request that it placed got its first token.
    fn answered(&mut self, now: Duration, request: usize);

    /// A request that it placed got its last token.
    fn ended(&mut self, now: Duration, request: usize);
}

/// A request that comes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival<'a> {
    /// Its number in the trace.
    pub(crate) number: usize,
    /// What it is.
    pub(crate) request: &'a Request,
    /// Its prompt, as our filter makes it from the bytes.
    pub(crate) chain: &'a picker_core::Chain,
}

/// One pod's metrics page.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Reading {
    /// `vllm:num_requests_waiting`.
    pub(crate) waiting: usize,
    /// `vllm:num_requests_running`.
    pub(crate) running: usize,
    /// `vllm:kv_cache_usage_perc`, 0 to 1.
    pub(crate) kv_usage: f64,
}
