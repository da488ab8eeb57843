//! A gateway's report on one pool, in bytes.

use picker_core::{
    ENDPOINTS_MAX, Instant,
    exchange::{BandUse, EndpointUse, GatewayId, GatewayReport, TENANTS_MAX, TenantTokens},
    flow::BANDS_MAX,
};

use super::record::{
    AmountsRecord, BandRecord, CreditRecord, TenantRecord, UseRecord, read, read_events, write,
    write_events,
};
use crate::{
    frame::{Frame, FrameError, bound},
    tally::chunk::Bytes,
};

/// Media type of a report by itself, which answers a push that asks for no reply.
pub const MEDIA_TYPE: &str = "application/vnd.llm-picker.exchange";

/// Bytes of a report at most: the loads of 4,096 endpoints take 100 kB, and events are
/// [`super::EVENT_BYTES_MAX`].
pub const REPORT_BYTES_MAX: usize = 512 << 10;

const FRAME: Frame = Frame { magic: *b"LPX", version: 1 };

/// Kinds of sections. A number is never used again for another meaning, and an unknown one is passed over.
const LOADS: u8 = 1;
const EVENTS: u8 = 2;
const FLOWS: u8 = 3;
const CREDIT: u8 = 4;

/// Returns the bytes of a report, as of this moment. Events that do not fit are left for the next one.
///
/// # Errors
/// For a part that is larger than [`decode`] takes.
pub fn encode(report: &GatewayReport, now: Instant) -> Result<Vec<u8>, FrameError> {
    check(report)?;
    let endpoints: Vec<UseRecord> = report.endpoints.iter().map(UseRecord::from_use).collect();
    let loads = write(&(report.number, report.epoch, report.taken, report.next_event, endpoints))?;
    let events = write_events(&report.events, now)?;
    let bands: Vec<BandRecord> = report.bands.iter().map(BandRecord::from_band).collect();
    let tenants: Vec<TenantRecord<'_>> =
        report.tenants.iter().map(TenantRecord::from_tenant).collect();
    let flows = write(&(bands, tenants))?;
    let credit = report.credit.as_ref().map(CreditRecord::from_credit).transpose()?;
    let amounts = [report.limits, report.used].map(AmountsRecord::from_amounts);
    let credit = write(&(amounts, credit))?;
    let sections = [
        (LOADS, Bytes(&loads)),
        (EVENTS, Bytes(&events)),
        (FLOWS, Bytes(&flows)),
        (CREDIT, Bytes(&credit)),
    ];
    let bytes = FRAME.encode(&sections.as_slice())?;
    bound(bytes.len() <= REPORT_BYTES_MAX, "report", "512 KiB")?;
    Ok(bytes)
}

/// Reads a report of this gateway, which came at this moment.
///
/// # Errors
/// For another magic or version, and for a body that is cut off, too long or out of bounds.
pub fn decode(gateway: GatewayId, bytes: &[u8], now: Instant) -> Result<GatewayReport, FrameError> {
    bound(bytes.len() <= REPORT_BYTES_MAX, "report", "512 KiB")?;
    let sections: Vec<(u8, &[u8])> = FRAME.decode(bytes)?;
    let mut report = GatewayReport { gateway, ..GatewayReport::default() };
    for (kind, inside) in sections {
        match kind {
            LOADS => {
                let (number, epoch, taken, next_event, endpoints): Loads = read(inside)?;
                (report.number, report.epoch, report.taken) = (number, epoch, taken);
                report.next_event = next_event;
                report.endpoints = endpoints.into_iter().map(UseRecord::into_use).collect();
            }
            EVENTS => report.events = read_events(inside, now)?,
            FLOWS => {
                let (bands, tenants): (Vec<BandRecord>, Vec<TenantRecord<'_>>) = read(inside)?;
                report.bands = bands.into_iter().map(BandRecord::into_band).collect();
                report.tenants = tenants.into_iter().map(TenantRecord::into_tenant).collect();
            }
            CREDIT => {
                let (amounts, credit): ([AmountsRecord; 2], Option<CreditRecord>) = read(inside)?;
                [report.limits, report.used] = amounts.map(AmountsRecord::into_amounts);
                report.credit = credit.map(CreditRecord::into_credit).transpose()?;
            }
            _ => (),
        }
    }
    check(&report)?;
    Ok(report)
}

type Loads = (u64, u64, u64, u64, Vec<UseRecord>);

fn check(report: &GatewayReport) -> Result<(), FrameError> {
    let GatewayReport { endpoints, bands, tenants, .. } = report;
    check_endpoints(endpoints)?;
    bound(bands.len() <= BANDS_MAX, "bands", "64")?;
    bound(is_falling(bands, |band| band.priority), "bands", "falling priorities, each once")?;
    check_tenants(tenants)
}

/// Checks loads: not too many, and each endpoint once.
pub(super) fn check_endpoints(endpoints: &[EndpointUse]) -> Result<(), FrameError> {
    bound(endpoints.len() <= ENDPOINTS_MAX, "endpoints", "4,096")?;
    let is_rising = endpoints.is_sorted_by(|one, next| one.endpoint.0 < next.endpoint.0);
    bound(is_rising, "endpoints", "ascending keys, each once")
}

/// Checks tenants: not too many, the highest first.
pub(super) fn check_tenants(tenants: &[TenantTokens]) -> Result<(), FrameError> {
    bound(tenants.len() <= TENANTS_MAX, "tenants", "64")
}

fn is_falling<T: Ord>(bands: &[BandUse], key: impl Fn(&BandUse) -> T) -> bool {
    bands.is_sorted_by(|one, next| key(one) > key(next))
}
