//! Decides which held request goes next, over all members.

use std::collections::BTreeMap;

use super::{Gauge, Message, Post, QueueId, SharedLedger};
use crate::{
    Instant, RequestId,
    flow::{Controller, Offer, Outcome, Ticket, TicketId},
    ledger::{Lease, WorkerId},
    saturation::Room,
};

/// Rejections in one go: each is a reply that its worker sends, and of those the host allows a few
/// hundred in one callback. The rest follow at the next tick.
const EXPIRED_MAX: usize = 64;

/// The saturation at which no band may send, whatever its own ceiling.
const FULL: f64 = 1.0;

/// The member that holds the lease, in that role.
#[derive(Debug)]
pub(super) struct Arbiter {
    worker: WorkerId,
    queue: QueueId,
    epoch: u64,
    controller: Controller,
    /// Who handed in tickets, and what it was granted. One entry a worker of this Envoy.
    clients: BTreeMap<WorkerId, Client>,
}

/// A worker that waits for answers.
#[derive(Debug)]
struct Client {
    reply_to: QueueId,
    grants: u64,
}

/// Whether the arbiter still is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tenure {
    Holds,
    /// Another member took the lease. What this one knew is of no more use.
    Lost,
}

impl Arbiter {
    /// Grants in one go: as many streams as may be resumed in one callback of the host, so that one
    /// message to a worker is never more than it can carry out at once.
    pub(super) const GRANTS_MAX: u32 = 64;

    pub(super) fn new(lease: Lease, controller: Controller) -> Self {
        let Lease { holder: worker, queue, epoch, .. } = lease;
        Self { worker, queue, epoch, controller, clients: BTreeMap::new() }
    }

    /// Whether anybody waits. While nobody does the lease is let go: whoever has to wait next takes
    /// it, and meanwhile nothing ticks.
    pub(super) fn has_waiting(&self) -> bool {
        self.controller.waiting().requests > 0
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Takes tickets into the queue.
    pub(super) fn take_in(
        &mut self,
        now: Instant,
        (worker, reply_to): (WorkerId, QueueId),
        tickets: Vec<Ticket>,
        again: bool,
    ) -> Vec<Post> {
        let client = self.clients.entry(worker).or_insert(Client { reply_to, grants: 0 });
        client.reply_to = reply_to;
        let mut posts = Vec::new();
        for ticket in tickets {
            let id = ticket.id;
            if again {
                self.controller.hand_in(now, ticket);
                continue;
            }
            match self.controller.offer(now, ticket) {
                Offer::Queued => (),
                Offer::Displaced(victims) => {
                    let outcome = Outcome::EvictedDisplaced;
                    posts.extend(victims.into_iter().filter_map(|id| self.reject(id, outcome)));
                }
                Offer::Rejected(outcome) => posts.extend(self.reject(id, outcome)),
            }
        }
        posts
    }

    /// Forgets a ticket whose client left.
    pub(super) fn cancel(&mut self, now: Instant, worker: WorkerId, request: RequestId) {
        self.controller.cancel(now, TicketId { worker: worker.0, request: request.0 });
    }

    /// Counts output tokens against a flow.
    pub(super) fn charge(&mut self, flow: &crate::flow::FlowKey, tokens: u32) {
        self.controller.charge(flow, tokens);
    }

    /// Forgets a dead worker's tickets, and gives back the places that were on their way to it.
    pub(super) fn bury(
        &mut self,
        now: Instant,
        (worker, grants_taken): (WorkerId, u64),
        shared: &dyn SharedLedger,
    ) {
        self.controller.forget_worker(now, worker.0);
        let Some(client) = self.clients.remove(&worker) else { return };
        let lost = u32::try_from(client.grants.saturating_sub(grants_taken)).unwrap_or(u32::MAX);
        self.return_places(lost, shared);
    }

    /// Rejects what has waited too long, grants what there is room for, and renews the lease.
    pub(super) fn run(
        &mut self,
        now: Instant,
        gauge: &dyn Gauge,
        shared: &dyn SharedLedger,
    ) -> (Tenure, Vec<Post>) {
        let expired: Vec<_> =
            self.controller.expire(now, gauge.regime()).take(EXPIRED_MAX).collect();
        let mut posts: Vec<Post> =
            expired.into_iter().filter_map(|(id, outcome)| self.reject(id, outcome)).collect();
        let Some((mut room, reserved)) = self.reserve(now, gauge, shared) else {
            return (Tenure::Lost, posts);
        };
        let mut left = reserved;
        while left > 0 {
            let Some(ticket) = self.controller.dispatch(now, &mut room) else { break };
            left -= 1;
            posts.extend(self.grant(ticket.id));
        }
        self.return_places(left, shared);
        if left == 0 && reserved == Self::GRANTS_MAX && self.has_waiting() {
            // There may be room for more: on in another callback of the host.
            posts.push(Post { to: self.queue, message: Message::Nudge });
        }
        (Tenure::Holds, posts)
    }

    /// Takes as many places as tickets could use, before it is decided whose they are: once they are
    /// in the ledger, nobody else takes them. Renews the lease with it. None where it was lost.
    fn reserve(
        &self,
        now: Instant,
        gauge: &dyn Gauge,
        shared: &dyn SharedLedger,
    ) -> Option<(Room, u32)> {
        let most = u32::try_from(self.controller.waiting().requests).unwrap_or(u32::MAX);
        let most = most.min(Self::GRANTS_MAX);
        let mut reserved = None;
        shared.update(&mut |ledger| {
            reserved = None;
            if ledger.lease.epoch != self.epoch || ledger.lease.holder != self.worker {
                return;
            }
            if most > 0 {
                ledger.lease.renew(now);
            }
            let mut room = gauge.room(ledger);
            for _ in 0..ledger.granted {
                room.take(0);
            }
            let places = room.places(FULL).min(most);
            ledger.granted = ledger.granted.saturating_add(places);
            reserved = Some((room, places));
        });
        reserved
    }

    fn grant(&mut self, id: TicketId) -> Option<Post> {
        let client = self.clients.get_mut(&WorkerId(id.worker))?;
        client.grants += 1;
        let message = Message::Grant { request: RequestId(id.request), epoch: self.epoch };
        Some(Post { to: client.reply_to, message })
    }

    fn reject(&self, id: TicketId, outcome: Outcome) -> Option<Post> {
        let client = self.clients.get(&WorkerId(id.worker))?;
        let message = Message::Reject { request: RequestId(id.request), outcome };
        Some(Post { to: client.reply_to, message })
    }

    /// Gives back places that nobody will take.
    fn return_places(&self, places: u32, shared: &dyn SharedLedger) {
        if places > 0 {
            shared.update(&mut |ledger| {
                if ledger.lease.epoch == self.epoch {
                    ledger.granted = ledger.granted.saturating_sub(places);
                }
            });
        }
    }
}
