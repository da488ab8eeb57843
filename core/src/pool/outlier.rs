//! Endpoints that fail are ejected: left alone for a while, then probed, and taken back once they have served.
//!
//! An ejected endpoint adds no room to its pool before it has served again. When its time is up, one request of all
//! workers tries it, on a place of the others.

use std::time::Duration;

use super::{Candidate, EndpointState, Slot};
use crate::{
    ledger::{Accounts, Sends},
    model::{ClientId, Fault, Health, Instant},
    saturation::Load,
};

/// The recent failures of each endpoint.
#[derive(Clone, Debug, Default)]
pub(crate) struct OutlierDetector {
    by_slot: Vec<Record>,
    /// Number of times that an endpoint was ejected or taken back.
    changes: u64,
}

/// The failures of one endpoint since it last served a request.
#[derive(Clone, Copy, Debug, Default)]
struct Record {
    failures: u32,
    /// True if an answer broke off after it had begun: then only a whole one shows that it serves.
    broke: bool,
    /// Time until which the endpoint is left alone; after that one request may try it.
    until: Instant,
    /// Clients of failures of unclear cause that have counted, the newest first.
    counted: [Option<ClientId>; OutlierDetector::FAILURES as usize],
}

impl OutlierDetector {
    /// Failures in a row: one or two happen to every engine that restarts a worker or meets a
    /// request that it cannot digest, and Envoy's fallback has served those already.
    const FAILURES: u32 = 3;

    /// The first time; it doubles with each probe that fails. A vLLM that crashed needs a minute to
    /// come back, a connection that was reset by chance needs nothing.
    const FIRST: Duration = Duration::from_secs(2);

    /// Doublings at most: 64 s, so that an endpoint that is back is found within about a minute.
    const DOUBLINGS: u32 = 5;

    /// A probe that is not answered within this time makes way for the next.
    const PROBE: Duration = Duration::from_secs(10);

    /// Notes that an endpoint failed a request.
    pub(crate) fn failed(&mut self, slot: Slot, at: Instant, fault: Fault) {
        self.count(slot, at, fault);
    }

    /// Notes that a response of an endpoint broke off.
    pub(crate) fn broke(&mut self, slot: Slot, at: Instant, fault: Fault) {
        if let Some(record) = self.count(slot, at, fault) {
            record.broke = true;
        }
    }

    /// Returns the record of a failure that counts.
    fn count(&mut self, slot: Slot, at: Instant, fault: Fault) -> Option<&mut Record> {
        if self.by_slot.len() <= slot.index() {
            self.by_slot.resize(slot.index() + 1, Record::default());
        }
        let record = self.by_slot.get_mut(slot.index())?;
        if !record.counts(fault) {
            return None;
        }
        record.failures = record.failures.saturating_add(1);
        self.changes += u64::from(record.failures == Self::FAILURES);
        if let Some(beyond) = record.failures.checked_sub(Self::FAILURES) {
            let until = at + Self::FIRST * (1 << beyond.min(Self::DOUBLINGS));
            record.until = record.until.max(until);
        }
        Some(record)
    }

    /// Notes that an endpoint served a request, or left the pool.
    pub(crate) fn clear(&mut self, slot: Slot) {
        self.changes += u64::from(self.ejects(slot));
        if let Some(record) = self.by_slot.get_mut(slot.index()) {
            *record = Record::default();
        }
    }

    /// True if it failed since it last served: then its next success is news.
    pub(crate) fn has_failed(&self, slot: Slot) -> bool {
        self.by_slot.get(slot.index()).is_some_and(|record| record.failures > 0)
    }

    /// True if it failed to answer since then, and no more: an answer that begins shows that it is
    /// back. Where answers broke off, each of those had begun as well.
    pub(crate) fn ends_with_a_beginning(&self, slot: Slot) -> bool {
        self.by_slot.get(slot.index()).is_some_and(|record| record.failures > 0 && !record.broke)
    }

    /// True if the endpoint is ejected: it failed too often, and has not served since.
    pub(crate) fn ejects(&self, slot: Slot) -> bool {
        self.by_slot.get(slot.index()).is_some_and(Record::is_ejected)
    }

    /// Returns the number of times that an endpoint was ejected or taken back, with which the room of the pool changed.
    pub(crate) fn changes(&self) -> u64 {
        self.changes
    }

    /// True if one request may try an ejected endpoint.
    fn may_probe(&self, candidate: &Candidate<'_>, now: Instant) -> bool {
        let until = self.by_slot.get(candidate.slot.index()).map_or(now, |record| record.until);
        now >= until && !self.is_probed(candidate.slot, candidate.sends, now)
    }

