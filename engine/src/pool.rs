//! The endpoints of the latest snapshot.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    net::SocketAddr,
    time::Duration,
};

use crate::{
    CacheConfig, Endpoint, Health, Instant, Snapshot,
    ledger::{Account, Accounts, EndpointKey},
    prefix::Slot,
    saturation,
    score::{Gauges, Load},
};

/// The most endpoints of one pool. Each is a few hundred bytes per worker and 5 to 10 ns per pick;
/// what a snapshot lists beyond is never chosen.
pub const MAX_ENDPOINTS: usize = 4_096;

/// Who is in the pool. An address keeps its slot while it stays.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    /// In the snapshot's order.
    members: Vec<Member>,
    /// Their places in the order of their keys, so that they and the ledger are read side by side.
    by_key: Vec<(EndpointKey, usize)>,
    slots: BTreeMap<SocketAddr, Slot>,
    free: Vec<Slot>,
    /// Slots below this are taken or free; at most twice [`MAX_ENDPOINTS`], when all are replaced.
    issued: u16,
}

/// What a pick needs to know of an endpoint.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) address: SocketAddr,
    pub(crate) slot: Slot,
    /// Blocks of 256 bytes that its cache holds, if it says so.
    pub(crate) capacity: Option<u32>,
    health: Health,
    read: Option<Reading>,
}

/// Metrics, and when they were read by our clock.
#[derive(Clone, Copy, Debug)]
struct Reading {
    at: Instant,
    gauges: Gauges,
}

impl Pool {
    /// Replaces the members; returns the slots of those that left, which are free from now on.
    pub(crate) fn update(&mut self, snapshot: Snapshot, received_at: Instant) -> Vec<Slot> {
        let mut before = std::mem::take(&mut self.slots);
        self.members.clear();
        for endpoint in snapshot.endpoints {
            if self.members.len() == MAX_ENDPOINTS {
                break;
            }
            let stayed = before.remove(&endpoint.address);
            if let Entry::Vacant(room) = self.slots.entry(endpoint.address) {
                let slot = stayed.or_else(|| self.free.pop()).unwrap_or_else(|| {
                    self.issued += 1;
                    Slot(self.issued - 1)
                });
                room.insert(slot);
                self.members.push(Member::new(&endpoint, slot, received_at));
            }
        }
        let key = |(place, member): (usize, &Member)| (member.address.into(), place);
        self.by_key = self.members.iter().enumerate().map(key).collect();
        self.by_key.sort_unstable();
        let left: Vec<Slot> = before.into_values().collect();
        self.free.extend_from_slice(&left);
        left
    }

    /// The members, in the snapshot's order.
    pub(crate) fn members(&self) -> &[Member] {
        &self.members
    }

    /// The members that requests may go to: those that are up, or all of them if none is, since a
    /// scraper that is cut off sees every endpoint down.
    /// Each comes with what belongs to it in `of_each`, a value per member.
    pub(crate) fn eligible(&self, of_each: &[u32]) -> impl Iterator<Item = (&Member, u32)> {
        let any_up = self.members.iter().any(|member| member.health == Health::Up);
        let all = self.members.iter().zip(of_each.iter().copied());
        all.filter(move |(member, _)| member.health == Health::Up || !any_up)
    }

    /// Requests in flight on each member, in their order.
    pub(crate) fn in_flight(&self, accounts: &Accounts) -> Vec<u32> {
        let mut of_each = vec![0; self.members.len()];
        self.each_account(accounts, |place, account| {
            if let Some(requests) = of_each.get_mut(place) {
                *requests = account.requests;
            }
        });
        of_each
    }

    /// What each member carries, in their order.
    pub(crate) fn loads(&self, now: Instant, accounts: &Accounts) -> Vec<saturation::Load> {
        let mut loads: Vec<_> = self.members.iter().map(|member| member.carries(now)).collect();
        self.each_account(accounts, |place, account| {
            if let Some(load) = loads.get_mut(place) {
                load.in_flight = account.requests;
                load.in_flight_tokens = u64::from(account.tokens);
            }
        });
        loads
    }

    /// Each account with the place of its member. Those of endpoints that left the pool, while
    /// requests to them still run, have none.
    fn each_account(&self, accounts: &Accounts, mut with: impl FnMut(usize, &Account)) {
        let mut accounts = accounts.iter().peekable();
        for &(key, place) in &self.by_key {
            while accounts.next_if(|account| account.endpoint < key).is_some() {}
            if let Some(account) = accounts.next_if(|account| account.endpoint == key) {
                with(place, account);
            }
        }
    }

    pub(crate) fn slot(&self, address: SocketAddr) -> Option<Slot> {
        self.slots.get(&address).copied()
    }
}

impl Member {
    fn new(endpoint: &Endpoint, slot: Slot, received_at: Instant) -> Self {
        let metrics = endpoint.metrics.as_ref();
        Self {
            address: endpoint.address,
            slot,
            capacity: metrics.and_then(|metrics| metrics.cache).and_then(CacheConfig::capacity),
            health: endpoint.health,
            read: metrics.map(|metrics| Reading {
                at: received_at.saturating_before(metrics.age),
                gauges: Gauges {
                    waiting: metrics.waiting,
                    running: metrics.running,
                    kv_usage: metrics.kv_usage,
                },
            }),
        }
    }

    /// How long ago its metrics were read, if they ever were.
    pub(crate) fn age(&self, now: Instant) -> Option<Duration> {
        self.read.map(|read| now.saturating_since(read.at))
    }

    /// Its load, where requests that were sent since the metrics were read count as waiting:
    /// otherwise all that arrives between two scrapes would go to the same shortest queue.
    pub(crate) fn load(&self, now: Instant, stale_after: Duration, in_flight: u32) -> Load {
        let Some(Reading { at, gauges }) = self.read else { return Load::Unknown };
        let age = now.saturating_since(at);
        if age >= stale_after {
            return Load::Stale(age);
        }
        let unseen = in_flight.saturating_sub(gauges.waiting.saturating_add(gauges.running));
        Load::Fresh(Gauges { waiting: gauges.waiting.saturating_add(unseen), ..gauges })
    }

    /// What a saturation detector goes by, but for what is in flight.
    fn carries(&self, now: Instant) -> saturation::Load {
        let gauges = self.read.map(|read| read.gauges);
        saturation::Load {
            waiting: gauges.map_or(0, |gauges| gauges.waiting),
            running: gauges.map_or(0, |gauges| gauges.running),
            kv_usage: gauges.map_or(0.0, |gauges| f64::from(gauges.kv_usage)),
            metrics_age: self.age(now),
            in_flight: 0,
            in_flight_tokens: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(pool: &mut Pool, ports: &[u16]) -> Vec<u16> {
        let endpoint = |port: &u16| Endpoint {
            address: SocketAddr::from(([10, 0, 0, 1], *port)),
            health: Health::Up,
            metrics: None,
            labels: Vec::new(),
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
    fn the_table_is_bounded() {
        let ports: Vec<u16> = (1..=5_000).collect();
        let mut pool = Pool::default();
        assert_eq!(slots(&mut pool, &ports).len(), MAX_ENDPOINTS);
        let others: Vec<u16> = (10_001..=15_000).collect();
        let slots = slots(&mut pool, &others);
        assert!(slots.iter().all(|slot| usize::from(*slot) < 2 * MAX_ENDPOINTS));
    }
}
