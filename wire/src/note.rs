//! Batches of notes on the wire, from each worker to the others.

use std::net::SocketAddr;

use engine::{BlockHash, Chain, Client, Fault, Instant, Note, SessionId, Verdict};
use serde::{Deserialize, Serialize};

use crate::frame::{Frame, FrameError, bound};

/// Notes in a batch. A worker that places 10,000 requests a second sends one every 100 ms.
pub const NOTES_MAX: usize = 1024;
/// Hashes of one prompt: a chain of all blocks of 256 bytes of a prompt of 4 MB is four times as
/// long, but its positions thin out.
pub const HASHES_MAX: usize = 4096;

const FRAME: Frame = Frame { magic: *b"LPN", version: 5 };

/// A [`Note`]. To change a field is a new version.
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
pub fn encode(notes: &[Note]) -> Result<Vec<u8>, FrameError> {
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
pub fn decode(bytes: &[u8]) -> Result<Vec<Note>, FrameError> {
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
    fn of(note: &Note, hashes: &'a [u8]) -> Self {
        Self {
            at: note.at.as_nanos(),
            endpoint: note.endpoint,
            verdict: match note.verdict {
                Verdict::Placed => 0,
                Verdict::Withdrawn => 1,
                Verdict::Failed(Fault::Endpoint) => 2,
                Verdict::Served => 3,
                Verdict::Failed(Fault::Unclear(_)) => 4,
                Verdict::Bound(_) => 5,
                Verdict::Used => 6,
                Verdict::Broke(Fault::Endpoint) => 7,
                Verdict::Broke(Fault::Unclear(_)) => 8,
            },
            whose: match note.verdict {
                Verdict::Failed(Fault::Unclear(Client(client)))
                | Verdict::Broke(Fault::Unclear(Client(client))) => client,
                Verdict::Bound(SessionId(session)) => session,
                Verdict::Placed
                | Verdict::Withdrawn
                | Verdict::Failed(Fault::Endpoint)
                | Verdict::Broke(Fault::Endpoint)
                | Verdict::Served
                | Verdict::Used => 0,
            },
            blocks: note.chain.blocks,
            hashes,
        }
    }

    fn check(&self) -> Result<(), FrameError> {
        let (hashes, rest) = self.hashes.as_chunks::<8>();
        bound(rest.is_empty() && hashes.len() <= HASHES_MAX, "hashes", "4,096 of 8 bytes")
    }

    fn note(&self) -> Result<Note, FrameError> {
        self.check()?;
        let (hashes, _) = self.hashes.as_chunks::<8>();
        let hashes = hashes.iter().map(|bytes| BlockHash(u64::from_le_bytes(*bytes)));
        Ok(Note {
            at: Instant::from_nanos(self.at),
            endpoint: self.endpoint,
            chain: Chain { hashes: hashes.collect(), blocks: self.blocks },
            verdict: match self.verdict {
                0 => Verdict::Placed,
                1 => Verdict::Withdrawn,
                2 => Verdict::Failed(Fault::Endpoint),
                3 => Verdict::Served,
                4 => Verdict::Failed(Fault::Unclear(Client(self.whose))),
                5 => Verdict::Bound(SessionId(self.whose)),
                6 => Verdict::Used,
                7 => Verdict::Broke(Fault::Endpoint),
                8 => Verdict::Broke(Fault::Unclear(Client(self.whose))),
                _ => return Err(FrameError::Malformed),
            },
        })
    }
}
