//! Messages to the workers of a pool, this one included: they come later, never inline.

use picker_core::workers::Envelope;

use crate::{host, vm};

/// Sends a message.
pub(crate) fn send(envelope: &Envelope) {
    let Envelope { to, message } = envelope;
    match wire::message::encode(message) {
        Ok(bytes) if !host::enqueue(to.0, &bytes) => {
            vm::with(|vm| vm.pending.lost_messages += 1);
        }
        Ok(_) => (),
        // Its receiver finds out at the next tick.
        Err(error) => log::error!("failed to encode a message to another worker: {error}"),
    }
}
