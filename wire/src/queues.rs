//! The queue sizes of a pool in shared data, flow by flow, as its arbiter last saw them.

use picker_core::{
    Instant,
    exchange::{TENANTS_KEPT_MAX, TenantTotal, TenantTotals},
    flow::{FairnessId, FlowKey, FlowSize, Priority, Usage},
};
use serde::{Deserialize, Serialize};

use crate::frame::{Frame, FrameError, bound};

/// Flows in one value, which is written at every tick of the arbiter while requests wait.
pub const FLOWS_MAX: usize = 1024;

pub(crate) const FRAME: Frame = Frame { magic: *b"LPQ", version: 4 };

/// Queues of a pool at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Queues {
    /// Time at which the arbiter looked.
    pub seen_at: Instant,
    /// Sizes of the flows that wait. At most [`FLOWS_MAX`].
    pub flows: Vec<FlowSize>,
    /// Charges of tenants at this gateway, by whichever of its workers. At most [`TENANTS_KEPT_MAX`].
    pub tenants: TenantTotals,
}

/// Layout of a tenant's total. To change a field is a new version.
#[derive(Serialize, Deserialize)]
struct TotalRecord<'a> {
    priority: i32,
    id: &'a str,
    tokens: u64,
    charged_at: u64,
}

impl<'a> TotalRecord<'a> {
    fn from_total((flow, total): (&'a FlowKey, &TenantTotal)) -> Self {
        let TenantTotal { tokens, charged_at } = *total;
        let charged_at = charged_at.as_nanos();
        Self { priority: flow.priority.0, id: flow.id.as_str(), tokens, charged_at }
    }

    fn into_total(self) -> (FlowKey, TenantTotal) {
        let Self { priority, id, tokens, charged_at } = self;
        let flow = FlowKey { id: FairnessId::new(id), priority: Priority(priority) };
        (flow, TenantTotal { tokens, charged_at: Instant::from_nanos(charged_at) })
    }
}

/// Layout of a [`FlowSize`]. To change a field is a new version.
#[derive(Serialize, Deserialize)]
struct FlowRecord<'a> {
    priority: i32,
    id: &'a str,
    requests: u64,
    bytes: u64,
    oldest: u64,
}

impl<'a> FlowRecord<'a> {
    fn from_size(size: &'a FlowSize) -> Self {
        let FlowSize { flow, usage: Usage { requests, bytes }, oldest } = size;
        let (priority, id) = (flow.priority.0, flow.id.as_str());
        let oldest = oldest.as_nanos();
        Self { priority, id, requests: *requests, bytes: *bytes, oldest }
    }

    fn into_size(self) -> FlowSize {
        let Self { priority, id, requests, bytes, oldest } = self;
        let flow = FlowKey { id: FairnessId::new(id), priority: Priority(priority) };
        let oldest = Instant::from_nanos(oldest);
        FlowSize { flow, usage: Usage { requests, bytes }, oldest }
    }
}

/// Returns the bytes that [`decode`] reads.
///
/// # Errors
/// If there are more than [`FLOWS_MAX`] flows.
pub fn encode(queues: &Queues) -> Result<Vec<u8>, FrameError> {
    let Queues { seen_at, flows, tenants } = queues;
    bound(flows.len() <= FLOWS_MAX, "flows", "1,024")?;
    let flows: Vec<FlowRecord<'_>> = flows.iter().map(FlowRecord::from_size).collect();
    let tenants: Vec<TotalRecord<'_>> = tenants.iter().map(TotalRecord::from_total).collect();
    FRAME.encode(&(seen_at.as_nanos(), flows, tenants))
}

/// Reads what the arbiter saw.
///
/// # Errors
/// For another magic or version, and for a body that is cut off, too long or out of bounds.
pub fn decode(bytes: &[u8]) -> Result<Queues, FrameError> {
    let (seen_at, flows, tenants): (u64, Vec<FlowRecord<'_>>, Vec<TotalRecord<'_>>) =
        FRAME.decode(bytes)?;
    bound(flows.len() <= FLOWS_MAX, "flows", "1,024")?;
    bound(tenants.len() <= TENANTS_KEPT_MAX, "tenants", "256")?;
    Ok(Queues {
        seen_at: Instant::from_nanos(seen_at),
        flows: flows.into_iter().map(FlowRecord::into_size).collect(),
        tenants: tenants.into_iter().map(TotalRecord::into_total).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(id: &str) -> FlowSize {
        let flow = FlowKey { id: FairnessId::new(id), priority: Priority(-3) };
        FlowSize { flow, usage: Usage { requests: 2, bytes: 600 }, oldest: Instant::from_nanos(5) }
    }

    #[test]
    fn queues_read_back() {
        let flows = vec![size("a"), size("é")];
        let mut tenants = TenantTotals::default();
        tenants.add(Instant::from_nanos(3), &[(size("é").flow, 9)]);
        let queues = Queues { seen_at: Instant::from_nanos(7), flows, tenants };
        let bytes = encode(&queues).unwrap();
        assert_eq!(decode(&bytes), Ok(queues));
        assert!(decode(&[]).is_err() && decode(&bytes[..bytes.len() - 1]).is_err());
        let flows = vec![size("a"); FLOWS_MAX + 1];
        assert!(encode(&Queues { flows, ..Queues::default() }).is_err());
    }
}
