//! Requests that are evicted while they run.

use std::rc::Rc;

use picker_core::flow::{Eviction, Priority};

use super::{
    Stream,
    phase::{Next, Phase, Placed},
};
use crate::{
    host,
    pool::Pool,
    refusal::Refusal,
    stats,
    vm::{self, SheddableStream},
};

impl Stream {
    /// Has a request of this priority be found when it is to be evicted, if it may be. One that is only looked on is ended for
    /// none, also when the picker begins to steer meanwhile.
    pub(super) fn offer_up(self: &Rc<Self>, pool: &Pool, priority: Priority, next: &Next) {
        let evicts = pool.config.flow.as_ref().is_some_and(|it| it.eviction == Eviction::Sheddable);
        let is_on_its_way = matches!(next.phase, Phase::Held(_) | Phase::Sent(_));
        if evicts && is_on_its_way && priority < Priority(0) && self.steers() {
            let stream: Rc<dyn SheddableStream> = Rc::<Self>::clone(self);
            vm::in_pool(pool.id, |pool| drop(pool.sheddable.insert(self.id, stream)));
        }
    }

    /// Forgets what [`Self::offer_up`] did.
    pub(super) fn take_back(&self, placed: &Placed) {
        if placed.flow.priority < Priority(0) {
            vm::in_pool(placed.pool.id, |pool| drop(pool.sheddable.remove(&self.id)));
        }
    }
}

impl SheddableStream for Stream {
    fn evict(&self) {
        let phase = self.leave();
        let Phase::Sent(sent) = phase else {
            self.enter(phase);
            return;
        };
        stats::count_evicted(&sent.placed.pool, &sent.placed.models, &sent.placed.flow);
        if sent.response.status == 0 {
            let asked = &sent.placed.asked;
            Refusal::Evicted.send(asked.dialect, &asked.reply_to);
        } else {
            // The client has read a status already: an end without an end tells it that this is not all.
            host::reset_response();
        }
        self.enter(Phase::Evicted(sent));
    }
}
