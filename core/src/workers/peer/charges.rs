//! The tokens that tenants are charged for, as the arbiter is told of them.

use super::WorkerPeer;
use crate::{
    flow::FlowKey,
    ledger::Ledger,
    model::RequestId,
    workers::{Envelope, Message, in_flight::OutputDebt},
};

impl WorkerPeer {
    /// Writes the message that tells the arbiter the real cost of a granted request's prompt, if its
    /// tenant was charged another.
    pub(crate) fn correct(&self, request: RequestId, found: u32) -> Option<Envelope> {
        let ticket = &self.held.get(&request)?.ticket;
        let charged = ticket.uncached_tokens;
        (self.charges_tokens() && charged != found).then(|| Envelope {
            to: self.handed_to.queue,
            message: Message::Correct { flow: ticket.flow.clone(), charged, found },
        })
    }

    /// Writes the message that takes back what a tenant was charged for the answer to a granted request that
    /// goes nowhere.
    pub(crate) fn forgive(&self, request: RequestId) -> Option<Envelope> {
        let ticket = &self.held.get(&request)?.ticket;
        let (flow, expected) = (ticket.flow.clone(), ticket.output_tokens);
        let message = Message::Charge { flow, tokens: 0, expected };
        (expected > 0).then_some(Envelope { to: self.handed_to.queue, message })
    }

    /// Remembers what the tenant of a granted request, which was sent, was charged for its answer.
    pub(crate) fn owe(&mut self, request: RequestId, tokens: u32) {
        let arbiter = self.handed_to.queue;
        if tokens > 0 {
            self.in_flight.owe(request, OutputDebt { arbiter, tokens });
        }
    }

    /// Writes the message that charges a tenant for output tokens, in place of those that it was charged for at
    /// dispatch. Without those only while requests wait: otherwise nothing is shared.
    pub(crate) fn charge(
        &mut self,
        ledger: &Ledger,
        request: RequestId,
        flow: FlowKey,
        tokens: u32,
    ) -> Option<Envelope> {
        let arbiter = ledger.lease.queue;
        let debt = self.in_flight.take_debt(request).filter(|debt| debt.arbiter == arbiter);
        let expected = debt.map_or(0, |debt| debt.tokens);
        let message = Message::Charge { flow, tokens, expected };
        let is_news = expected > 0 || (tokens > 0 && ledger.waiting > 0);
        is_news.then_some(Envelope { to: arbiter, message })
    }
}
