//! Batches of placement events in shared data, from each worker to the others.
//!
//! Batches stand in a ring. Each has its position in front, which tells a reader that the ring has
//! moved on since: the [`ledger`](crate::ledger) says how many batches there ever were. Behind that
//! stands whether they are of this gateway: what others told is not told to them again.

use std::net::{IpAddr, SocketAddr};

use picker_core::{
    BlockHash, Chain, ClientId, EventKind, Fault, Instant, KeptName, PlacementEvent, SessionId,
};

use crate::{
    fixed::split_u64,
    frame::{Frame, FrameError, bound},
};

/// Events in a batch. A worker that places 10,000 requests a second sends one every 100 ms.
pub const EVENTS_MAX: usize = 1024;
/// Hashes of one prompt: a chain of all blocks of 256 bytes of a prompt of 4 MB is four times as
/// long, but its positions thin out.
pub const HASHES_MAX: usize = 4096;

pub(crate) const FRAME: Frame = Frame { magic: *b"LPN", version: 8 };

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

/// Bytes with which an event begins. Each worker reads the events of all others, so their layout is fixed, all numbers
/// little-endian: nanoseconds of Envoy's clock (8), blocks (4), hashes (2), port (2), kind (1), bytes of the address
/// (1). Then the subject (8) of a kind that has one, the address, and 8 bytes for each hash. To change a field is a
/// new version.
const HEAD: usize = 18;

/// Returns the bytes of a batch.
///
/// # Errors
/// If it is larger than [`decode`] takes.
pub fn encode(events: &[PlacementEvent]) -> Result<Vec<u8>, FrameError> {
    let mut bytes = Vec::new();
    append(&mut bytes, events)?;
    Ok(bytes)
}

fn append(bytes: &mut Vec<u8>, events: &[PlacementEvent]) -> Result<(), FrameError> {
    bound(events.len() <= EVENTS_MAX, "placement events", "1,024")?;
    let hashes = events.iter().map(|event| event.chain.hashes.len());
    bytes.reserve(8 + hashes.map(|hashes| HEAD + 24 + 8 * hashes).sum::<usize>());
    FRAME.begin(bytes);
    events.iter().try_for_each(|event| write(bytes, event))
}

fn write(bytes: &mut Vec<u8>, event: &PlacementEvent) -> Result<(), FrameError> {
    let PlacementEvent { at, endpoint, chain, verdict } = event;
    bound(chain.hashes.len() <= HASHES_MAX, "hashes", "4,096 of 8 bytes")?;
    let (kind, subject) = kind_number(*verdict);
    let hashes = u16::try_from(chain.hashes.len()).unwrap_or(u16::MAX);
    bytes.extend_from_slice(&at.as_nanos().to_le_bytes());
    bytes.extend_from_slice(&chain.blocks.to_le_bytes());
    bytes.extend_from_slice(&hashes.to_le_bytes());
    bytes.extend_from_slice(&endpoint.port().to_le_bytes());
    bytes.push(kind);
    bytes.push(if endpoint.is_ipv4() { 4 } else { 16 });
    if has_subject(kind) {
        bytes.extend_from_slice(&subject.to_le_bytes());
    }
    match endpoint.ip() {
        IpAddr::V4(ip) => bytes.extend_from_slice(&ip.octets()),
        IpAddr::V6(ip) => bytes.extend_from_slice(&ip.octets()),
    }
    chain.hashes.iter().for_each(|hash| bytes.extend_from_slice(&hash.0.to_le_bytes()));
    Ok(())
}

/// Reads a batch.
///
/// # Errors
/// For another magic or version, and for a body that is cut off, too long or out of bounds.
pub fn decode(bytes: &[u8]) -> Result<Vec<PlacementEvent>, FrameError> {
    let mut rest = FRAME.strip(bytes)?;
    let mut events = Vec::new();
    while !rest.is_empty() {
        bound(events.len() < EVENTS_MAX, "placement events", "1,024")?;
        let (event, behind) = read(rest)?.ok_or(FrameError::Malformed)?;
        events.push(event);
        rest = behind;
    }
    Ok(events)
}

