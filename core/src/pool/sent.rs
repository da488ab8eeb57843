//! The requests that gateways have sent to each endpoint.

use crate::{
    exchange::{EndpointUse, Others},
    ledger::Accounts,
    model::Instant,
};

/// The requests in flight: those of this gateway, and those of the others as far as they are known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent<'a> {
    pub(crate) own: &'a Accounts,
    /// `None` without an exchange.
    pub(crate) others: Option<&'a Others>,
}

impl Sent<'_> {
    /// Returns the sums of the others by ascending keys, with the prompts that were computed since they
    /// came taken off.
    pub(super) fn of_others(&self, now: Instant) -> impl Iterator<Item = EndpointUse> {
        let others = self.others.into_iter();
        others.flat_map(move |others| {
            let age = now.saturating_since(others.received_at());
            let left = move |it: &EndpointUse| EndpointUse {
                busy_for: it.busy_for.saturating_sub(age),
                ..*it
            };
            others.sums(now).iter().map(left)
        })
    }

    /// True while endpoints are shared out among gateways.
    pub(super) fn is_shared(&self, now: Instant) -> bool {
        self.others.is_some_and(|others| others.is_fresh(now))
    }
}
