//! The part of a peer as the arbiter, while it holds the lease.

use super::WorkerPeer;
use crate::{
    ledger::{Ledger, Row},
    model::Instant,
    workers::{
        Envelope, Message, Reclaim,
        arbiter::{Acts, Arbiter, Reserve, Submission, Tenure},
    },
};

impl WorkerPeer {
    /// True if a message between this worker, as the arbiter, and one of these members was lost.
    pub(crate) fn misses_messages(&self, ledger: &Ledger, rows: &[Row]) -> bool {
        self.arbiter.as_ref().is_some_and(|arbiter| arbiter.misses_messages(ledger, rows))
    }

    /// Notes the exchange with these members, which the next look compares.
    pub(crate) fn note_exchange(&mut self, rows: &[Row]) {
        if let Some(arbiter) = &mut self.arbiter {
            arbiter.note_exchange(rows);
        }
    }

    /// Takes in a message to the arbiter. A message to an arbiter of the past changes nothing: its
    /// sender will notice and hand in again.
    pub(crate) fn hear(&mut self, now: Instant, message: Message) -> Heard {
        let mut heard = Heard::default();
        let Some(arbiter) = &mut self.arbiter else { return heard };
        let Some(epoch) = arbiter.epoch() else { return heard };
        heard.looks = true;
        match message {
            Message::Submit { worker, reply_to, epoch: meant, again, tickets }
                if meant == epoch =>
            {
                let submission = Submission { worker, reply_to, again, tickets };
                heard.envelopes = arbiter.take_in(now, submission);
            }
            Message::Cancel { worker, request } => arbiter.cancel(now, worker, request),
            Message::Charge { flow, tokens, expected } => {
                arbiter.charge(&flow, tokens, expected);
                heard.looks = false;
            }
            Message::Correct { flow, charged, found } => {
                arbiter.correct(&flow, charged, found);
                heard.looks = false;
            }
            Message::Evicted => arbiter.confirm_eviction(now),
            Message::Submit { .. }
            | Message::Wake
            | Message::Grant { .. }
            | Message::Reject { .. }
            | Message::Evict { .. } => (),
        }
        heard
    }

    /// Acts as the arbiter on the reserved places.
    pub(crate) fn arbitrate(&mut self, now: Instant, tenure: Tenure) -> Option<Acted> {
        let arbiter = self.arbiter.as_mut()?;
        match tenure {
            Tenure::Holds(reserve) => Some(Self::act(arbiter, now, reserve)),
            Tenure::Lost => {
                arbiter.end(now);
                None
            }
        }
    }

    fn act(arbiter: &mut Arbiter, now: Instant, reserve: Reserve) -> Acted {
        let epoch = arbiter.epoch().unwrap_or_default();
        let places = reserve.places();
        let Acts { envelopes, unused, reclaim } = arbiter.act(now, reserve);
        Acted { envelopes, unused, others: unused < places, epoch, reclaim }
    }
}

/// The outcome of a message to the arbiter.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// Rejections.
    pub(crate) envelopes: Vec<Envelope>,
    /// True if the arbiter has to look at its queues now.
    pub(crate) looks: bool,
}

/// The outcome of a look of the arbiter at its queues.
#[derive(Debug)]
pub(crate) struct Acted {
    /// Grants and rejections.
    pub(crate) envelopes: Vec<Envelope>,
    /// Reserved places that no ticket took.
    pub(crate) unused: u32,
    /// True if tickets took others.
    pub(crate) others: bool,
    /// The term that they were reserved in.
    pub(crate) epoch: u64,
    /// Running requests that should end.
    pub(crate) reclaim: Option<Reclaim>,
}
