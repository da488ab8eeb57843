//! Messages between the workers of one Envoy about held requests.

mod layout;

use picker_core::workers::Message;

use crate::frame::{Frame, FrameError};
use layout::Line;

pub(crate) const FRAME: Frame = Frame { magic: *b"LPM", version: 5 };

/// Returns the bytes of a message.
///
/// # Errors
/// For more tickets than [`decode`] takes, which are
/// [`WorkerPeer::TICKETS_MAX`](picker_core::workers::WorkerPeer::TICKETS_MAX).
pub fn encode(message: &Message) -> Result<Vec<u8>, FrameError> {
    FRAME.encode(&Line::from_message(message)?)
}

/// Reads a message.
///
/// # Errors
/// For another magic or version, and for a body that is cut off, too long or out of bounds.
pub fn decode(bytes: &[u8]) -> Result<Message, FrameError> {
    FRAME.decode::<Line<'_>>(bytes)?.try_into()
}
