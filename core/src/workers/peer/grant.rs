//! What a member does with the places that the arbiter granted.

use super::{WorkerPeer, nudge_at, open};
use crate::{
    flow::Ticket,
    ledger::Ledger,
    model::{Instant, RequestId},
    workers::{
        Admission, AdmissionResult, Capacity, CapacitySource, Envelope, Message, SharedLedger,
        Step, arbiter::Arbiter,
    },
};

impl WorkerPeer {
    /// A held request was granted a place: it goes where `admit` says, without asking for room. It
    /// is held on if the pool has emptied meanwhile. None where the grant is void or the request is
    /// gone.
    pub fn take_grant<D>(
        &mut self,
        now: Instant,
        (shared, gauge): (&dyn SharedLedger, &dyn CapacitySource),
        (request, epoch): (RequestId, u64),
        mut admit: impl FnMut(&Ledger) -> Admission<D>,
    ) -> Option<(AdmissionResult<D>, Vec<Envelope>)> {
        let ticket = self.held.get(&request)?.clone();
        let mut arrival = None;
        let mut sent = None;
        let mut nudge = None;
        shared.update(&mut |ledger| {
            (arrival, sent, nudge) = (None, None, None);
            if ledger.lease.epoch != epoch {
                return;
            }
            ledger.ungrant(1);
            arrival = Some(match admit(ledger) {
                Admission::Send(target, decision) => {
                    ledger.release();
                    sent = Some(target);
                    AdmissionResult::Sent(decision, open(now, ledger, target))
                }
                Admission::Refuse(_) if gauge.capacity(ledger) == Capacity::Empty => {
                    AdmissionResult::Held
                }
                Admission::Refuse(why) => {
                    ledger.release();
                    AdmissionResult::Refused(why)
                }
            });
            // Where room is measured in tokens the arbiter waits for this.
            let waits = ledger.granted == 0 && sent.is_some_and(|target| target.load.is_some());
            nudge = waits.then(|| ledger.nudge()).flatten();
        });
        let arrival = arrival?;
        self.row.grants_taken += 1;
        let found = sent.map_or(0, |target| target.tokens);
        let mut posts: Vec<Envelope> = self.correct(&ticket, found).into_iter().collect();
        if matches!(arrival, AdmissionResult::Held) {
            posts.push(self.hand_in(vec![ticket], true));
        } else {
            self.unhold(request);
        }
        if let Some(target) = sent {
            self.sent.opened((now, &mut self.row.accounts), request, target);
        }
        posts.extend(nudge.map(nudge_at));
        Some((arrival, posts))
    }

    /// Tells the arbiter what the prompt of a granted request really costs, if that is news.
    fn correct(&self, ticket: &Ticket, found: u32) -> Option<Envelope> {
        let charged = ticket.uncached_tokens;
        let charges = self.arbiter.as_ref().is_some_and(Arbiter::charges_tokens);
        (charges && charged != found).then(|| Envelope {
            to: self.handed_to.queue,
            message: Message::Correct { flow: ticket.flow.clone(), charged, found },
        })
    }

    /// Gives places back that were granted to requests which are gone.
    pub(super) fn give_back(
        &mut self,
        shared: &dyn SharedLedger,
        epoch: u64,
        places: u32,
    ) -> Option<Step> {
        if places == 0 {
            return None;
        }
        if epoch == self.handed_to.epoch {
            self.row.grants_taken += u64::from(places);
        }
        let mut nudge = None;
        shared.update(&mut |ledger| {
            if ledger.lease.epoch == epoch {
                ledger.ungrant(places);
            }
            nudge = ledger.nudge();
        });
        nudge.map(|queue| Step::Send(nudge_at(queue)))
    }
}
