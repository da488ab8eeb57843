//! Whether a request goes at once or waits.

use super::{Capacity, Gauge, arbiter::Arbiter};
use crate::{flow::Priority, ledger::Ledger};

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
    gauge: &dyn Gauge,
    ledger: &Ledger,
    priority: Priority,
) -> Gate {
    let capacity = gauge.capacity(ledger).beyond_grants(ledger);
    let open = match (arbiter, capacity) {
        // Without a snapshot there may or may not be a pool: that is not worth waiting for.
        (_, Capacity::Unknown) => true,
        (Some(_), Capacity::Empty) => false,
        // Nobody passes those who wait.
        (Some(arbiter), Capacity::Serving(room)) => {
            ledger.waiting == 0 && arbiter.passes(priority, &room)
        }
        (None, Capacity::Empty) => true,
        (None, Capacity::Serving(room)) => {
            let shed = priority < Priority(0) && room.saturation() >= 1.0;
            return if shed { Gate::Shed } else { Gate::Open };
        }
    };
    if open { Gate::Open } else { Gate::Shut }
}
