//! A worker's turns as the arbiter, and what the arbiter has it do to requests in flight.

use super::{Effect, Input, Worker, effect::send};
use crate::{
    ledger::{Ledger, Row},
    model::{Instant, Priority, QueueId},
    workers::{Message, Reclaim, Tenure, peer::Acted},
};

impl Worker {
    /// Reserves places for tickets, if this worker is the arbiter.
    pub(super) fn reserve(&self, now: Instant, ledger: &mut Ledger) -> Option<Tenure> {
        if !self.peer.is_arbiter() {
            return None;
        }
        let capacity = self.scheduler.capacity(now, ledger).beyond_grants(ledger);
        self.peer.reserve(now, capacity, ledger)
    }

    /// Takes in a message to the arbiter.
    pub(super) fn hear(&mut self, now: Instant, message: Message, effects: &mut Vec<Effect>) {
        let heard = self.peer.hear(now, message);
        // An arbiter that had come to rest may get another worker's ticket before its lease lapses.
        if self.peer.is_busy() {
            self.tick_soon(effects);
        }
        effects.extend(heard.envelopes.into_iter().map(send));
        if heard.looks {
            effects.push(Effect::Then(Box::new(Input::Arbitrate)));
        }
    }

    /// Grants reserved places, rejects what waited too long, and has running requests end where what waits
    /// matters more.
    pub(super) fn arbitrate(
        &mut self,
        now: Instant,
        tenure: Option<Tenure>,
        effects: &mut Vec<Effect>,
    ) {
        self.ejections = self.scheduler.ejections();
        let Some(acted) = tenure.and_then(|tenure| self.peer.arbitrate(now, tenure)) else {
            return;
        };
        let Acted { envelopes, unused: places, others, epoch, reclaim } = acted;
        effects.extend(envelopes.into_iter().map(send));
        if places > 0 {
            let unused = Input::PlacesUnused { places, others, epoch };
            effects.push(Effect::Then(Box::new(unused)));
        }
        effects.extend(reclaim.map(|it| Effect::Then(Box::new(Input::Reclaim(it)))));
    }

    /// Chooses the running requests that are to end, by what all workers show of theirs.
    pub(super) fn reclaim(
        &mut self,
        now: Instant,
        reclaim: Reclaim,
        rows: Vec<Row>,
        effects: &mut Vec<Effect>,
    ) {
        effects.extend(self.peer.reclaim(now, reclaim, rows).into_iter().map(send));
    }

    /// Evicts the request in flight that goes first, if one is below this priority.
    pub(super) fn evict(&mut self, below: Priority, reply_to: QueueId) -> Vec<Effect> {
        match self.peer.evict(below, reply_to) {
            Ok(request) => vec![Effect::ShowHeartbeat, Effect::Evict { request }],
            Err(message) => vec![send(message)],
        }
    }
}
