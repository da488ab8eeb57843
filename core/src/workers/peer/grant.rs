//! The places that an arbiter granted.

use super::WorkerPeer;
use crate::{ledger::Ledger, model::RequestId, workers::Envelope};

/// The use that a grant is of, by the ledger that it is proposed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GrantPlan {
    /// An arbiter of an earlier term granted it: it is void.
    Void,
    /// The request is gone: its place is given back.
    GiveBack,
    /// The request takes its place.
    Take,
}

impl WorkerPeer {
    /// Plans the use of a grant of this term, and takes its place off the granted ones in the ledger.
    pub(crate) fn plan_grant(
        &self,
        ledger: &mut Ledger,
        request: RequestId,
        epoch: u64,
    ) -> GrantPlan {
        let is_held = self.held.contains_key(&request);
        if ledger.lease.epoch != epoch {
            // A later arbiter began without granted places, so that there is none to take off.
            return if is_held { GrantPlan::Void } else { GrantPlan::GiveBack };
        }
        ledger.ungrant(1);
        if is_held { GrantPlan::Take } else { GrantPlan::GiveBack }
    }

    /// Counts a grant of the known arbiter as used or given back.
    pub(crate) fn count_grant(&mut self, epoch: u64) {
        if epoch == self.handed_to.epoch {
            self.heartbeat.exchange.granted += 1;
        }
    }

    /// Writes the message that hands a request in again after its grant met an empty pool.
    pub(crate) fn submit_again(&mut self, request: RequestId) -> Option<Envelope> {
        let ticket = self.held.get(&request)?.ticket.clone();
        Some(self.submit(vec![ticket], true))
    }
}
