//! Requests that are on their way to an endpoint, and the prompt tokens that it has not computed yet, by tenant.

use std::net::SocketAddr;

use picker_core::{SchedulingResult, flow::FlowKey};
use wire::tally::{Labels, SetId};

use super::request::in_tally;
use crate::pool::Pool;

/// A request that is counted as on its way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InFlight {
    /// The set of the endpoint that answers.
    answering: SetId,
    /// The set of the endpoint that computes the prompt, until it has; the same where one does both.
    computing: Option<SetId>,
    /// Tokens that are counted there.
    tokens: u64,
}

impl InFlight {
    /// Counts a request that is sent to the first endpoint of this result; `None` for a result without any.
    pub(crate) fn begin(pool: &Pool, result: &SchedulingResult, flow: &FlowKey) -> Option<Self> {
        let answering = *result.ranked.first()?;
        let apart = result.computed_apart().map(|prefill| prefill.endpoint);
        let tokens = result.computing().uncached_tokens.into();
        Some(in_tally(pool, |tally| {
            let mut place = |endpoint| {
                let labels = Labels::sent(endpoint, flow.id.as_str(), flow.priority.0);
                let set = tally.counts.place(&labels, true);
                tally.counts.begin(set);
                set
            };
            let answering = place(answering);
            let computing = apart.map_or(answering, place);
            tally.counts.pin(computing, tokens);
            Self { answering, computing: Some(computing), tokens }
        }))
    }

    /// Counts the request at another endpoint, which Envoy went on to.
    pub(crate) fn move_to(&mut self, pool: &Pool, endpoint: SocketAddr, flow: &FlowKey) {
        in_tally(pool, |tally| {
            let labels = Labels::sent(endpoint, flow.id.as_str(), flow.priority.0);
            let set = tally.counts.place(&labels, true);
            tally.counts.leave(self.answering);
            tally.counts.begin(set);
            if self.computing == Some(self.answering) {
                tally.counts.unpin(self.answering, self.tokens);
                tally.counts.pin(set, self.tokens);
                self.computing = Some(set);
            }
            self.answering = set;
        });
    }

    /// Counts the prompt as computed, once.
    pub(crate) fn compute(&mut self, pool: &Pool) {
        let Some(computing) = self.computing.take() else { return };
        in_tally(pool, |tally| {
            tally.counts.unpin(computing, self.tokens);
            if computing != self.answering {
                tally.counts.leave(computing);
            }
        });
    }

    /// Counts the request as over.
    pub(crate) fn end(mut self, pool: &Pool) {
        self.compute(pool);
        in_tally(pool, |tally| tally.counts.leave(self.answering));
    }
}
