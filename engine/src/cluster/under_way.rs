//! The requests that a member sent and that have not ended.

use std::collections::BTreeMap;

use super::{SharedLedger, Target};
use crate::{
    RequestId,
    ledger::{Accounts, EndpointKey},
};

/// Where each of them is counted. What it says is also in the worker's accounts, for others to find.
#[derive(Debug, Default)]
pub(super) struct UnderWay {
    by_request: BTreeMap<RequestId, Sent>,
}

/// A request on its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) endpoint: EndpointKey,
    /// Prompt tokens that still count as load: none once it is answered.
    pub(super) tokens: u32,
}

impl UnderWay {
    /// Knows of a request that the ledger counts already.
    pub(super) fn opened(&mut self, accounts: &mut Accounts, request: RequestId, target: Target) {
        let (endpoint, tokens) = (target.endpoint, target.load());
        accounts.open(endpoint, tokens);
        self.by_request.insert(request, Sent { endpoint, tokens });
    }

    /// The endpoint has read the request's prompt. True if that changed what is counted.
    pub(super) fn answered(
        &mut self,
        accounts: &mut Accounts,
        shared: &dyn SharedLedger,
        request: RequestId,
    ) -> bool {
        let Some(sent) = self.by_request.get_mut(&request) else { return false };
        let Sent { endpoint, tokens } = *sent;
        sent.tokens = 0;
        if tokens > 0 {
            accounts.answered(endpoint, tokens);
            shared.update(&mut |ledger| ledger.answered(endpoint, tokens));
        }
        tokens > 0
    }

    /// Another endpoint has the request. True if it was counted elsewhere.
    pub(super) fn moved(
        &mut self,
        accounts: &mut Accounts,
        shared: &dyn SharedLedger,
        (request, to): (RequestId, EndpointKey),
    ) -> bool {
        let Some(sent) = self.by_request.get_mut(&request) else { return false };
        let Sent { endpoint: from, tokens } = *sent;
        sent.endpoint = to;
        if from == to {
            return false;
        }
        accounts.close(from, tokens);
        accounts.open(to, tokens);
        shared.update(&mut |ledger| {
            ledger.close(from, tokens);
            ledger.open(to, tokens);
        });
        true
    }

    /// The request is over; it still counts in the ledger.
    pub(super) fn closed(&mut self, accounts: &mut Accounts, request: RequestId) -> Option<Sent> {
        let sent = self.by_request.remove(&request)?;
        accounts.close(sent.endpoint, sent.tokens);
        Some(sent)
    }
}
