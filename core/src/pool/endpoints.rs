//! The endpoints of the latest snapshot.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    net::SocketAddr,
    time::Duration,
};

use super::{Candidate, EndpointState, EngineLoad, Sent, Slot, state::Reading};
use crate::{
    exchange::{EndpointUse, Others, STALENESS},
    ledger::{Account, Accounts, EndpointKey, Sends},
    model::{ENDPOINTS_MAX, Health, Instant, Snapshot},
    pool::prefix::Matches,
    saturation::{self, Page},
};

/// The endpoints of a pool. An address keeps its slot while it stays.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pool {
    /// In the snapshot's order.
    members: Vec<EndpointState>,
    /// Places of the members in the order of their keys, so that members and ledger are read side
    /// by side.
    by_key: Vec<(EndpointKey, usize)>,
    slots: BTreeMap<SocketAddr, Slot>,
    free: Vec<Slot>,
    /// Slots below this are taken or free; at most twice [`ENDPOINTS_MAX`], when all are replaced.
    issued: u16,
    /// The snapshot's.
    quiet_for: Duration,
}

/// The page of one endpoint, beside what is in flight there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PageSight {
    pub(crate) slot: Slot,
    pub(crate) read_at: Instant,
    pub(crate) page: Page,
    /// True if it computes prompts, as far as gateways know.
    pub(crate) is_computing: bool,
}

/// The part of an account that plugins read.
#[derive(Clone, Copy, Debug, Default)]
struct InFlight {
    /// Requests of all gateways.
    requests: u32,
    /// Requests that this gateway sent of late.
    sends: Sends,
    tokens: u32,
    holds: u32,
    /// Seconds until the endpoint is expected to have computed the tokens.
    busy_for: f64,
}

impl Pool {
    /// Replaces the members; returns the slots of those that left, which are free from now on.
    pub(crate) fn update(&mut self, snapshot: Snapshot, received_at: Instant) -> Vec<Slot> {
        let mut before = std::mem::take(&mut self.slots);
        self.quiet_for = snapshot.quiet_for;
        self.members.clear();
        for endpoint in snapshot.endpoints {
            if self.members.len() == ENDPOINTS_MAX {
                break;
            }
            // Removed before it is looked at: what is left in `before` at the end has left the pool.
            let stayed = before.remove(&endpoint.address);
            if let Entry::Vacant(room) = self.slots.entry(endpoint.address) {
                let slot = stayed.or_else(|| self.free.pop()).unwrap_or_else(|| {
                    self.issued += 1;
                    Slot(self.issued - 1)
                });
                room.insert(slot);
                self.members.push(EndpointState::new(endpoint, slot, received_at));
            }
        }
        let key = |(place, member): (usize, &EndpointState)| (member.address.into(), place);
        self.by_key = self.members.iter().enumerate().map(key).collect();
        self.by_key.sort_unstable();
        let left: Vec<Slot> = before.into_values().collect();
        self.free.extend_from_slice(&left);
        left
    }

    /// Returns the members, in the snapshot's order.
    pub(crate) fn members(&self) -> &[EndpointState] {
        &self.members
    }

