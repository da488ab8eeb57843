//! What the host must do.

use crate::{Decision, NoPick, Note, RequestId};

/// Something to carry out. Exactly one of `Send` and `Refuse` follows each arrival.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub enum Effect {
    /// Send a request on.
    Send {
        /// Which one.
        request: RequestId,
        /// Where to.
        decision: Decision,
    },
    /// There is nowhere to send a request to.
    Refuse {
        /// Which one.
        request: RequestId,
        /// For the client's answer, and for whether to let it through all the same.
        why: NoPick,
    },
    /// Tell the other workers.
    Tell(Note),
}

/// To be carried out in order. None to three.
pub type Effects = Vec<Effect>;
