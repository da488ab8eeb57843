//! The requests in flight that are evicted.

use super::WorkerPeer;
use crate::{
    ledger::{Row, Sheddable},
    model::{Instant, Priority, QueueId, RequestId},
    workers::{Envelope, Message, Reclaim},
};

impl WorkerPeer {
    /// Asks the workers of these rows, and this one, for evictions, if this worker is the arbiter.
    pub(crate) fn reclaim(
        &mut self,
        now: Instant,
        reclaim: Reclaim,
        mut rows: Vec<Row>,
    ) -> Vec<Envelope> {
        rows.push(Row { worker: self.id, heartbeat: Some(self.heartbeat.clone()) });
        let arbiter = self.arbiter.as_mut().filter(|arbiter| arbiter.epoch().is_some());
        arbiter.map_or_else(Vec::new, |arbiter| arbiter.evict(now, reclaim, &rows))
    }

    /// Chooses the request that goes first of those in flight here below a priority: it is evicted, and its end
    /// is told to `reply_to`.
    ///
    /// # Errors
    /// If there is none, with the message that tells so.
    pub(crate) fn evict(
        &mut self,
        below: Priority,
        reply_to: QueueId,
    ) -> Result<RequestId, Envelope> {
        let Some(request) = self.in_flight.evict(below, reply_to) else {
            return Err(Envelope { to: reply_to, message: Message::Evicted });
        };
        // Of those that are left.
        self.show_sheddable(below.min(Priority(-1)));
        Ok(request)
    }

    /// Shows in the heartbeat which requests may be evicted, where one of this priority changes that.
    pub(super) fn show_sheddable(&mut self, priority: Priority) {
        if priority >= Priority(0) {
            return;
        }
        self.heartbeat.sheddable = self.in_flight.sheddable().map(|(first, requests)| Sheddable {
            requests,
            priority: first.priority,
            sent_at: first.sent_at,
            queue: self.queue,
        });
    }
}
