//! Messages to the workers of a pool, this one included: they come later, never inline.

use picker_core::workers::{Envelope, Message, QueueId};

use crate::host;

/// Sends them.
pub(crate) fn post(posts: impl IntoIterator<Item = Envelope>) {
    for Envelope { to, message } in posts {
        send(to, &message);
    }
}

/// Wakes an arbiter: something has changed for those who wait.
pub(crate) fn nudge(arbiter: QueueId) {
    send(arbiter, &Message::Wake);
}

fn send(to: QueueId, message: &Message) {
    match wire::message::encode(message) {
        Ok(bytes) => host::enqueue(to.0, &bytes),
        // The worker that it was for finds out at its next tick.
        Err(error) => log::error!("a message to another worker cannot be written: {error}"),
    }
}