    /// Returns the members as candidates, in their order, with what is in flight on each and what
    /// each has of a prompt. Metrics of the age `stale_after` and above are left out.
    pub(crate) fn candidates<'a>(
        &'a self,
        now: Instant,
        stale_after: Duration,
        sent: Sent<'_>,
        matches: &Matches,
    ) -> Vec<Candidate<'a>> {
        let mut in_flight = vec![InFlight::default(); self.members.len()];
        self.each_account(sent.own, |place, account| {
            if let Some(counts) = in_flight.get_mut(place) {
                let Account { requests, tokens, holds, sends, .. } = *account;
                let busy_for = account.busy_for(now);
                *counts = InFlight { requests, sends, tokens, holds, busy_for };
            }
        });
        self.each_sum(sent.of_others(now), |place, sum| {
            if let Some(counts) = in_flight.get_mut(place) {
                counts.requests = counts.requests.saturating_add(sum.requests);
                counts.tokens = counts.tokens.saturating_add(sum.tokens);
                counts.busy_for += sum.busy_for.as_secs_f64();
            }
        });
        let lag = if sent.is_shared(now) { STALENESS.as_secs_f64() } else { 0.0 };
        // Field by field: the rest of another candidate would be written twice.
        let candidate = |(member, counts): (&'a EndpointState, InFlight)| {
            let sent_since = member.sent_since(now, counts.sends);
            Candidate {
                member,
                slot: member.slot,
                is_up: member.health == Health::Up,
                gauges: member.gauges(now, stale_after, counts.requests, sent_since),
                matched: matches.blocks(member.slot),
                requests: counts.requests,
                sent_since,
                sends: counts.sends,
                tokens: counts.tokens,
                token_load: counts.tokens,
                holds: counts.holds,
                busy_for: counts.busy_for,
                unheard_for: lag * member.unheard_share,
            }
        };
        self.members.iter().zip(in_flight).map(candidate).collect()
    }

    /// Returns the time for which the scraper may be silent while nothing changes: for so long,
    /// numbers grow no older.
    pub(crate) fn quiet_for(&self) -> Duration {
        self.quiet_for
    }

    /// Tells each member how much other gateways may have sent to it that was not heard of.
    pub(crate) fn share_out(&mut self, others: &Others) {
        let count = self.members.len();
        for (place, (_, at)) in self.by_key.iter().enumerate() {
            if let Some(member) = self.members.get_mut(*at) {
                member.unheard_share = others.unheard_share(place, count);
            }
        }
    }

    /// Returns the load of each member, in their order.
    ///
    /// Where `counts_output` is true, their tokens in flight are those of prompts and estimated answers.
    pub(crate) fn loads(
        &self,
        now: Instant,
        sent: Sent<'_>,
        counts_output: bool,
    ) -> Vec<saturation::Load> {
        let carries = |member: &EndpointState| member.carries(now, self.quiet_for);
        let mut loads: Vec<_> = self.members.iter().map(carries).collect();
        self.each_account(sent.own, |place, account| {
            if let (Some(load), Some(member)) = (loads.get_mut(place), self.members.get(place)) {
                load.in_flight = account.requests;
                load.sent_since = member.sent_since(now, account.sends);
                let tokens = if counts_output { account.holds } else { account.tokens };
                load.in_flight_tokens = u64::from(tokens);
                load.kv_to_come = member.cache_share(account.holds);
                load.busy_for = account.busy_for(now);
            }
        });
        self.each_sum(sent.of_others(now), |place, sum| {
            if let Some(load) = loads.get_mut(place) {
                load.in_flight = load.in_flight.saturating_add(sum.requests);
                load.in_flight_tokens += u64::from(sum.tokens);
                load.busy_for += sum.busy_for.as_secs_f64();
            }
        });
        loads
    }

    /// Returns, for each member whose page was read, the requests that the page shows beyond those that
    /// gateways are known to have sent.
    pub(crate) fn excess(&self, now: Instant, sent: Sent<'_>) -> Vec<(Slot, u32)> {
        let shown = |member: &EndpointState| {
            let gauges = member.read?.gauges;
            Some(gauges.waiting.saturating_add(gauges.running))
        };
        let mut shown: Vec<Option<u32>> = self.members.iter().map(shown).collect();
        let mut take_off = |place: usize, requests| {
            if let Some(Some(shown)) = shown.get_mut(place) {
                *shown = shown.saturating_sub(requests);
            }
        };
        self.each_account(sent.own, |place, account| take_off(place, account.requests));
        self.each_sum(sent.of_others(now), |place, sum| take_off(place, sum.requests));
        let slots = self.members.iter().map(|member| member.slot);
        slots.zip(shown).filter_map(|(slot, excess)| Some((slot, excess?))).collect()
    }

    /// Returns the page of each member that was ever read, with what is in flight there.
    pub(crate) fn readings(&self, now: Instant, sent: Sent<'_>) -> Vec<PageSight> {
        let sight = |member: &EndpointState| {
            let read = member.read?;
            let EngineLoad { waiting, running, .. } = read.gauges;
            let page = Page { running, waiting, ..Page::default() };
            Some(PageSight { slot: member.slot, read_at: read.at, page, is_computing: false })
        };
        let mut sights: Vec<Option<PageSight>> = self.members.iter().map(sight).collect();
        self.each_account(sent.own, |place, account| {
            if let (Some(Some(sight)), Some(member)) =
                (sights.get_mut(place), self.members.get(place))
            {
                sight.page.in_flight = account.requests;
                sight.is_computing = account.uncomputed > 0;
                // Of those that the page knew, more prompts are uncomputed than wait: some of them run.
                // Answers that come as a whole count as uncomputed to their ends, so that it must be
                // expected, too, that prompts were being computed then.
                let known = account.uncomputed
                    - account.uncomputed.min(member.sent_since(now, account.sends));
                sight.page.is_cut = known > sight.page.waiting && account.free_at > sight.read_at;
            }
        });
        self.each_sum(sent.of_others(now), |place, sum| {
            if let Some(Some(sight)) = sights.get_mut(place) {
                sight.page.in_flight = sight.page.in_flight.saturating_add(sum.requests);
                sight.is_computing |= !sum.busy_for.is_zero();
            }
        });
        sights.into_iter().flatten().collect()
    }

    /// Calls `with` for each account with the place of its member. Accounts of endpoints that left
    /// the pool, while requests to them still run, have none.
    fn each_account(&self, accounts: &Accounts, mut with: impl FnMut(usize, &Account)) {
        // Both sides are in the order of their keys, so one pass joins them, without a search for
        // each member.
        let mut accounts = accounts.iter().peekable();
        for &(key, place) in &self.by_key {
            while accounts.next_if(|account| account.endpoint < key).is_some() {}
            if let Some(account) = accounts.next_if(|account| account.endpoint == key) {
                with(place, account);
            }
        }
    }

    /// Calls `with` for each of the others' sums with the place of its member.
    fn each_sum(
        &self,
        sums: impl Iterator<Item = EndpointUse>,
        mut with: impl FnMut(usize, &EndpointUse),
    ) {
        let mut sums = sums.peekable();
        for &(key, place) in &self.by_key {
            while sums.next_if(|sum| sum.endpoint < key).is_some() {}
            if let Some(sum) = sums.next_if(|sum| sum.endpoint == key) {
                with(place, &sum);
            }
        }
    }

    /// Takes in what a member says of itself. One that was never scraped says too little alone, and one that says nothing
    /// of its queue leaves the numbers as old as they were.
    pub(crate) fn report(
        &mut self,
        address: SocketAddr,
        now: Instant,
        waiting: Option<u32>,
        kv_usage: Option<f32>,
    ) {
        let key = EndpointKey::from(address);
        let Ok(at) = self.by_key.binary_search_by_key(&key, |(key, _)| *key) else { return };
        let place = self.by_key.get(at).map(|(_, place)| *place);
        let Some(member) = place.and_then(|place| self.members.get_mut(place)) else { return };
        if let Some(Reading { at, gauges }) = &mut member.read {
            if let Some(waiting) = waiting {
                *at = now;
                gauges.waiting = waiting;
            }
            gauges.kv_usage = kv_usage.unwrap_or(gauges.kv_usage);
        }
    }

    pub(crate) fn slot(&self, address: SocketAddr) -> Option<Slot> {
        self.slots.get(&address).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Endpoint, Incarnation, Metrics};

    fn slots(pool: &mut Pool, ports: &[u16]) -> Vec<u16> {
        let endpoint = |port: &u16| Endpoint {
            address: SocketAddr::from(([10, 0, 0, 1], *port)),
            health: Health::Up,
            metrics: None,
            labels: Vec::new(),
            incarnation: Incarnation::default(),
        };
        let endpoints = ports.iter().map(endpoint).collect();
        let snapshot = Snapshot { endpoints, ..Snapshot::default() };
        pool.update(snapshot, Instant::default());
        let slot = |port: &u16| pool.slot(SocketAddr::from(([10, 0, 0, 1], *port)));
        ports.iter().filter_map(slot).map(|slot| slot.0).collect()
    }

    #[test]
    fn slots_stay_and_are_used_again() {
        let mut pool = Pool::default();
        assert_eq!(slots(&mut pool, &[1, 2, 3]), [0, 1, 2]);
        assert_eq!(slots(&mut pool, &[3, 1]), [2, 0]);
        assert_eq!(slots(&mut pool, &[9, 3, 1]), [1, 2, 0]);
        assert_eq!(slots(&mut pool, &[7, 7, 9]), [3, 3, 1], "an address listed twice counts once");
    }

    #[test]
    fn numbers_grow_no_older_while_nothing_was_to_be_said() {
        let age_ms = |quiet_for_ms: u64, after_ms: u64| {
            let mut pool = Pool::default();
            let metrics = Metrics::default().aged(Duration::from_millis(30));
            let address = SocketAddr::from(([10, 0, 0, 1], 8000));
            let endpoint = Endpoint {
                address,
                health: Health::Up,
                metrics: Some(metrics),
                labels: Vec::new(),
                incarnation: Incarnation::default(),
            };
            let quiet_for = Duration::from_millis(quiet_for_ms);
            let snapshot = Snapshot { endpoints: vec![endpoint], quiet_for, ..Snapshot::default() };
            let received_at = Instant::from_nanos(1_000_000_000);
            pool.update(snapshot, received_at);
            let now = Instant::from_nanos((1_000 + after_ms) * 1_000_000);
            let sent = Sent { own: &Accounts::default(), others: None };
            pool.loads(now, sent, false)[0].metrics_age.unwrap().as_millis()
        };
        assert_eq!([age_ms(0, 0), age_ms(0, 200)], [30, 230]);
        assert_eq!([age_ms(250, 0), age_ms(250, 200), age_ms(250, 400)], [0, 0, 180]);
    }

    #[test]
    fn a_report_makes_numbers_fresh_that_it_has() {
        let age_ms = |waiting| {
            let mut pool = Pool::default();
            let address = SocketAddr::from(([10, 0, 0, 1], 8000));
            let endpoint = Endpoint {
                address,
                health: Health::Up,
                metrics: Some(Metrics { waiting: 5, ..Metrics::default() }),
                labels: Vec::new(),
                incarnation: Incarnation::default(),
            };
            let snapshot = Snapshot { endpoints: vec![endpoint], ..Snapshot::default() };
            pool.update(snapshot, Instant::from_nanos(1_000_000_000));
            let now = Instant::from_nanos(9_000_000_000);
            pool.report(address, now, waiting, Some(0.5));
            let sent = Sent { own: &Accounts::default(), others: None };
            let load = pool.loads(now, sent, false)[0];
            (load.metrics_age.unwrap().as_millis(), load.waiting, load.kv_usage)
        };
        assert_eq!(age_ms(Some(7)), (0, 7, 0.5));
        assert_eq!(age_ms(None), (8_000, 5, 0.5), "nothing of its queue");
    }

    #[test]
    fn the_table_is_bounded() {
        let ports: Vec<u16> = (1..=5_000).collect();
        let mut pool = Pool::default();
        assert_eq!(slots(&mut pool, &ports).len(), ENDPOINTS_MAX);
        let others: Vec<u16> = (10_001..=15_000).collect();
        let slots = slots(&mut pool, &others);
        assert!(slots.iter().all(|slot| usize::from(*slot) < 2 * ENDPOINTS_MAX));
    }
}