    /// True if a request is trying an ejected endpoint. The ledger says when any worker sent the last one there: if that
    /// was since the time was up, it is the probe, as long as it is in flight and may still be answered.
    fn is_probed(&self, slot: Slot, sends: Sends, now: Instant) -> bool {
        let until = self.by_slot.get(slot.index()).map_or(now, |record| record.until);
        let due_for = now.saturating_since(until).min(Self::PROBE);
        now >= until && sends.any_within(due_for, now)
    }

    /// Drops the ejected candidates but those that are to be probed, unless more than half are ejected: then they are
    /// not at fault, or the rest could not carry the load (Envoy: panic threshold). True if it dropped any.
    pub(crate) fn narrow(&self, now: Instant, candidates: &mut Vec<Candidate<'_>>) -> bool {
        if self.by_slot.is_empty() {
            return false;
        }
        let ejected = candidates.iter().filter(|it| self.ejects(it.slot)).count();
        if ejected == 0 || is_most(ejected, candidates.len()) {
            return false;
        }
        let all = candidates.len();
        candidates.retain(|it| !self.ejects(it.slot) || self.may_probe(it, now));
        candidates.len() < all
    }

    /// True if no endpoint serves: each is down, or is ejected and not due to be tried. One that is due takes a request, which
    /// alone can show that it is back.
    pub(crate) fn all_fail(
        &self,
        now: Instant,
        members: &[EndpointState],
        sent: &Accounts,
    ) -> bool {
        members.iter().all(|member| {
            let until = self.by_slot.get(member.slot.index()).map_or(now, |record| record.until);
            let sends = || sent.for_endpoint(member.address.into()).sends;
            let is_due = || now >= until && !self.is_probed(member.slot, sends(), now);
            member.health == Health::Down || (self.ejects(member.slot) && !is_due())
        })
    }

    /// Returns the loads of the members that add room: those that are up, if any is, and of them those that are
    /// not ejected. Ejected endpoints count where they are chosen all the same: if they are more than half, or all
    /// that a stage has. A probe takes a place of the others: Envoy takes it to one of them if it fails.
    pub(crate) fn choosable(
        &self,
        now: Instant,
        members: &[EndpointState],
        loads: Vec<Load>,
        sent: &Accounts,
    ) -> Vec<Load> {
        let is_up = |member: &EndpointState| member.health == Health::Up;
        let any_up = members.iter().any(is_up);
        let seen = members.iter().zip(loads).filter(|(member, _)| is_up(member) || !any_up);
        let (ejected, mut kept): (Vec<_>, Vec<_>) =
            seen.partition(|(member, _)| self.ejects(member.slot));
        if ejected.is_empty() {
            return kept.into_iter().map(|(_, load)| load).collect();
        }
        let all = is_most(ejected.len(), ejected.len() + kept.len());
        let lacks = |is_of: fn(&Load) -> bool| !kept.iter().any(|(_, load)| is_of(load));
        let (prefills, decodes) = (lacks(Load::prefills), lacks(Load::decodes));
        let counts =
            |load: &Load| all || (prefills && load.prefills()) || (decodes && load.decodes());
        let (counted, left): (Vec<_>, Vec<_>) =
            ejected.into_iter().partition(|(_, load)| counts(load));
        kept.extend(counted);
        let mut loads: Vec<Load> = kept.into_iter().map(|(_, load)| load).collect();
        for (member, probe) in left {
            let sends = sent.for_endpoint(member.address.into()).sends;
            if self.is_probed(member.slot, sends, now) {
                take_one(&mut loads, &probe);
            }
        }
        loads
    }
}

/// Counts one of an ejected endpoint's requests at the one that has the fewest.
fn take_one(loads: &mut [Load], ejected: &Load) {
    let least = loads.iter_mut().filter(|load| load.decodes()).min_by_key(|load| load.in_flight);
    if let Some(load) = least {
        load.in_flight = load.in_flight.saturating_add(1);
        load.sent_since = load.sent_since.saturating_add(1);
        load.in_flight_tokens += ejected.in_flight_tokens / u64::from(ejected.in_flight.max(1));
    }
}

/// True if so many of all endpoints are more than half.
fn is_most(some: usize, all: usize) -> bool {
    some * 2 > all
}

impl Record {
    fn is_ejected(&self) -> bool {
        self.failures >= OutlierDetector::FAILURES
    }

