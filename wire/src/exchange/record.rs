//! Layouts that the report of a gateway and the part for one share. To change a field is a new version;
//! what is appended to a section is passed over by an older one.

use std::time::Duration;

use picker_core::{
    Amounts, Instant, PlacementEvent,
    exchange::{BandReserve, BandUse, Credit, EVENTS_MAX, EndpointUse, EventBatch, TenantTokens},
    flow::{BANDS_MAX, FairnessId, FlowKey, Priority},
    ledger::EndpointKey,
};
use serde::{Deserialize, Serialize};

use super::event::{EventRecord, millis};
use crate::{
    frame::{FrameError, bound},
    placement_event::pack,
};

/// Bytes of events in one report or part; the others come with the next, 50 ms later. Some 450
/// placements of long prompts: twenty times what 512 requests a second need.
pub const EVENT_BYTES_MAX: usize = 256 << 10;

/// Bytes of an event beside its hashes, at most.
const EVENT_HEAD_BYTES: usize = 64;

/// Load on an endpoint: key, requests, tokens, milliseconds.
#[derive(Serialize, Deserialize)]
pub(super) struct UseRecord([u8; 8], u32, u32, u32);

/// Band: priority, waiting, milliseconds of the oldest, in flight, arrivals.
#[derive(Serialize, Deserialize)]
pub(super) struct BandRecord(i32, u32, u32, u32, u64);

/// Tokens of a tenant: priority, fairness id, tokens.
#[derive(Serialize, Deserialize)]
pub(crate) struct TenantRecord<'a>(i32, &'a str, u64);

/// Amounts: requests, tokens.
#[derive(Serialize, Deserialize)]
pub(super) struct AmountsRecord(Option<u64>, Option<u64>);

/// Credit: epoch, number, amounts, reserves of priority and places.
#[derive(Serialize, Deserialize)]
pub(super) struct CreditRecord {
    epoch: u64,
    number: u64,
    amounts: AmountsRecord,
    reserves: Vec<(i32, u32)>,
}

impl AmountsRecord {
    pub(super) const fn from_amounts(amounts: Amounts) -> Self {
        let Amounts { requests, tokens } = amounts;
        Self(requests, tokens)
    }

    pub(super) const fn into_amounts(self) -> Amounts {
        let Self(requests, tokens) = self;
        Amounts { requests, tokens }
    }
}

impl UseRecord {
    pub(super) fn from_use(it: &EndpointUse) -> Self {
        Self(it.endpoint.0.to_le_bytes(), it.requests, it.tokens, millis(it.busy_for))
    }

    pub(super) fn into_use(self) -> EndpointUse {
        let Self(key, requests, tokens, busy_ms) = self;
        let endpoint = EndpointKey(u64::from_le_bytes(key));
        EndpointUse { endpoint, requests, tokens, busy_for: Duration::from_millis(busy_ms.into()) }
    }
}

impl BandRecord {
    pub(super) fn from_band(band: &BandUse) -> Self {
        let BandUse { priority, waiting, oldest, in_flight, arrivals } = *band;
        Self(priority.0, waiting, millis(oldest), in_flight, arrivals)
    }

    pub(super) fn into_band(self) -> BandUse {
        let Self(priority, waiting, oldest_ms, in_flight, arrivals) = self;
        let oldest = Duration::from_millis(oldest_ms.into());
        BandUse { priority: Priority(priority), waiting, oldest, in_flight, arrivals }
    }
}

impl<'a> TenantRecord<'a> {
    pub(crate) fn from_tenant(it: &'a TenantTokens) -> Self {
        Self(it.flow.priority.0, it.flow.id.as_str(), it.tokens)
    }

    pub(crate) fn into_tenant(self) -> TenantTokens {
        let Self(priority, id, tokens) = self;
        let flow = FlowKey { id: FairnessId::new(id), priority: Priority(priority) };
        TenantTokens { flow, tokens }
    }
}

impl CreditRecord {
    pub(super) fn from_credit(credit: &Credit) -> Result<Self, FrameError> {
        let Credit { epoch, number, amounts, reserves } = credit;
        let reserve = |it: &BandReserve| (it.priority.0, it.places);
        let record = Self {
            epoch: *epoch,
            number: *number,
            amounts: AmountsRecord::from_amounts(*amounts),
            reserves: reserves.iter().map(reserve).collect(),
        };
        record.check()?;
        Ok(record)
    }

    fn check(&self) -> Result<(), FrameError> {
        bound(self.reserves.len() <= BANDS_MAX, "reserves", "64")
    }

    pub(super) fn into_credit(self) -> Result<Credit, FrameError> {
        self.check()?;
        let Self { epoch, number, amounts, reserves } = self;
        let reserve = |(priority, places)| BandReserve { priority: Priority(priority), places };
        let reserves = reserves.into_iter().map(reserve).collect();
        Ok(Credit { epoch, number, amounts: amounts.into_amounts(), reserves })
    }
}

/// Returns the bytes of a batch of events, as of this moment: as many events as fit into
/// [`EVENT_BYTES_MAX`], the oldest first.
pub(super) fn write_events(batch: &EventBatch, now: Instant) -> Result<Vec<u8>, FrameError> {
    let mut room = EVENT_BYTES_MAX;
    let packed = batch.events.iter().map(|event| (event, pack(&event.chain)));
    let fitting = packed.take_while(|(_, hashes)| {
        let left = room.checked_sub(hashes.len() + EVENT_HEAD_BYTES);
        room = left.unwrap_or(0);
        left.is_some()
    });
    let fitting: Vec<(&PlacementEvent, Vec<u8>)> = fitting.collect();
    let records = fitting.iter().map(|(event, hashes)| EventRecord::from_event(event, hashes, now));
    let records: Vec<EventRecord<'_>> = records.collect();
    records.iter().try_for_each(EventRecord::check)?;
    write(&(batch.first, records))
}

/// Reads a batch of events that came at this moment.
pub(super) fn read_events(bytes: &[u8], now: Instant) -> Result<EventBatch, FrameError> {
    let (first, records): (u64, Vec<EventRecord<'_>>) = read(bytes)?;
    bound(records.len() <= EVENTS_MAX, "placement events", "1,024")?;
    let events = records.iter().map(|record| record.event(now)).collect::<Result<_, _>>()?;
    Ok(EventBatch { first, events })
}

/// Reads a section, whatever a newer version has appended to it.
pub(super) fn read<'a, T: Deserialize<'a>>(inside: &'a [u8]) -> Result<T, FrameError> {
    postcard::take_from_bytes(inside).map(|(value, _)| value).map_err(|_| FrameError::Malformed)
}

/// Returns the bytes of a section.
pub(super) fn write(value: &impl Serialize) -> Result<Vec<u8>, FrameError> {
    postcard::to_extend(value, Vec::new()).map_err(|_| FrameError::Malformed)
}
