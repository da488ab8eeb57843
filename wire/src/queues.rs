//! What waits per flow, as the arbiter of a pool last saw it, in shared data.

use picker_core::{
    Instant,
    flow::{FairnessId, FlowKey, FlowSize, Priority, Usage},
};
use serde::{Deserialize, Serialize};

use crate::frame::{Frame, FrameError, bound};

/// Flows in one value. It is written at every tick of the arbiter while requests wait.
pub const FLOWS_MAX: usize = 1024;

const FRAME: Frame = Frame { magic: *b"LPQ", version: 1 };

/// A [`FlowSize`]. To change a field is a new version.
#[derive(Serialize, Deserialize)]
struct Line<'a> {
    priority: i32,
    id: &'a str,
    requests: u64,
    bytes: u64,
}

impl<'a> Line<'a> {
    fn of(size: &'a FlowSize) -> Self {
        let FlowSize { flow, usage: Usage { requests, bytes } } = size;
        let (priority, id) = (flow.priority.0, flow.id.as_str());
        Self { priority, id, requests: *requests, bytes: *bytes }
    }

    fn size(self) -> FlowSize {
        let Self { priority, id, requests, bytes } = self;
        let flow = FlowKey { id: FairnessId::new(id), priority: Priority(priority) };
        FlowSize { flow, usage: Usage { requests, bytes } }
    }
}

/// The bytes that [`decode`] reads.
///
/// # Errors
/// If there are more than [`FLOWS_MAX`] flows.
pub fn encode(seen_at: Instant, flows: &[FlowSize]) -> Result<Vec<u8>, FrameError> {
    bound(flows.len() <= FLOWS_MAX, "flows", "1,024")?;
    let lines: Vec<Line<'_>> = flows.iter().map(Line::of).collect();
    FRAME.encode(&(seen_at.as_nanos(), lines))
}

/// When the arbiter looked, and what it saw.
///
/// # Errors
/// For another magic or version, and for a body that is cut off, too long or out of bounds.
pub fn decode(bytes: &[u8]) -> Result<(Instant, Vec<FlowSize>), FrameError> {
    let (seen_at, lines): (u64, Vec<Line<'_>>) = FRAME.decode(bytes)?;
    bound(lines.len() <= FLOWS_MAX, "flows", "1,024")?;
    Ok((Instant::from_nanos(seen_at), lines.into_iter().map(Line::size).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(id: &str) -> FlowSize {
        let flow = FlowKey { id: FairnessId::new(id), priority: Priority(-3) };
        FlowSize { flow, usage: Usage { requests: 2, bytes: 600 } }
    }

    #[test]
    fn queues_read_back() {
        let flows = [size("a"), size("é")];
        let bytes = encode(Instant::from_nanos(7), &flows).unwrap();
        assert_eq!(decode(&bytes), Ok((Instant::from_nanos(7), flows.to_vec())));
        assert!(decode(&[]).is_err() && decode(&bytes[..bytes.len() - 1]).is_err());
        assert!(encode(Instant::default(), &vec![size("a"); FLOWS_MAX + 1]).is_err());
    }
}
