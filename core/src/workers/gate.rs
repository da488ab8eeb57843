//! Whether a request goes at once or waits.

use super::{Capacity, CapacitySource, arbiter::Arbiter};
use crate::{ledger::Ledger, model::Priority};

/// Whether a request may go at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gate {
    Open,
    /// It must wait.
    Shut,
    /// It is turned away, because nobody waits here.
    Shed,
}

/// Decides for a request of this priority; without an arbiter flow control is off.
pub(super) fn gate(
    arbiter: Option<&mut Arbiter>,
    gauge: &dyn CapacitySource,
    ledger: &Ledger,
    priority: Priority,
) -> Gate {
    let capacity = || gauge.capacity(ledger).beyond_grants(ledger);
    let Some(arbiter) = arbiter else {
        // The pool is measured only for those whom it may cost something.
        let sheddable = priority < Priority(0);
        return match sheddable.then(capacity) {
            Some(Capacity::Serving(room)) if room.saturation() >= 1.0 => Gate::Shed,
            Some(_) | None => Gate::Open,
        };
    };
    let open = match capacity() {
        // There may or may not be a pool: that is not worth waiting for.
        Capacity::Unknown => true,
        Capacity::Empty => false,
        // Nobody passes those who wait.
        Capacity::Serving(room) => ledger.waiting == 0 && arbiter.passes(priority, &room),
    };
    if open { Gate::Open } else { Gate::Shut }
}
