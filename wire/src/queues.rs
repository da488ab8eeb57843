//! The queue sizes of a pool in shared data, flow by flow, as its arbiter last saw them.

use picker_core::{
    Instant,
    flow::{FairnessId, FlowKey, FlowSize, Priority, Usage},
};
use serde::{Deserialize, Serialize};

use crate::frame::{Frame, FrameError, bound};

/// Flows in one value, which is written at every tick of the arbiter while requests wait.
pub const FLOWS_MAX: usize = 1024;

pub(crate) const FRAME: Frame = Frame { magic: *b"LPQ", version: 1 };

/// Layout of a [`FlowSize`]. To change a field is a new version.
#[derive(Serialize, Deserialize)]
struct FlowRecord<'a> {
    priority: i32,
    id: &'a str,
    requests: u64,
    bytes: u64,
}

impl<'a> FlowRecord<'a> {
    fn from_size(size: &'a FlowSize) -> Self {
        let FlowSize { flow, usage: Usage { requests, bytes } } = size;
        Self { priority: flow.priority.0, id: flow.id.as_str(), requests: *requests, bytes: *bytes }
    }

    fn into_size(self) -> FlowSize {
        let Self { priority, id, requests, bytes } = self;
        let flow = FlowKey { id: FairnessId::new(id), priority: Priority(priority) };
        FlowSize { flow, usage: Usage { requests, bytes } }
    }
}

/// Returns the bytes that [`decode`] reads.
///
/// # Errors
/// If there are more than [`FLOWS_MAX`] flows.
pub fn encode(seen_at: Instant, flows: &[FlowSize]) -> Result<Vec<u8>, FrameError> {
    bound(flows.len() <= FLOWS_MAX, "flows", "1,024")?;
    let records: Vec<FlowRecord<'_>> = flows.iter().map(FlowRecord::from_size).collect();
    FRAME.encode(&(seen_at.as_nanos(), records))
}

/// Reads the time at which the arbiter looked, and the sizes that it saw.
///
/// # Errors
/// For another magic or version, and for a body that is cut off, too long or out of bounds.
pub fn decode(bytes: &[u8]) -> Result<(Instant, Vec<FlowSize>), FrameError> {
    let (seen_at, records): (u64, Vec<FlowRecord<'_>>) = FRAME.decode(bytes)?;
    bound(records.len() <= FLOWS_MAX, "flows", "1,024")?;
    Ok((Instant::from_nanos(seen_at), records.into_iter().map(FlowRecord::into_size).collect()))
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
