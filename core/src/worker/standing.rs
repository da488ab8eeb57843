//! The worker's standing among the members of the ledger, as a turn leaves it.

use super::{
    Effect, Registration, Worker,
    effect::wake,
    proposal::{Membership, Roll},
};
use crate::{ledger::Row, model::Instant};

impl Worker {
    /// Adds what follows from any turn.
    pub(super) fn close_turn(
        &mut self,
        membership: Membership,
        is_given_up: bool,
        effects: &mut Vec<Effect>,
    ) {
        let shows = |effect: &Effect| matches!(effect, Effect::ShowHeartbeat);
        if membership.joins && !effects.iter().any(shows) {
            effects.push(Effect::ShowHeartbeat);
        }
        effects.extend(is_given_up.then_some(Effect::ReportContended));
        // Whichever turn it was in which the arbiter learnt that an endpoint was ejected or taken back: by that
        // there may be room for requests that wait.
        if self.ejections != self.scheduler.ejections() {
            effects.extend(wake(self.peer.own_queue()));
        }
    }

    /// Takes note of the worker's standing in the ledger, before its heartbeat is shown.
    pub(super) fn take_membership(&mut self, membership: Membership) {
        let Membership { joins, changes } = membership;
        if joins {
            self.registration = Registration::Registered;
        }
        if let Some(changes) = changes {
            self.peer.note_change(changes);
        }
    }

    /// Takes note of a look at all members, if there was one.
    pub(super) fn take_roll(
        &mut self,
        now: Instant,
        roll: Option<Roll>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(Roll { rows, dead, mends }) = roll else { return };
        self.watch.look(now, &rows);
        self.peer.note_exchange(&rows);
        let is_gone = |row: &Row| dead.contains(&row.worker);
        let gone = rows.into_iter().filter(is_gone);
        effects.extend(gone.map(|Row { worker, heartbeat }| Effect::RemoveHeartbeat {
            worker,
            beats: heartbeat.map_or(0, |heartbeat| heartbeat.beats),
        }));
        effects.extend(mends.then_some(Effect::ReportRecount));
    }
}
