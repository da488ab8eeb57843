//! Batches of notes on the wire, from each worker to the others.

use std::net::SocketAddr;

use picker_core::{
    BlockHash, Chain, ClientId, EventKind, Fault, Instant, PlacementEvent, SessionId,
};
use serde::{Deserialize, Serialize};

use crate::frame::{Frame, FrameError, bound};

/// Notes in a batch. A worker that places 10,000 requests a second sends one every 100 ms.
pub const NOTES_MAX: usize = 1024;
/// Hashes of one prompt: a chain of all blocks of 256 bytes of a prompt of 4 MB is four times as
/// long, but its positions thin out.
pub const HASHES_MAX: usize = 4096;

const FRAME: Frame = Frame { magic: *b"LPN", version: 5 };

/// A [`PlacementEvent`]. To change a field is a new version.
#[derive(Serialize, Deserialize)]
struct Line<'a> {
    at: u64,
    endpoint: SocketAddr,
    verdict: u8,
    /// Who got an error of unclear cause, or the session that is kept; else 0.
    whose: u64,
    blocks: u32,
    /// Eight bytes each, little-endian: hashes are random, so that a variable length costs more.
    hashes: &'a [u8],
}

/// The bytes of a batch.
///
/// # Errors
/// If it is larger than [`decode`] takes.
pub fn encode(notes: &[PlacementEvent]) -> Result<Vec<u8>, FrameError> {
    bound(notes.len() <= NOTES_MAX, "notes", "1,024")?;
    let hashes: Vec<Vec<u8>> = notes.iter().map(|note| pack(&note.chain)).collect();
    let lines: Vec<Line<'_>> =
        notes.iter().zip(&hashes).map(|(note, hashes)| Line::of(note, hashes)).collect();
    lines.iter().try_for_each(Line::check)?;
    FRAME.encode(&lines)
}

/// The batch that the bytes say.
///
/// # Errors
/// For another magic or version, and for a body that is cut off, too long or out of bounds.
pub fn decode(bytes: &[u8]) -> Result<Vec<PlacementEvent>, FrameError> {
    let lines: Vec<Line<'_>> = FRAME.decode(bytes)?;
    bound(lines.len() <= NOTES_MAX, "notes", "1,024")?;
    lines.iter().map(Line::note).collect()
}

fn pack(chain: &Chain) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(8 * chain.hashes.len());
    chain.hashes.iter().for_each(|hash| bytes.extend_from_slice(&hash.0.to_le_bytes()));
    bytes
}

impl<'a> Line<'a> {
    fn of(note: &PlacementEvent, hashes: &'a [u8]) -> Self {
        Self {
            at: note.at.as_nanos(),
            endpoint: note.endpoint,
            verdict: match note.verdict {
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
            whose: match note.verdict {
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
            blocks: note.chain.blocks,
            hashes,
        }
    }

    fn check(&self) -> Result<(), FrameError> {
        let (hashes, rest) = self.hashes.as_chunks::<8>();
        bound(rest.is_empty() && hashes.len() <= HASHES_MAX, "hashes", "4,096 of 8 bytes")
    }

    fn note(&self) -> Result<PlacementEvent, FrameError> {
        self.check()?;
        let (hashes, _) = self.hashes.as_chunks::<8>();
        let hashes = hashes.iter().map(|bytes| BlockHash(u64::from_le_bytes(*bytes)));
        Ok(PlacementEvent {
            at: Instant::from_nanos(self.at),
            endpoint: self.endpoint,
            chain: Chain { hashes: hashes.collect(), blocks: self.blocks },
            verdict: match self.verdict {
                0 => EventKind::Placed,
                1 => EventKind::Withdrawn,
                2 => EventKind::Failed(Fault::Endpoint),
                3 => EventKind::Served,
                4 => EventKind::Failed(Fault::Unclear(ClientId(self.whose))),
                5 => EventKind::Bound(SessionId(self.whose)),
                6 => EventKind::Used,
                7 => EventKind::Broke(Fault::Endpoint),
                8 => EventKind::Broke(Fault::Unclear(ClientId(self.whose))),
                _ => return Err(FrameError::Malformed),
            },
        })
    }
}
