//! What a gateway knows of the others, in shared data: the last part that it took without its events, and
//! how far the two streams of events have come.

use picker_core::{
    Instant, PlacementEvent,
    exchange::{EVENTS_MAX, EventBatch, GatewayId, GatewayPart, Inbox, Others},
};

use super::part;
use crate::fixed::split_u64;

/// Version of the value, and so of its key: that of what stands in front of the part.
pub(crate) const VERSION: u8 = 1;

/// Knowledge of a gateway about the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SharedOthers {
    /// Part without events, with the credit in force.
    pub others: Others,
    /// Stream of the others' events.
    pub inbox: Inbox,
    /// Stream of this gateway's own events.
    pub cursor: StreamPosition,
}

/// Place in the event ring up to which the exchange has this gateway's events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamPosition {
    /// Position of the first entry that the exchange has not, or not whole.
    pub position: u64,
    /// Number of the entry's first event in the stream.
    pub number: u64,
}

/// Own events of one entry of the ring.
#[derive(Clone, Debug)]
pub struct OwnEntry {
    /// Position in the ring.
    pub position: u64,
    /// Events that other gateways are to learn of, oldest first.
    pub events: Vec<PlacementEvent>,
}

impl StreamPosition {
    /// Goes on past the entries of which the exchange has all, as it expects the event of number `next`
    /// now. The entries are those from the cursor on, in their order; where the first is missing, the ring
    /// has moved on, and what it lost is passed over.
    #[must_use]
    pub fn after(self, next: u64, entries: &[OwnEntry]) -> Self {
        let mut cursor = self;
        for entry in entries {
            if entry.position > cursor.position {
                // Numbers of lost events are not known: none that was used is used again.
                let lost = entry.position - cursor.position;
                cursor.number =
                    cursor.number.max(next).saturating_add(lost.saturating_mul(NUMBERS_PER_ENTRY));
                cursor.position = entry.position;
            }
            let end = cursor.number.saturating_add(count(&entry.events));
            if end > next {
                break;
            }
            cursor = Self { position: entry.position.saturating_add(1), number: end };
        }
        cursor
    }

    /// Returns the events that the exchange has not, of the entries from the cursor on.
    #[must_use]
    pub fn batch(self, entries: Vec<OwnEntry>) -> EventBatch {
        let events = entries.into_iter().flat_map(|entry| entry.events);
        EventBatch { first: self.number, events: events.take(EVENTS_MAX).collect() }
    }
}

impl SharedOthers {
    /// Returns what is known once this part has come to gateway `own`, and the events that are new. `None` for
    /// a part that is refused. `entries` are those of the ring from the cursor on, or from its oldest on
    /// where the part begins a new epoch.
    #[must_use]
    pub fn after(
        before: Option<&Self>,
        own: GatewayId,
        mut part: GatewayPart,
        received_at: Instant,
        entries: impl FnOnce(u64) -> Vec<OwnEntry>,
    ) -> Option<(Self, Vec<PlacementEvent>)> {
        let batch = std::mem::take(&mut part.events);
        let (epoch, next) = (part.epoch, part.next_event);
        let others = Others::after(before.map(|it| &it.others), own, part, received_at)?;
        // The streams begin anew with each epoch.
        let known = before.filter(|it| it.others.part().epoch == epoch);
        let Self { mut inbox, cursor, .. } = known.cloned().unwrap_or_default();
        let events = inbox.take(batch);
        let cursor = cursor.after(next, &entries(cursor.position));
        Some((Self { others, inbox, cursor }, events))
    }

    /// Returns the bytes that [`SharedOthers::decode`] reads; none if they would be too many.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let Self { others, inbox, cursor } = self;
        let credit = others.credit().cloned();
        let received_at = others.received_at();
        let part = GatewayPart { credit, ..others.part().clone() };
        let Ok(part) = part::encode(&part, received_at) else { return Vec::new() };
        let head = [received_at.as_nanos(), inbox.next(), cursor.position, cursor.number];
        let mut bytes: Vec<u8> = head.into_iter().flat_map(u64::to_le_bytes).collect();
        bytes.extend(part);
        bytes
    }

    /// Reads what is known. `None` where nothing is, or bytes are of another version.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (received_at, bytes) = split_u64(bytes)?;
        let (next, bytes) = split_u64(bytes)?;
        let (position, bytes) = split_u64(bytes)?;
        let (number, bytes) = split_u64(bytes)?;
        let received_at = Instant::from_nanos(received_at);
        let part = part::decode(bytes, received_at).ok()?;
        let mut inbox = Inbox::default();
        inbox.take(EventBatch { first: next, events: Vec::new() });
        let others = Others::after(None, part.gateway, part, received_at)?;
        Some(Self { others, inbox, cursor: StreamPosition { position, number } })
    }
}

/// Numbers that are passed over for each entry of the ring that was lost: as many as it can have had.
const NUMBERS_PER_ENTRY: u64 = 1 << 10;

fn count(events: &[PlacementEvent]) -> u64 {
    u64::try_from(events.len()).unwrap_or(u64::MAX)
}
