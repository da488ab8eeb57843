//! Batches of placement events in shared data, from each worker to the others.
//!
//! Batches stand in a ring. Each has its position in front, which tells a reader that the ring has
//! moved on since: the [`ledger`](crate::ledger) says how many batches there ever were. Behind that
//! stands whether they are of this gateway: what others told is not told to them again.

use std::net::SocketAddr;

use picker_core::{
    BlockHash, Chain, ClientId, EventKind, Fault, Instant, PlacementEvent, SessionId,
};
use serde::{Deserialize, Serialize, Serializer};

use crate::{
    fixed::split_u64,
    frame::{Frame, FrameError, bound},
};

/// Events in a batch. A worker that places 10,000 requests a second sends one every 100 ms.
pub const EVENTS_MAX: usize = 1024;
/// Hashes of one prompt: a chain of all blocks of 256 bytes of a prompt of 4 MB is four times as
/// long, but its positions thin out.
pub const HASHES_MAX: usize = 4096;

pub(crate) const FRAME: Frame = Frame { magic: *b"LPN", version: 6 };

/// Origin of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A worker of this gateway.
    Own,
    /// Other gateways.
    Others,
}

/// A batch in its place of the ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredBatch {
    /// Position that it was written for.
    pub position: u64,
    /// Gateway that it is of.
    pub origin: Origin,
    /// Events, oldest first; none where they are of another version.
    pub events: Vec<PlacementEvent>,
}

/// Layout of a [`PlacementEvent`]. To change a field is a new version.
#[derive(Serialize, Deserialize)]
pub(crate) struct EventRecord<'a> {
    /// Nanoseconds of Envoy's clock. Between gateways: age in milliseconds.
    pub(crate) at: u64,
    endpoint: SocketAddr,
    kind: u8,
    /// Client that got an error of unclear cause, or session that is kept; else 0.
    subject: u64,
    blocks: u32,
    /// Eight bytes each, little-endian: hashes are random, so that a variable length costs more.
    #[serde(serialize_with = "in_one_piece")]
    hashes: &'a [u8],
}

/// Writes bytes as the list of bytes that they are. By itself serde would write one after the other.
fn in_one_piece<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(bytes)
}

/// Returns the bytes of a batch.
///
/// # Errors
/// If it is larger than [`decode`] takes.
pub fn encode(events: &[PlacementEvent]) -> Result<Vec<u8>, FrameError> {
    bound(events.len() <= EVENTS_MAX, "placement events", "1,024")?;
    let hashes: Vec<Vec<u8>> = events.iter().map(|event| pack(&event.chain)).collect();
    let records: Vec<EventRecord<'_>> = events
        .iter()
        .zip(&hashes)
        .map(|(event, hashes)| EventRecord::from_event(event, hashes))
        .collect();
    records.iter().try_for_each(EventRecord::check)?;
    FRAME.encode(&records)
}

/// Reads a batch.
///
/// # Errors
/// For another magic or version, and for a body that is cut off, too long or out of bounds.
pub fn decode(bytes: &[u8]) -> Result<Vec<PlacementEvent>, FrameError> {
    let records: Vec<EventRecord<'_>> = FRAME.decode(bytes)?;
    bound(records.len() <= EVENTS_MAX, "placement events", "1,024")?;
    records.iter().map(EventRecord::event).collect()
}

/// Returns the bytes of a batch at its position in the ring.
///
/// # Errors
/// Those of [`encode`].
pub fn encode_at(
    position: u64,
    origin: Origin,
    events: &[PlacementEvent],
) -> Result<Vec<u8>, FrameError> {
    let mut bytes = position.to_le_bytes().to_vec();
    bytes.push(match origin {
        Origin::Own => 0,
        Origin::Others => 1,
    });
    bytes.extend(encode(events)?);
    Ok(bytes)
}

/// Reads a batch at its place in the ring. `None` where nothing was written.
#[must_use]
pub fn decode_at(bytes: &[u8]) -> Option<StoredBatch> {
    let (position, bytes) = split_u64(bytes)?;
    let (origin, bytes) = bytes.split_first()?;
    let origin = if *origin == 0 { Origin::Own } else { Origin::Others };
    Some(StoredBatch { position, origin, events: decode(bytes).unwrap_or_default() })
}

/// Returns the hashes of a chain as [`EventRecord`] has them.
pub(crate) fn pack(chain: &Chain) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(8 * chain.hashes.len());
    chain.hashes.iter().for_each(|hash| bytes.extend_from_slice(&hash.0.to_le_bytes()));
    bytes
}

impl<'a> EventRecord<'a> {
    pub(crate) fn from_event(event: &PlacementEvent, hashes: &'a [u8]) -> Self {
        Self {
            at: event.at.as_nanos(),
            endpoint: event.endpoint,
            kind: match event.verdict {
                EventKind::Placed => 0,
                EventKind::Withdrawn => 1,
                EventKind::Failed(Fault::Endpoint) => 2,
                EventKind::Served => 3,
                EventKind::Failed(Fault::Unclear(_)) => 4,
                EventKind::Bound(_) => 5,
                EventKind::Used => 6,
                EventKind::Broke(Fault::Endpoint) => 7,
                EventKind::Broke(Fault::Unclear(_)) => 8,
            },
            subject: match event.verdict {
                EventKind::Failed(Fault::Unclear(ClientId(client)))
                | EventKind::Broke(Fault::Unclear(ClientId(client))) => client,
                EventKind::Bound(SessionId(session)) => session,
                EventKind::Placed
                | EventKind::Withdrawn
                | EventKind::Failed(Fault::Endpoint)
                | EventKind::Broke(Fault::Endpoint)
                | EventKind::Served
                | EventKind::Used => 0,
            },
            blocks: event.chain.blocks,
            hashes,
        }
    }

    pub(crate) fn check(&self) -> Result<(), FrameError> {
        let (hashes, rest) = self.hashes.as_chunks::<8>();
        bound(rest.is_empty() && hashes.len() <= HASHES_MAX, "hashes", "4,096 of 8 bytes")
    }

    pub(crate) fn event(&self) -> Result<PlacementEvent, FrameError> {
        self.check()?;
        let (hashes, _) = self.hashes.as_chunks::<8>();
        let hashes = hashes.iter().map(|bytes| BlockHash(u64::from_le_bytes(*bytes)));
        Ok(PlacementEvent {
            at: Instant::from_nanos(self.at),
            endpoint: self.endpoint,
            chain: Chain { hashes: hashes.collect(), blocks: self.blocks },
            verdict: match self.kind {
                0 => EventKind::Placed,
                1 => EventKind::Withdrawn,
                2 => EventKind::Failed(Fault::Endpoint),
                3 => EventKind::Served,
                4 => EventKind::Failed(Fault::Unclear(ClientId(self.subject))),
                5 => EventKind::Bound(SessionId(self.subject)),
                6 => EventKind::Used,
                7 => EventKind::Broke(Fault::Endpoint),
                8 => EventKind::Broke(Fault::Unclear(ClientId(self.subject))),
                _ => return Err(FrameError::Malformed),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_that_is_cut_off_is_absent() {
        assert_eq!(decode_at(&[0; 8]), None);
        for origin in [Origin::Own, Origin::Others] {
            let batch = StoredBatch { position: 3, origin, events: Vec::new() };
            assert_eq!(decode_at(&encode_at(3, origin, &[]).unwrap()), Some(batch));
        }
        let batch = StoredBatch { position: 0, origin: Origin::Own, events: Vec::new() };
        assert_eq!(decode_at(&[0; 9]), Some(batch));
    }
}
