//! Messages to the workers of a pool, this one included: they come later, never inline.

use picker_core::workers::Envelope;

use crate::host;

/// Sends a message. Returns false if no worker can get it any more.
#[must_use]
pub(crate) fn send(envelope: &Envelope) -> bool {
    let Envelope { to, message } = envelope;
    match wire::message::encode(message) {
        Ok(bytes) => host::enqueue(to.0, &bytes),
        Err(error) => {
            // Its receiver finds out at the next tick.
            log::error!("failed to encode a message to another worker: {error}");
            true
        }
    }
}
