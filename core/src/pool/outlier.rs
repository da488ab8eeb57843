//! Endpoints that fail are left alone for a while, then probed.

use std::time::Duration;

use super::{Candidate, EndpointState, Slot};
use crate::{
    model::{ClientId, Fault, Health, Instant},
    saturation::Load,
};

/// The recent failures of each endpoint.
#[derive(Clone, Debug, Default)]
pub(crate) struct OutlierDetector {
    by_slot: Vec<Record>,
}

/// The failures of one endpoint since it last served a request.
#[derive(Clone, Copy, Debug, Default)]
struct Record {
    failures: u32,
    /// True if an answer broke off after it had begun: then only a whole one shows that it serves.
    broke: bool,
    /// Time until which the endpoint is ejected; after that one request may try.
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

    /// A probe that is not answered within this time makes room for the next.
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
        if let Some(beyond) = record.failures.checked_sub(Self::FAILURES) {
            let until = at + Self::FIRST * (1 << beyond.min(Self::DOUBLINGS));
            record.until = record.until.max(until);
        }
        Some(record)
    }

    /// Notes that an endpoint served a request, or left the pool.
    pub(crate) fn clear(&mut self, slot: Slot) {
        if let Some(record) = self.by_slot.get_mut(slot.index()) {
            *record = Record::default();
        }
    }

    /// Notes that a request goes there. If it is a probe, no other goes for a while.
    pub(crate) fn sent(&mut self, slot: Slot, at: Instant) {
        if let Some(record) = self.by_slot.get_mut(slot.index())
            && record.failures >= Self::FAILURES
        {
            record.until = record.until.max(at + Self::PROBE);
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

    /// True if requests should go elsewhere.
    pub(crate) fn avoids(&self, slot: Slot, now: Instant) -> bool {
        let record = self.by_slot.get(slot.index()).copied().unwrap_or_default();
        record.failures >= Self::FAILURES && now < record.until
    }

    /// Drops the ejected candidates, unless they are more than half: then they are not at fault, or
    /// the rest could not carry the load (Envoy: panic threshold). True if it dropped any.
    pub(crate) fn narrow(&self, now: Instant, candidates: &mut Vec<Candidate<'_>>) -> bool {
        if self.by_slot.is_empty() {
            return false;
        }
        let is_avoided = |it: &Candidate<'_>| self.avoids(it.slot, now);
        let avoided = candidates.iter().filter(|it| is_avoided(it)).count();
        let drops = avoided > 0 && avoided * 2 <= candidates.len();
        if drops {
            candidates.retain(|it| !is_avoided(it));
        }
        drops
    }

    /// Returns the loads of the members that a request may go to: those that are up, if any is, and of them those that are
    /// not ejected. An endpoint to which no request goes adds no room to a pool. Ejected endpoints count where they are
    /// chosen all the same: if they are more than half, or all that a stage has.
    pub(crate) fn choosable(
        &self,
        now: Instant,
        members: &[EndpointState],
        loads: Vec<Load>,
    ) -> Vec<Load> {
        let is_up = |member: &EndpointState| member.health == Health::Up;
        let any_up = members.iter().any(is_up);
        let seen = members.iter().zip(loads).filter(|(member, _)| is_up(member) || !any_up);
        let (ejected, mut kept): (Vec<_>, Vec<_>) =
            seen.partition(|(member, _)| self.avoids(member.slot, now));
        let all = ejected.len() * 2 > ejected.len() + kept.len();
        let lacks = |is_of: fn(&Load) -> bool| !kept.iter().any(|(_, load)| is_of(load));
        let (prefills, decodes) = (lacks(Load::prefills), lacks(Load::decodes));
        let counts =
            |load: &Load| all || (prefills && load.prefills()) || (decodes && load.decodes());
        kept.extend(ejected.into_iter().filter(|(_, load)| counts(load)));
        kept.into_iter().map(|(_, load)| load).collect()
    }
}

impl Record {
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

    const SLOT: Slot = Slot(2);

    /// Notes a failure of which the endpoint is the cause.
    fn fail(avoidance: &mut OutlierDetector, at: Instant) {
        avoidance.failed(SLOT, at, Fault::Endpoint);
    }

    /// Notes an error that this client got.
    fn err(avoidance: &mut OutlierDetector, client: u64) {
        avoidance.failed(SLOT, at(0), Fault::Unclear(ClientId(client)));
    }

    #[test]
    fn one_client_alone_has_nobody_avoided() {
        let mut avoidance = OutlierDetector::default();
        (0..99).for_each(|_| err(&mut avoidance, 1));
        (0..99).for_each(|turn| err(&mut avoidance, turn % 2));
        assert!(avoidance.has_failed(SLOT) && !avoidance.avoids(SLOT, at(1)));
        avoidance.clear(SLOT);
        err(&mut avoidance, 1);
        fail(&mut avoidance, at(0));
        err(&mut avoidance, 1);
        assert!(!avoidance.avoids(SLOT, at(1)));
        err(&mut avoidance, 2);
        assert!(avoidance.avoids(SLOT, at(1)), "two clients, and a failure of its own");
    }

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    #[test]
    fn three_in_a_row_and_twice_as_long_each_time() {
        let mut avoidance = OutlierDetector::default();
        fail(&mut avoidance, at(0));
        fail(&mut avoidance, at(1));
        assert!(!avoidance.avoids(SLOT, at(1)));
        avoidance.clear(SLOT);
        for ms in [10, 11, 12] {
            fail(&mut avoidance, at(ms));
        }
        assert!(avoidance.avoids(SLOT, at(2_011)) && !avoidance.avoids(SLOT, at(2_012)));
        fail(&mut avoidance, at(3_000));
        assert!(avoidance.avoids(SLOT, at(6_999)) && !avoidance.avoids(SLOT, at(7_000)));
        (0..40).for_each(|_| fail(&mut avoidance, at(10_000)));
        assert!(avoidance.avoids(SLOT, at(73_999)) && !avoidance.avoids(SLOT, at(74_000)));
        avoidance.clear(SLOT);
        assert!(!avoidance.avoids(SLOT, at(10_001)) && !avoidance.has_failed(SLOT));
    }

    #[test]
    fn a_beginning_ends_no_row_in_which_answers_broke_off() {
        let mut avoidance = OutlierDetector::default();
        assert!(!avoidance.ends_with_a_beginning(SLOT));
        fail(&mut avoidance, at(0));
        assert!(avoidance.ends_with_a_beginning(SLOT));
        avoidance.broke(SLOT, at(1), Fault::Endpoint);
        fail(&mut avoidance, at(2));
        assert!(!avoidance.ends_with_a_beginning(SLOT) && avoidance.avoids(SLOT, at(3)));
        avoidance.clear(SLOT);
        fail(&mut avoidance, at(4));
        assert!(avoidance.ends_with_a_beginning(SLOT), "a new row");
    }

    #[test]
    fn one_probe_at_a_time() {
        let mut avoidance = OutlierDetector::default();
        (0..3).for_each(|_| fail(&mut avoidance, at(0)));
        assert!(!avoidance.avoids(SLOT, at(2_000)), "time for a probe");
        avoidance.sent(SLOT, at(2_000));
        assert!(avoidance.avoids(SLOT, at(2_001)), "which one request is");
        assert!(!avoidance.avoids(SLOT, at(12_000)), "and that got lost");
    }
}
