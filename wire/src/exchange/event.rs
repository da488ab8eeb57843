//! A placement event between gateways.

use std::{net::SocketAddr, time::Duration};

use picker_core::{Chain, Instant, PlacementEvent};
use serde::{Deserialize, Serialize, Serializer};

use crate::{
    frame::{FrameError, bound},
    placement_event::{HASHES_MAX, kind_number, kind_of, unpack},
};

/// Layout of a [`PlacementEvent`]. To change a field is a new version.
#[derive(Serialize, Deserialize)]
pub(super) struct EventRecord<'a> {
    /// Age in milliseconds: each gateway has a clock of its own.
    age: u64,
    endpoint: SocketAddr,
    kind: u8,
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

impl<'a> EventRecord<'a> {
    /// Makes the record of an event, as of this moment; its hashes are packed already.
    pub(super) fn from_event(event: &PlacementEvent, hashes: &'a [u8], now: Instant) -> Self {
        let (kind, subject) = kind_number(event.verdict);
        Self {
            age: millis(now.saturating_since(event.at)).into(),
            endpoint: event.endpoint,
            kind,
            subject,
            blocks: event.chain.blocks,
            hashes,
        }
    }

    pub(super) fn check(&self) -> Result<(), FrameError> {
        let (hashes, rest) = self.hashes.as_chunks::<8>();
        bound(rest.is_empty() && hashes.len() <= HASHES_MAX, "hashes", "4,096 of 8 bytes")
    }

    /// Returns the event, of a record that came at this moment.
    pub(super) fn event(&self, now: Instant) -> Result<PlacementEvent, FrameError> {
        self.check()?;
        Ok(PlacementEvent {
            at: now.saturating_before(Duration::from_millis(self.age)),
            endpoint: self.endpoint,
            chain: Chain { hashes: unpack(self.hashes), blocks: self.blocks },
            verdict: kind_of(self.kind, self.subject).ok_or(FrameError::Malformed)?,
        })
    }
}

/// Returns a time in milliseconds; of a longer one the most that there is room for.
pub(super) fn millis(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}
