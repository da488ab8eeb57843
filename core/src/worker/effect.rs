//! The effects that a worker asks its host for.

use std::time::Duration;

use super::Input;
use crate::{
    ledger::Ledger,
    model::{Instant, PlacementEvent, QueueId, RequestId, WorkerId},
    workers::{AdmissionResult, Envelope, Message, peer::HeldRequest},
};

/// Effects of an arrival or an end, with one to spare: a longer list grows.
const EFFECTS_USUAL: usize = 4;

/// An effect for the host, to be carried out in the order in which [`super::turn`] returns them.
///
/// Large values are boxed: a list of effects is allocated with each turn, and an allocation above 256
/// bytes costs several times as much as one below.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Answers a request that arrived or was held.
    Decide(Box<Decision>),
    /// Sends a message to a worker, this one included; it comes later, never inline.
    Send(Box<Envelope>),
    /// Writes an entry of the event ring.
    Publish {
        /// Position in the ring, as the ledger announced it.
        position: u64,
        /// Events of the entry, oldest first. There may be none: the other workers wait for the entry all
        /// the same, since its position was announced.
        events: Vec<PlacementEvent>,
    },
    /// Ends a request that was sent, as a more important one finds no room. Its end is told as any other.
    Evict {
        /// The request.
        request: RequestId,
    },
    /// Writes the worker's heartbeat.
    ShowHeartbeat,
    /// Asks for ticks in quick succession from now on.
    TickSoon,
    /// Runs another turn with this input once the effects before it are carried out.
    Then(Box<Input>),
    /// Shows the pool's state in metrics, by this ledger. Follows each tick.
    ShowPool(Box<Ledger>),
    /// Removes the heartbeat of a dead worker, which was struck off, unless the worker has shown another
    /// one since.
    RemoveHeartbeat {
        /// The dead worker.
        worker: WorkerId,
        /// Number of beats in the heartbeat that it left behind.
        beats: u64,
    },
    /// Says in the log that counts of the ledger were wrong and are mended.
    ReportRecount,
    /// Says in the log, once, that the stored snapshot cannot be read.
    ReportUnreadable(String),
    /// Says in the log that other workers were faster so often that the ledger was left unchanged: the
    /// decision holds for this worker, and is counted with the next recount.
    ReportContended,
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The request.
    pub request: RequestId,
    /// The answer.
    pub result: AdmissionResult,
    /// Time for which the request was held.
    pub waited: Duration,
    /// Time of the arbiter's grant, if there was one.
    pub granted_at: Option<Instant>,
    /// True if the request was let go by a worker that only looks on, where flow control would have held it or turned
    /// it away.
    pub is_overruled: bool,
}

impl Effect {
    /// Begins the list of a turn's effects.
    pub(super) fn first(unreadable: Option<String>) -> Vec<Self> {
        let mut effects = Vec::with_capacity(EFFECTS_USUAL);
        effects.extend(unreadable.map(Self::ReportUnreadable));
        effects
    }
}

impl Decision {
    /// Answers a request that was held.
    pub(super) fn of_held(
        now: Instant,
        held: &HeldRequest,
        result: AdmissionResult,
        granted_at: Option<Instant>,
    ) -> Self {
        Self {
            request: RequestId(held.ticket.id.request),
            result,
            waited: now.saturating_since(held.ticket.arrived),
            granted_at,
            is_overruled: false,
        }
    }
}

/// Sends a message.
pub(super) fn send(envelope: Envelope) -> Effect {
    Effect::Send(Box::new(envelope))
}

/// Wakes the arbiter on this queue, where one is to be woken.
pub(super) fn wake(queue: Option<QueueId>) -> Option<Effect> {
    queue.map(|to| send(Envelope { to, message: Message::Wake }))
}
