//! The requests that a member sent and that have not ended.

use std::collections::BTreeMap;

use super::{SharedLedger, Target};
use crate::{
    ledger::{Accounts, EndpointKey, Work},
    model::{Instant, RequestId},
};

/// Where each of them is counted. What it says is also in the worker's accounts, for others to find.
#[derive(Debug, Default)]
pub(super) struct UnderWay {
    by_request: BTreeMap<RequestId, Sent>,
}

/// A request on its way, as far as it is counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    /// Who answers it, with the prompt's tokens if it also computes them.
    decode: Part,
    /// Who computes its prompt where that is another, until the answer begins.
    prefill: Option<Part>,
}

/// What a request counts for on one endpoint: one request, and these tokens of its prompt.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    endpoint: EndpointKey,
    /// None once they are computed.
    work: Work,
}

/// What does not count any more once a prompt is computed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Computed {
    /// The tokens alone, where the same endpoint goes on to answer.
    Here(Part),
    /// The request and its tokens, where another does.
    Apart(Part),
}

impl Sent {
    /// One that goes there.
    pub(super) fn to(target: Target) -> Self {
        let Target { endpoint, prefill, load, .. } = target;
        let load = load.unwrap_or_default();
        let prefill = prefill.map(|endpoint| Part { endpoint, work: load });
        let work = if prefill.is_some() { Work::default() } else { load };
        Self { decode: Part { endpoint, work }, prefill }
    }

    /// Counts it.
    pub(super) fn open(&self, now: Instant, accounts: &mut Accounts) {
        accounts.open(now, self.decode.endpoint, self.decode.work);
        if let Some(Part { endpoint, work }) = self.prefill {
            accounts.open(now, endpoint, work);
        }
    }

    /// Counts it no more.
    pub(super) fn close(&self, now: Instant, accounts: &mut Accounts) {
        accounts.close(now, self.decode.endpoint, self.decode.work);
        if let Some(Part { endpoint, work }) = self.prefill {
            accounts.close(now, endpoint, work);
        }
    }

    /// What its prompt counted for, if it did.
    fn computed(&mut self) -> Option<Computed> {
        let decode = self.decode;
        self.decode.work = Work::default();
        let here = (decode.work.tokens > 0).then_some(Computed::Here(decode));
        self.prefill.take().map(Computed::Apart).or(here)
    }
}

impl Computed {
    /// Counts it no more.
    pub(super) fn take_off(self, now: Instant, accounts: &mut Accounts) {
        match self {
            Self::Here(Part { endpoint, work }) => accounts.answered(now, endpoint, work),
            Self::Apart(Part { endpoint, work }) => accounts.close(now, endpoint, work),
        }
    }

    /// Whether an endpoint has a request less.
    pub(super) fn frees_a_place(self) -> bool {
        matches!(self, Self::Apart(_))
    }
}

impl UnderWay {
    /// Knows of a request that the ledger counts already.
    pub(super) fn opened(
        &mut self,
        (now, accounts): (Instant, &mut Accounts),
        request: RequestId,
        target: Target,
    ) {
        let sent = Sent::to(target);
        sent.open(now, accounts);
        self.by_request.insert(request, sent);
    }

    /// The request's prompt is computed; in the ledger it still counts, as is returned.
    pub(super) fn answered(
        &mut self,
        (now, accounts): (Instant, &mut Accounts),
        request: RequestId,
    ) -> Option<Computed> {
        let computed = self.by_request.get_mut(&request)?.computed()?;
        computed.take_off(now, accounts);
        Some(computed)
    }

    /// Another endpoint answers the request than the one that it was sent to; who computes its prompt
    /// stays. True if it was counted elsewhere.
    pub(super) fn moved(
        &mut self,
        (now, accounts): (Instant, &mut Accounts),
        shared: &dyn SharedLedger,
        (request, to): (RequestId, EndpointKey),
    ) -> bool {
        let Some(sent) = self.by_request.get_mut(&request) else { return false };
        let Part { endpoint: from, work } = sent.decode;
        sent.decode.endpoint = to;
        if from == to {
            return false;
        }
        let carry = |accounts: &mut Accounts| {
            accounts.close(now, from, work);
            accounts.open(now, to, work);
        };
        carry(accounts);
        shared.update(&mut |ledger| carry(&mut ledger.accounts));
        true
    }

    /// The request is over; it still counts in the ledger.
    pub(super) fn closed(
        &mut self,
        (now, accounts): (Instant, &mut Accounts),
        request: RequestId,
    ) -> Option<Sent> {
        let sent = self.by_request.remove(&request)?;
        sent.close(now, accounts);
        Some(sent)
    }
}
