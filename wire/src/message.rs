//! What the workers of one Envoy tell each other of held requests, on the wire.

mod layout;

use picker_core::workers::Message;

use crate::frame::{Frame, FrameError};
use layout::Line;

const FRAME: Frame = Frame { magic: *b"LPM", version: 2 };

/// The bytes of a message.
///
/// # Errors
/// If it hands in more tickets than [`decode`] takes, which are
/// [`Member::TICKETS_MAX`](picker_core::workers::Member::TICKETS_MAX).
pub fn encode(message: &Message) -> Result<Vec<u8>, FrameError> {
    FRAME.encode(&Line::of(message)?)
}

/// The message that the bytes say.
///
/// # Errors
/// For another magic or version, and for a body that is cut off, too long or out of bounds.
pub fn decode(bytes: &[u8]) -> Result<Message, FrameError> {
    FRAME.decode::<Line<'_>>(bytes)?.try_into()
}