    /// True if a failure says something of the endpoint that is not known yet.
    fn counts(&mut self, fault: Fault) -> bool {
        let Fault::Unclear(client) = fault else { return true };
        if self.counted.contains(&Some(client)) {
            return false;
        }
        self.counted.rotate_right(1);
        if let Some(newest) = self.counted.first_mut() {
            *newest = Some(client);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::state::tests::member;

    const SLOT: Slot = Slot(2);

    /// Notes a failure of which the endpoint is the cause.
    fn fail(avoidance: &mut OutlierDetector, at: Instant) {
        avoidance.failed(SLOT, at, Fault::Endpoint);
    }

    /// True if requests go elsewhere, with these sends to the endpoint.
    fn is_avoided(outliers: &OutlierDetector, sends: Sends, now: Instant) -> bool {
        let mut member = member(&[]);
        member.slot = SLOT;
        let candidate = Candidate { sends, ..Candidate::idle(&member, 0) };
        outliers.ejects(SLOT) && !outliers.may_probe(&candidate, now)
    }

    fn avoids(outliers: &OutlierDetector, now: Instant) -> bool {
        is_avoided(outliers, Sends::default(), now)
    }

    /// Notes an error that this client got.
    fn err(avoidance: &mut OutlierDetector, client: u64) {
        avoidance.failed(SLOT, at(0), Fault::Unclear(ClientId(client)));
    }

    #[test]
    fn a_load_of_more_than_fits_in_a_number_takes_another() {
        let full = Load { in_flight: u32::MAX, sent_since: u32::MAX, ..Load::default() };
        let mut loads = [full];
        take_one(&mut loads, &full);
        assert_eq!(loads[0].in_flight, u32::MAX);
    }

    #[test]
    fn one_client_alone_has_nobody_avoided() {
        let mut avoidance = OutlierDetector::default();
        (0..99).for_each(|_| err(&mut avoidance, 1));
        (0..99).for_each(|turn| err(&mut avoidance, turn % 2));
        assert!(avoidance.has_failed(SLOT) && !avoids(&avoidance, at(1)));
        avoidance.clear(SLOT);
        err(&mut avoidance, 1);
        fail(&mut avoidance, at(0));
        err(&mut avoidance, 1);
        assert!(!avoids(&avoidance, at(1)));
        err(&mut avoidance, 2);
        assert!(avoids(&avoidance, at(1)), "two clients, and a failure of its own");
    }

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    #[test]
    fn three_in_a_row_and_twice_as_long_each_time() {
        let mut avoidance = OutlierDetector::default();
        fail(&mut avoidance, at(0));
        fail(&mut avoidance, at(1));
        assert!(!avoids(&avoidance, at(1)));
        avoidance.clear(SLOT);
        for ms in [10, 11, 12] {
            fail(&mut avoidance, at(ms));
        }
        assert!(avoids(&avoidance, at(2_011)) && !avoids(&avoidance, at(2_012)));
        fail(&mut avoidance, at(3_000));
        assert!(avoids(&avoidance, at(6_999)) && !avoids(&avoidance, at(7_000)));
        (0..40).for_each(|_| fail(&mut avoidance, at(10_000)));
        assert!(avoids(&avoidance, at(73_999)) && !avoids(&avoidance, at(74_000)));
        avoidance.clear(SLOT);
        assert!(!avoids(&avoidance, at(10_001)) && !avoidance.has_failed(SLOT));
    }

    #[test]
    fn a_beginning_ends_no_row_in_which_answers_broke_off() {
        let mut avoidance = OutlierDetector::default();
        assert!(!avoidance.ends_with_a_beginning(SLOT));
        fail(&mut avoidance, at(0));
        assert!(avoidance.ends_with_a_beginning(SLOT));
        avoidance.broke(SLOT, at(1), Fault::Endpoint);
        fail(&mut avoidance, at(2));
        assert!(!avoidance.ends_with_a_beginning(SLOT) && avoids(&avoidance, at(3)));
        avoidance.clear(SLOT);
        fail(&mut avoidance, at(4));
        assert!(avoidance.ends_with_a_beginning(SLOT), "a new row");
    }

    #[test]
    fn one_probe_at_a_time() {
        let mut avoidance = OutlierDetector::default();
        (0..3).for_each(|_| fail(&mut avoidance, at(0)));
        let mut sends = Sends::default();
        sends.add(at(1_900));
        let avoids = |sends, ms| is_avoided(&avoidance, sends, at(ms));
        assert!(avoids(sends, 1_999) && !avoids(sends, 2_000), "time for a probe");
        sends.add(at(3_000));
        assert!(avoids(sends, 3_000) && avoids(sends, 12_900), "which one request is");
        assert!(!avoids(sends, 13_100), "and that got lost");
    }
}
