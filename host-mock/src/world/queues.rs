//! Shared queues: one consumer each, which is woken by an event on its own thread.

use crate::status::Status;
use std::collections::VecDeque;

/// All queues of one vm_id. A queue's token is its position plus one.
#[derive(Debug, Default)]
pub(crate) struct Queues {
    queues: Vec<Queue>,
    pending: VecDeque<Delivery>,
}

#[derive(Debug)]
struct Queue {
    name: Vec<u8>,
    consumer: Consumer,
    messages: VecDeque<Vec<u8>>,
}

/// The context that gets `on_queue_ready`: the last one that registered the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Consumer {
    pub(crate) worker: usize,
    pub(crate) root_context: u32,
}

/// A wake-up that was posted to a thread and hasn't run yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Worker that enqueued.
    pub from: usize,
    /// Worker that is woken; the number of workers stands for the main thread.
    pub to: usize,
    /// Token of the queue.
    pub queue: u32,
    pub(crate) root_context: u32,
}

impl Queues {
    /// Makes `consumer` the only consumer of `name` and returns the queue's token.
    pub(crate) fn register(&mut self, name: &[u8], consumer: Consumer) -> u32 {
        if let Some(token) = self.resolve(name) {
            if let Some(queue) = self.queue(token) {
                queue.consumer = consumer;
            }
            return token;
        }
        self.queues.push(Queue { name: name.to_vec(), consumer, messages: VecDeque::new() });
        u32::try_from(self.queues.len()).unwrap_or(u32::MAX)
    }

    pub(crate) fn resolve(&self, name: &[u8]) -> Option<u32> {
        let position = self.queues.iter().position(|queue| queue.name == name)?;
        u32::try_from(position + 1).ok()
    }

    pub(crate) fn enqueue(&mut self, from: usize, token: u32, m: Vec<u8>) -> Result<(), Status> {
        let queue = self.queue(token).ok_or(Status::NotFound)?;
        queue.messages.push_back(m);
        let Consumer { worker: to, root_context } = queue.consumer;
        self.pending.push_back(Delivery { from, to, queue: token, root_context });
        Ok(())
    }

    pub(crate) fn dequeue(&mut self, token: u32) -> Result<Vec<u8>, Status> {
        let queue = self.queue(token).ok_or(Status::NotFound)?;
        queue.messages.pop_front().ok_or(Status::Empty)
    }

    pub(crate) const fn pending(&self) -> &VecDeque<Delivery> {
        &self.pending
    }

    pub(crate) fn take(&mut self, position: usize) -> Option<Delivery> {
        self.pending.remove(position)
    }

    /// Returns the position of the oldest delivery of each (from, to) pair: between two threads
    /// order is kept.
    pub(crate) fn heads(&self) -> Vec<usize> {
        let mut seen = Vec::new();
        let mut heads = Vec::new();
        for (position, delivery) in self.pending.iter().enumerate() {
            let pair = (delivery.from, delivery.to);
            if !seen.contains(&pair) {
                seen.push(pair);
                heads.push(position);
            }
        }
        heads
    }

    fn queue(&mut self, token: u32) -> Option<&mut Queue> {
        let position = usize::try_from(token.checked_sub(1)?).ok()?;
        self.queues.get_mut(position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_registrant_is_woken_and_order_is_kept_per_pair() {
        let mut queues = Queues::default();
        let token = queues.register(b"q", Consumer { worker: 0, root_context: 1 });
        assert_eq!(queues.register(b"q", Consumer { worker: 2, root_context: 1 }), token);
        for from in [0, 0, 1] {
            queues.enqueue(from, token, vec![]).unwrap();
        }
        assert_eq!(queues.heads(), [0, 2]);
        assert!(queues.pending().iter().all(|delivery| delivery.to == 2));
        assert_eq!(queues.enqueue(0, 9, vec![]), Err(Status::NotFound));
        for _ in 0..3 {
            queues.dequeue(token).unwrap();
        }
        assert_eq!(queues.dequeue(token), Err(Status::Empty));
    }
}
