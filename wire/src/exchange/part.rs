//! What the exchange tells one gateway, in bytes: behind a snapshot in a push, and in shared data.

use picker_core::{
    Instant,
    exchange::{GATEWAYS_MAX, GatewayId, GatewayPart},
    flow::Priority,
};

use super::{
    PART_BYTES_MAX,
    record::{CreditRecord, TenantRecord, UseRecord, read, read_events, write, write_events},
    report::{check_endpoints, check_tenants},
};
use crate::{
    frame::{Frame, FrameError, bound},
    tally::chunk::Bytes,
};

pub(crate) const FRAME: Frame = Frame { magic: *b"LPY", version: 1 };

/// Kinds of sections. A number is never used again for another meaning, and an unknown one is passed over.
const LOADS: u8 = 1;
const EVENTS: u8 = 2;
const GATEWAYS: u8 = 3;
const FLOWS: u8 = 4;
const CREDIT: u8 = 5;

/// Returns the bytes of a part, as of this moment. Events that do not fit are left for the next one.
///
/// # Errors
/// For a part that is larger than [`decode`] takes.
pub fn encode(part: &GatewayPart, now: Instant) -> Result<Vec<u8>, FrameError> {
    check(part)?;
    let endpoints: Vec<UseRecord> = part.endpoints.iter().map(UseRecord::from_use).collect();
    let loads = write(&(part.gateway.0, part.epoch, part.number, part.next_event, endpoints))?;
    let events = write_events(&part.events, now)?;
    let gateways: Vec<[u8; 8]> = part.gateways.iter().map(|it| it.0.to_le_bytes()).collect();
    let gateways = write(&gateways)?;
    let tenants: Vec<TenantRecord<'_>> =
        part.tenants.iter().map(TenantRecord::from_tenant).collect();
    let flows = write(&(part.highest_waiting.map(|priority| priority.0), tenants))?;
    let credit = write(&part.credit.as_ref().map(CreditRecord::from_credit).transpose()?)?;
    let sections = [
        (LOADS, Bytes(&loads)),
        (EVENTS, Bytes(&events)),
        (GATEWAYS, Bytes(&gateways)),
        (FLOWS, Bytes(&flows)),
        (CREDIT, Bytes(&credit)),
    ];
    let bytes = FRAME.encode(&sections.as_slice())?;
    bound(bytes.len() <= PART_BYTES_MAX, "part", "512 KiB")?;
    Ok(bytes)
}

/// Reads a part that came at this moment.
///
/// # Errors
/// For another magic or version, and for a body that is cut off, too long or out of bounds.
pub fn decode(bytes: &[u8], now: Instant) -> Result<GatewayPart, FrameError> {
    bound(bytes.len() <= PART_BYTES_MAX, "part", "512 KiB")?;
    let sections: Vec<(u8, &[u8])> = FRAME.decode(bytes)?;
    let mut part = GatewayPart::default();
    for (kind, inside) in sections {
        match kind {
            LOADS => {
                let (gateway, epoch, number, next_event, endpoints): Loads = read(inside)?;
                (part.gateway, part.epoch, part.number) = (GatewayId(gateway), epoch, number);
                part.next_event = next_event;
                part.endpoints = endpoints.into_iter().map(UseRecord::into_use).collect();
            }
            EVENTS => part.events = read_events(inside, now)?,
            GATEWAYS => {
                let gateways: Vec<[u8; 8]> = read(inside)?;
                let id = |bytes| GatewayId(u64::from_le_bytes(bytes));
                part.gateways = gateways.into_iter().map(id).collect();
            }
            FLOWS => {
                let (highest, tenants): (Option<i32>, Vec<TenantRecord<'_>>) = read(inside)?;
                part.highest_waiting = highest.map(Priority);
                part.tenants = tenants.into_iter().map(TenantRecord::into_tenant).collect();
            }
            CREDIT => {
                let credit: Option<CreditRecord> = read(inside)?;
                part.credit = credit.map(CreditRecord::into_credit).transpose()?;
            }
            _ => (),
        }
    }
    check(&part)?;
    Ok(part)
}

type Loads = (u64, u64, u64, u64, Vec<UseRecord>);

fn check(part: &GatewayPart) -> Result<(), FrameError> {
    check_endpoints(&part.endpoints)?;
    check_tenants(&part.tenants)?;
    bound(part.gateways.len() <= GATEWAYS_MAX, "gateways", "64")?;
    bound(part.gateways.is_sorted_by(|one, next| one < next), "gateways", "ascending, each once")
}
