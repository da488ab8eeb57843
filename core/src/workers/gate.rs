//! The gate: lets a request go at once, or makes it wait.

use super::arbiter::Arbiter;
use crate::{flow::Passage, ledger::Ledger, model::Priority, saturation::Capacity};

/// The answer of the gate to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gate {
    pub(crate) verdict: Verdict,
    /// The answer of the request's band, to be counted if the verdict holds.
    pub(crate) passage: Option<Passage>,
}

/// The verdict on a request at the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The request may go at once.
    Open,
    /// The request must wait.
    Shut,
    /// The request is turned away, because flow control is off and nothing waits here.
    Shed,
}

/// True if the gate's answer depends on the pool's capacity, which takes a look at every endpoint.
pub(crate) fn needs_capacity(arbiter: Option<&Arbiter>, priority: Priority) -> bool {
    arbiter.is_some() || priority < Priority(0)
}

/// Decides for a request of this priority. Without an arbiter flow control is off. `capacity` is what
/// is left beyond granted places; [`needs_capacity`] says when it is asked for.
pub(crate) fn gate(
    arbiter: Option<&Arbiter>,
    capacity: &Capacity,
    ledger: &Ledger,
    priority: Priority,
) -> Gate {
    let Some(arbiter) = arbiter else {
        let verdict = match capacity {
            Capacity::Serving(budget) if priority < Priority(0) && budget.saturation() >= 1.0 => {
                Verdict::Shed
            }
            Capacity::Serving(_) | Capacity::Unknown | Capacity::Empty => Verdict::Open,
        };
        return Gate { verdict, passage: None };
    };
    let passage = match capacity {
        // A pool may or may not exist: that is not worth waiting for.
        Capacity::Unknown => return Gate { verdict: Verdict::Open, passage: None },
        // No request passes those that wait.
        Capacity::Serving(budget) if ledger.waiting == 0 => arbiter.passage(priority, budget),
        Capacity::Empty | Capacity::Serving(_) => None,
    };
    let is_open = passage.is_some_and(Passage::is_open);
    Gate { verdict: if is_open { Verdict::Open } else { Verdict::Shut }, passage }
}