/// Reads an event. Returns it and the bytes behind it; `None` for bytes that are cut off or say nothing.
fn read(bytes: &[u8]) -> Result<Option<(PlacementEvent, &[u8])>, FrameError> {
    let Some((head, rest)) = bytes.split_first_chunk::<HEAD>() else { return Ok(None) };
    let (words, tail) = head.as_chunks::<8>();
    let (&[at, sizes], &[kind, family]) = (words, tail) else { return Ok(None) };
    let [a, b, c, d, hashes @ .., port_low, port_high] = sizes;
    let hashes = usize::from(u16::from_le_bytes(hashes));
    bound(hashes <= HASHES_MAX, "hashes", "4,096 of 8 bytes")?;
    let subject = if has_subject(kind) { split_u64(rest) } else { Some((0, rest)) };
    let Some((subject, rest)) = subject else { return Ok(None) };
    let Some((ip, rest)) = read_ip(family, rest) else { return Ok(None) };
    let Some((packed, rest)) = rest.split_at_checked(8 * hashes) else { return Ok(None) };
    let Some(verdict) = kind_of(kind, subject) else { return Ok(None) };
    let event = PlacementEvent {
        at: Instant::from_nanos(u64::from_le_bytes(at)),
        endpoint: SocketAddr::new(ip, u16::from_le_bytes([port_low, port_high])),
        chain: Chain { hashes: unpack(packed), blocks: u32::from_le_bytes([a, b, c, d]) },
        verdict,
    };
    Ok(Some((event, rest)))
}

fn read_ip(family: u8, bytes: &[u8]) -> Option<(IpAddr, &[u8])> {
    match family {
        4 => bytes.split_first_chunk::<4>().map(|(ip, rest)| (IpAddr::from(*ip), rest)),
        16 => bytes.split_first_chunk::<16>().map(|(ip, rest)| (IpAddr::from(*ip), rest)),
        _ => None,
    }
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
    append(&mut bytes, events)?;
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

/// Returns the hashes of a chain in one piece, little-endian.
pub(crate) fn pack(chain: &Chain) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(8 * chain.hashes.len());
    chain.hashes.iter().for_each(|hash| bytes.extend_from_slice(&hash.0.to_le_bytes()));
    bytes
}

/// Reads hashes that [`pack`] has written. What is no whole hash is left out.
pub(crate) fn unpack(bytes: &[u8]) -> Vec<BlockHash> {
    let (hashes, _) = bytes.as_chunks::<8>();
    hashes.iter().map(|bytes| BlockHash(u64::from_le_bytes(*bytes))).collect()
}

/// Returns the number of a kind, and its subject: the client that got an error of unclear cause, the session or the
/// name that is kept; else 0.
pub(crate) fn kind_number(kind: EventKind) -> (u8, u64) {
    match kind {
        EventKind::Placed => (0, 0),
        EventKind::Withdrawn => (1, 0),
        EventKind::Failed(Fault::Endpoint) => (2, 0),
        EventKind::Served => (3, 0),
        EventKind::Failed(Fault::Unclear(ClientId(client))) => (4, client),
        EventKind::Bound(SessionId(session)) => (5, session),
        EventKind::Used => (6, 0),
        EventKind::Broke(Fault::Endpoint) => (7, 0),
        EventKind::Broke(Fault::Unclear(ClientId(client))) => (8, client),
        EventKind::Kept(KeptName(name)) => (9, name),
    }
}

/// True if the kind of this number has a subject.
const fn has_subject(kind: u8) -> bool {
    matches!(kind, 4 | 5 | 8 | 9)
}

/// Returns the kind of this number and subject; `None` for a number that is none.
pub(crate) fn kind_of(number: u8, subject: u64) -> Option<EventKind> {
    Some(match number {
        0 => EventKind::Placed,
        1 => EventKind::Withdrawn,
        2 => EventKind::Failed(Fault::Endpoint),
        3 => EventKind::Served,
        4 => EventKind::Failed(Fault::Unclear(ClientId(subject))),
        5 => EventKind::Bound(SessionId(subject)),
        6 => EventKind::Used,
        7 => EventKind::Broke(Fault::Endpoint),
        8 => EventKind::Broke(Fault::Unclear(ClientId(subject))),
        9 => EventKind::Kept(KeptName(subject)),
        _ => return None,
    })
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
