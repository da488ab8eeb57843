//! The store's part in the exchange with other gateways: what is known of them, this gateway's own
//! report, and the events that they have not heard of.

use std::time::Duration;

use picker_core::{
    Instant, PlacementEvent,
    exchange::{GatewayId, GatewayPart, GatewayReport, Others},
    ledger::{Heartbeat, Ledger},
    worker::RING_ENTRIES,
};
use wire::{
    exchange::{OwnEntry, SharedOthers},
    layout::key,
    placement_event::{Origin, StoredBatch},
};

use super::{SharedStore, TRIES_MAX, heartbeats};
use crate::host;

/// Time without a part after which a scraper that runs no exchange is believed to be the only one: with two
/// scrapers, one may be of before.
const GONE_AFTER: Duration = Duration::from_secs(5);

/// Positions by which the ring may be ahead of one that was announced and is not written: as many as for
/// a worker that reads it. Beyond it the position is given up: its writer is gone.
const GAP_MAX: u64 = 64;

impl SharedStore {
    /// Makes this gateway's report on the pool, by this ledger.
    pub(crate) fn report(
        &self,
        gateway: GatewayId,
        ledger: &Ledger,
        now: Instant,
    ) -> GatewayReport {
        let known = self.shared_others();
        let rows = ledger.members.iter();
        let rows = rows.filter_map(|member| heartbeats::read(&self.pool, member.worker));
        let rows: Vec<Heartbeat> = rows.collect();
        let others = known.as_ref().map(|known| &known.others);
        let report = GatewayReport::of_store(now, ledger, &rows, others);
        // Before the first part nothing says how far the exchange has come.
        let next_event = known.as_ref().map_or(0, |known| known.inbox.next());
        let cursor = known.map(|known| known.cursor);
        let events = cursor.map(|it| it.batch(self.own_entries(it.position, ledger)));
        let events = events.unwrap_or_default();
        let tenants = self.queues().tenants.highest();
        GatewayReport { gateway, number: now.as_nanos(), events, next_event, tenants, ..report }
    }

    /// Notes that there is an exchange, which does not know of this gateway yet: a push asked for a report and
    /// brought no part. Until the exchange gives some, this gateway has no credit.
    pub(crate) fn expect_part(&self, gateway: GatewayId, now: Instant) {
        let stored = host::shared(&self.others_key());
        if SharedOthers::decode(&stored.value).is_none() {
            let part = GatewayPart::default();
            let known = SharedOthers::after(None, gateway, part, now, |_| Vec::new());
            let bytes = known.map(|(known, _)| known.encode()).unwrap_or_default();
            // Of two pushes at once, the other may have brought a part.
            let _ = host::share_if_unchanged(&self.others_key(), &bytes, stored.cas);
        }
    }

    /// Forgets the other gateways once there was no part for [`GONE_AFTER`], for a push that asks for no report:
    /// its scraper runs no exchange.
    pub(crate) fn forget_others(&self, now: Instant) {
        let known = self.shared_others();
        let is_gone = |at| now.saturating_since(at) > GONE_AFTER;
        if known.is_some_and(|known| is_gone(known.others.received_at())) {
            host::empty_shared(&self.others_key());
        }
    }

    /// Stores the part of the exchange that is for this gateway, whose signature was verified. Returns the
    /// others' events that are new; `None` for a part that is unreadable or not newer than the last.
    pub(crate) fn take_part(
        &self,
        gateway: GatewayId,
        part: &[u8],
        now: Instant,
    ) -> Option<Vec<PlacementEvent>> {
        let part = wire::exchange::decode_part(part, now).ok()?;
        let (key, ledger) = (self.others_key(), self.ledger());
        for _ in 0..TRIES_MAX {
            let stored = host::shared(&key);
            let before = SharedOthers::decode(&stored.value);
            let entries = |from| self.own_entries(from, &ledger);
            let (after, events) =
                SharedOthers::after(before.as_ref(), gateway, part.clone(), now, entries)?;
            if host::share_if_unchanged(&key, &after.encode(), stored.cas) {
                return Some(events);
            }
        }
        None
    }

    /// Reads what is known of the other gateways.
    pub(super) fn others(&self) -> Option<Box<Others>> {
        self.shared_others().map(|known| Box::new(known.others))
    }

    fn shared_others(&self) -> Option<SharedOthers> {
        SharedOthers::decode(&host::shared(&self.others_key()).value)
    }

    /// Reads the entries of the event ring from a position on, with the events of this gateway's workers that
    /// others are to learn of. Entries that the ring has lost are left out.
    fn own_entries(&self, from: u64, ledger: &Ledger) -> Vec<OwnEntry> {
        let oldest = ledger.events.saturating_sub(RING_ENTRIES);
        // Read now: what this ledger has made room of since stands in the ring.
        let stored = host::shared(&self.ledger_key).value;
        let recent = wire::ledger::recent(&stored).at(from.max(oldest)..ledger.events);
        let mut entries = Vec::new();
        for (position, shown) in recent {
            match self.batch(position, shown) {
                Some(StoredBatch { position: at, origin, events }) if at == position => {
                    let events = match origin {
                        Origin::Own => events,
                        Origin::Others => Vec::new(),
                    };
                    let events = events.into_iter();
                    let events = events.filter_map(PlacementEvent::for_other_gateways).collect();
                    entries.push(OwnEntry { position, events });
                }
                Some(StoredBatch { position: at, .. }) if at > position => (),
                // Announced and not written yet: what stands behind it waits for it.
                Some(_) | None if ledger.events - position < GAP_MAX => break,
                Some(_) | None => (),
            }
        }
        entries
    }

    pub(super) fn others_key(&self) -> String {
        key(&self.pool, "others")
    }
}
