//! A request's end: what is told of its response, to its pool and in metrics.

use picker_core::End;
use wire::response::{Kind, LoadReport};

use super::{Phase, Request};
use crate::{
    host,
    refusal::Refusal,
    stats::{Done, Sent},
};

impl Request {
    /// Takes in what the model server says of its load with its answer.
    pub(crate) fn reported(&self, report: LoadReport) {
        if let (Phase::Sent(Some(decision)), Some(pool)) = (&*self.phase.borrow(), self.pool()) {
            pool.node.reported(decision, report);
        }
    }

    /// All of its response has passed. What was kept to be told with the end is told now, before the
    /// client sees that end and asks again: by then its stream may not be gone.
    pub(crate) fn finish(&self) {
        let begun = self.response.borrow_mut().begun.take();
        if let (Some(begun), Some(pool)) = (begun, self.pool()) {
            pool.node.ended(self.id, Some(begun), self.how_ended());
            self.is_over.set(true);
        }
    }

    fn how_ended(&self) -> End {
        self.response.borrow().how_ended(|| self.identity.borrow().client())
    }

    /// Says what became of it, once its stream is gone.
    pub(crate) fn log(&self) {
        let Some(pool) = self.pool() else { return };
        let begun = self.response.borrow_mut().begun.take();
        let response = self.response.borrow();
        let flow = self.flow();
        let tokens = response.reader.output_tokens();
        if pool.charges && tokens > 0 {
            pool.node.charge(flow.clone(), tokens);
        }
        if let Some(tpot) = response.tpot() {
            pool.node.streamed(self.id, tpot);
        }
        if !self.is_over.get() {
            pool.node.ended(self.id, begun, self.how_ended());
        }
        let phase = self.phase.borrow();
        let (decision, error) = match &*phase {
            Phase::Answered => return,
            Phase::Sent(decision) => (decision.as_ref(), response.error()),
            Phase::Refused(code) => (None, Some(*code)),
            Phase::New | Phase::Reading { .. } | Phase::Held => (None, Some(Refusal::LEFT)),
        };
        let ended_at = host::now();
        let sent = decision.map(|decision| Sent {
            decision,
            received_at: self.received_at.get(),
            ended_at,
            body: response.body(ended_at),
            is_streamed: response.reader.kind() == Kind::Events,
            request_bytes: self.bytes.get(),
            response_bytes: response.bytes,
            usage: response.reader.usage(),
            events: response.reader.events(),
        });
        let models = &*self.models.borrow();
        self.worker.stats.requests.record(&Done { models, flow: &flow, error, sent });
    }
}
