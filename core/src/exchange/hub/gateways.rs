//! A gateway as the exchange knows it.

use std::time::Duration;

use super::GatewayStatus;
use crate::{
    exchange::{BandUse, EVENTS_MAX, EndpointUse, GatewayReport, Inbox, Outbox, kept::KeptEvents},
    flow::BANDS_MAX,
    model::{Amounts, ENDPOINTS_MAX, Instant, PlacementEvent, Priority},
};

/// Kept placements that a gateway which starts is told in one part: at 20 parts a second, an index of
/// 16,384 prompts is warm after three seconds, and the first part brings what was used last.
const WARM_CHUNK: usize = 256;

/// Time over which arrivals are averaged: long enough for a band of one request a second to keep its
/// place, short enough to follow the end of a burst.
const RATE_SECONDS: f64 = 5.0;

/// Time for which a credit can't be changed: a report comes back with the next push, and what it leaves
/// to others goes down with the one after it.
const TWO_TICKS_SECONDS: f64 = 0.1;

/// Mean number of arrivals in that time below which no place is kept for them: one request in five
/// seconds.
const ARRIVALS_MIN: f64 = 0.02;

/// Standard deviations above the mean number of arrivals for which places are kept. Arrivals come at
/// random: with a place for the mean alone one high request in ten waits, and low ones go elsewhere
/// meanwhile.
const DEVIATIONS: f64 = 2.5;

/// A gateway, by its latest report.
#[derive(Clone, Debug)]
pub(super) struct KnownGateway {
    /// The latest report, without its events.
    pub(super) report: GatewayReport,
    reported_at: Instant,
    pub(super) inbox: Inbox,
    pub(super) outbox: Outbox,
    /// Number of the last part.
    parts: u64,
    /// Arrivals a second of each band of the report, in its order.
    rates: Vec<(Priority, f64)>,
    /// The next use of a kept placement that it is to be told; `None` once it is warm.
    warming: Option<u64>,
}

impl KnownGateway {
    /// Makes a gateway that reports to the exchange of this epoch for the first time. The streams go on
    /// where it says: the exchange may have forgotten it while it was cut off.
    pub(super) fn new(epoch: u64, report: &GatewayReport) -> Self {
        let is_known = report.epoch == epoch;
        let (parts, next) = if is_known { (report.taken, report.next_event) } else { (0, 0) };
        Self {
            report: GatewayReport::default(),
            reported_at: Instant::default(),
            inbox: Inbox::default(),
            outbox: Outbox::starting_at(next),
            parts,
            rates: Vec::new(),
            warming: (next == 0).then_some(0),
        }
    }

    /// Takes in a report. Returns the events that are new.
    pub(super) fn take(
        &mut self,
        now: Instant,
        epoch: u64,
        mut report: GatewayReport,
    ) -> Vec<PlacementEvent> {
        if report.epoch == epoch {
            self.outbox.acknowledge(report.next_event);
        }
        report.endpoints.truncate(ENDPOINTS_MAX);
        report.bands.truncate(BANDS_MAX);
        report.tenants.clear();
        let events = self.inbox.take(std::mem::take(&mut report.events));
        let passed = now.saturating_since(self.reported_at).as_secs_f64();
        let rate = |band: &BandUse| (band.priority, self.rate(band, passed));
        self.rates = report.bands.iter().map(rate).collect();
        (self.report, self.reported_at) = (report, now);
        events
    }

    /// Returns the mean rate of a band's arrivals, with those of the last `passed` seconds.
    fn rate(&self, band: &BandUse, passed: f64) -> f64 {
        let before = self.report.bands.iter().find(|it| it.priority == band.priority);
        // Of a gateway that is new here, nothing is known of the time over which its requests came.
        let Some(before) = before else { return 0.0 };
        let known = self.rates.iter().find(|(priority, _)| *priority == band.priority);
        let known = known.map_or(0.0, |(_, rate)| *rate);
        let arrivals = band.arrivals.saturating_sub(before.arrivals);
        let weight = 1.0 - (-passed / RATE_SECONDS).exp();
        known + weight * (super::float(arrivals) / passed.max(1e-3) - known)
    }

    /// Returns the places that a band needs for requests that come before its credit can be changed.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative, and beyond the last u64 it becomes that"
    )]
    pub(super) fn reserve(&self, priority: Priority) -> u64 {
        let rate = self.rates.iter().find(|(other, _)| *other == priority);
        let arrivals = rate.map_or(0.0, |(_, rate)| rate * TWO_TICKS_SECONDS);
        if arrivals < ARRIVALS_MIN {
            return 0;
        }
        (arrivals + DEVIATIONS * arrivals.sqrt()).ceil() as u64
    }

    /// Returns the age of the latest report.
    pub(super) fn age(&self, now: Instant) -> Duration {
        now.saturating_since(self.reported_at)
    }

    /// Returns its load on each endpoint, as far as prompts are not computed since the report.
    pub(super) fn uses(&self, now: Instant) -> impl Iterator<Item = EndpointUse> {
        let age = self.age(now);
        let since = move |it: &EndpointUse| EndpointUse {
            busy_for: it.busy_for.saturating_sub(age),
            ..*it
        };
        self.report.endpoints.iter().map(since)
    }

    /// True if requests are in flight or wait there, or events are to be told to it.
    pub(super) fn is_active(&self) -> bool {
        let waits = self.report.bands.iter().any(|band| band.waiting > 0);
        waits || !self.report.endpoints.is_empty() || self.outbox.len() > 0
    }

    /// Returns the number of the next part.
    pub(super) fn next_part(&mut self) -> u64 {
        self.parts = self.parts.saturating_add(1);
        self.parts
    }

    /// Adds kept placements and names to what a gateway that has just started is told, as many as one part takes.
    pub(super) fn warm_up(&mut self, kept: &KeptEvents) {
        let Some(first) = self.warming else { return };
        // What others tell meanwhile comes first: it is newer.
        let room = EVENTS_MAX.saturating_sub(self.outbox.len()).min(WARM_CHUNK);
        let chunk = kept.since(first, room);
        self.warming = chunk.last().map(|(number, _)| number + 1).or(if room == 0 {
            Some(first)
        } else {
            None
        });
        self.outbox.push(chunk.into_iter().map(|(_, event)| event.clone()));
    }

    pub(super) fn status(&self, now: Instant) -> GatewayStatus {
        let GatewayReport { gateway, used, credit, .. } = &self.report;
        GatewayStatus {
            gateway: *gateway,
            age: self.age(now),
            credit: credit.as_ref().map_or_else(Amounts::default, |credit| credit.amounts),
            used: *used,
            events: self.inbox.next(),
            dropped: self.outbox.dropped(),
        }
    }
}
