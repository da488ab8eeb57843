//! The assertions that hold at each moment, and those that hold once all was heard.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use picker_core::{
    Chain, InferenceRequest, Instant, RequestId,
    flow::{Controller, Priority, TicketId},
    ledger::{Accounts, EndpointKey},
    saturation::Capacity,
    worker::{Input, RING_ENTRIES, Worker},
    workers::QueueId,
};

use crate::{
    pool::takes,
    request::{Asked, Crowd, shared_chain},
    witness::{deadline, resolve},
    world::{Fate, Member, World},
};

impl World {
    pub(crate) fn ledger_is_true(&self) {
        let ledger = self.store.ledger();
        let held = self.requests.values().filter(|(fate, _)| *fate == Fate::Held).count();
        let (said, true_) = (counts(&ledger.accounts), counts(&self.accounts()));
        assert_eq!(said, true_, "{}: {ledger:?}", self.place());
        assert_eq!((ledger.waiting as usize, ledger.granted), (held, 0), "{}", self.place());
    }

    /// Holds what each worker has shown of itself to what would have to be taken back if it died now.
    fn heartbeats_are_true(&self) {
        for (queue, member) in &self.members {
            let Some(shown) = self.store.heartbeat(member.id) else { continue };
            let own =
                || self.requests.range((*queue, RequestId(0))..=(*queue, RequestId(u32::MAX)));
            let held = own().filter(|(_, (fate, _))| *fate == Fate::Held).count();
            let running = own().filter(|(_, (fate, _))| *fate == Fate::Running);
            let accounts: Accounts =
                running.flat_map(|(_, (_, asked))| asked.accounts(&self.pool)).collect();
            let (said, true_) = (counts(&shown.accounts), counts(&accounts));
            assert_eq!(said, true_, "{}: {queue:?}", self.place());
            assert_eq!(shown.waiting as usize, held, "{}: {queue:?}", self.place());
        }
    }

    pub(crate) fn nobody_waits_for_nothing(&self) {
        assert!(!self.could_go(), "{}: a request waits and there is room", self.place());
    }

    /// True if a request waits and there is room, also by what workers know of endpoints that fail: those add none. A worker
    /// whose flow control was turned off lets its own go at its next tick.
    pub(crate) fn could_go(&self) -> bool {
        let is_queued =
            |queue: &QueueId| self.members.get(queue).is_some_and(|it| it.flow.is_some());
        let held = |((queue, _), (fate, _)): (&(QueueId, RequestId), &(Fate, _))| {
            *fate == Fate::Held && is_queued(queue)
        };
        let waits = self.requests.iter().any(held);
        let ledger = self.store.ledger();
        let has_room = |member: &Member| match member.worker.capacity(self.now, ledger) {
            Capacity::Serving(room) => room.places(1.0) > 0,
            Capacity::Unknown | Capacity::Empty => false,
        };
        waits && self.pool.has_room(&self.accounts()) && self.members.values().all(has_room)
    }

    /// Returns the counts of all that runs, as a ledger has them.
    pub(crate) fn accounts(&self) -> Accounts {
        let running = self.requests.values().filter(|(fate, _)| *fate == Fate::Running);
        running.flat_map(|(_, asked)| asked.accounts(&self.pool)).collect()
    }

    pub(crate) fn check(&mut self) {
        self.see_ejections();
        let is_counted = |(_, (fate, asked)): &(_, &(Fate, Asked))| {
            let is_left_out = asked.place.is_some_and(|it| self.ejected.contains(&it.endpoint));
            *fate == Fate::Running && !is_left_out
        };
        let counted = self.requests.iter().filter(is_counted);
        let accounts = counted.flat_map(|(_, (_, asked))| asked.accounts(&self.pool)).collect();
        let is_overrun = self.pool.is_overrun(&accounts);
        assert!(self.is_excused || !is_overrun, "{}: overshoot: {accounts:?}", self.place());
        let is_settled = |member: &Member| member.flow.is_some() && member.is_up_to_date;
        if self.is_excused
            && !is_overrun
            && self.members.values().all(is_settled)
            && self.is_counted()
        {
            self.is_excused = false;
        }
        self.backlogs_are_explained();
        if self.chance.one_in(8) {
            self.heartbeats_are_true();
        }
    }

    /// An endpoint that a worker ejects is in no sum, as long as it still has requests of that time.
    fn see_ejections(&mut self) {
        let running = self.accounts();
        for endpoint in self.pool.endpoints() {
            let is_ejected = self.members.values().any(|it| it.worker.ejects(endpoint));
            if is_ejected {
                self.ejected.insert(endpoint);
            } else if running.for_endpoint(EndpointKey::from(endpoint)).requests == 0 {
                self.ejected.remove(&endpoint);
            }
        }
    }

    /// No endpoint is taken to be busy for longer than the tokens that are counted there take.
    fn backlogs_are_explained(&self) {
        let rounded = Duration::from_micros(1);
        for account in self.store.ledger().accounts.iter() {
            let latest = match account.tokens {
                0 => Instant::default(),
                tokens => self.now + takes(tokens) + rounded,
            };
            assert!(account.free_at <= latest, "{}: {account:?}", self.place());
        }
    }

    /// A request that waits is told within a tick and two messages that its time is up; if an arbiter
    /// died or began anew with another configuration, the next one has to take its place first.
    pub(crate) fn check_the_time(&self) {
        let handover = Duration::from_millis(match (self.is_troubled(), self.was_turmoil()) {
            (true, _) => 3_000,
            (false, true) => 300,
            (false, false) => 0,
        });
        let patience = Duration::from_millis(20 + 2 + 2) + handover;
        let phase = self.store.ledger().phase;
        for (request, (fate, asked)) in &self.requests {
            let due = deadline(&self.witness.config, (asked.arrived, asked.ttl), phase);
            // By what is new, it may have been up before; and one handover may follow another.
            let since = self.last_handover.max(self.troubles.last.unwrap_or_default());
            let late = due.is_some_and(|due| due.max(since) + patience < self.now);
            assert!(*fate == Fate::Running || !late, "{}: {request:?} is late", self.place());
        }
    }

    /// The arbiter goes on deciding while any request waits.
    pub(crate) fn check_the_lease(&mut self) {
        let ledger = self.store.ledger();
        let (epoch, waits) = (ledger.lease.epoch, ledger.waiting > 0);
        let (before, waited) = std::mem::replace(&mut self.term, (epoch, waits));
        let lost = epoch != before && waited && !self.was_turmoil() && !self.is_troubled();
        assert!(!lost, "{}: the lease was taken from one that lives", self.place());
    }

    fn was_turmoil(&self) -> bool {
        self.now.saturating_since(self.last_turmoil) < Duration::from_secs(1)
    }

    /// A request that has waited for a tick and two messages is known to the arbiter, however new
    /// that is, so that no lower band is served before.
    pub(crate) fn holds_the_order(&self, served: Option<Priority>) {
        let Some(served) = served else { return };
        let arbiter = self.store.ledger().lease.queue;
        let queues = self.members[&arbiter].worker.queues();
        let bands = queues.into_iter().flat_map(Controller::band_sizes);
        let bands = bands.map(|band| band.priority).collect();
        for ((queue, request), (fate, asked)) in &self.requests {
            let id = TicketId { worker: queue.0.into(), request: request.0 };
            let known = asked.arrived + Duration::from_millis(20 + 2 + 2) < self.now;
            let waits = *fate == Fate::Held && !self.witness.has_settled(id);
            let band = self.witness.band(id);
            let band = band.unwrap_or_else(|| resolve(&bands, asked.flow.priority));
            let passed = known && waits && band > served && !self.is_troubled();
            assert!(!passed, "{}: band {served} is served before {asked:?}", self.place());
        }
    }

    /// All workers have read all that was written, and then each prompt has the same matches for each
    /// of them. A prompt that was taken back has none.
    pub(crate) fn workers_know_the_same(&mut self) {
        self.close_gaps();
        for queue in self.queues() {
            self.run(queue, Input::Look);
        }
        let withdrawn = std::mem::take(&mut self.withdrawn);
        for (_, chain) in withdrawn.iter().rev().take(20) {
            for (queue, matches) in self.matches(chain) {
                let is_gone = matches.values().all(|blocks| *blocks == 0);
                assert!(is_gone, "{}: {queue:?} has {chain:?}: {matches:?}", self.place());
            }
        }
        // One that was away while endpoints went and came back knows what the others forgot, and one
        // that came late what the ring still held.
        if self.rules.may_empty || self.store.ledger().events > RING_ENTRIES {
            return;
        }
        for kinds in [[0, 0, 0], [0, 1, 2], [1, 0, 1], [1, 2, 2], [2, 1, 0], [2, 2, 2]] {
            let chain = shared_chain(&kinds);
            let all = self.matches(&chain);
            let mut known: BTreeMap<SocketAddr, u32> = BTreeMap::new();
            for (endpoint, blocks) in all.iter().flat_map(|(_, matches)| matches) {
                let first = *known.entry(*endpoint).or_insert(*blocks);
                assert_eq!(first, *blocks, "{}: {kinds:?} {all:?}", self.place());
            }
        }
    }

    /// Returns the blocks of a prompt that each worker believes each endpoint to hold, but for endpoints
    /// that it avoids.
    fn matches(&self, chain: &Chain) -> Vec<(QueueId, BTreeMap<SocketAddr, u32>)> {
        let mut request = InferenceRequest { chain: chain.clone(), ..InferenceRequest::default() };
        let ledger = self.store.ledger();
        let mut of = |worker: &Worker| {
            let explained = worker.explain(self.now, &mut request, ledger);
            let endpoints = explained.profiles.into_iter().flat_map(|it| it.endpoints);
            endpoints.map(|it| (it.endpoint, it.matched)).collect()
        };
        self.members.iter().map(|(queue, member)| (*queue, of(&member.worker))).collect()
    }

    /// Entries that were never written are given up once enough others were.
    fn close_gaps(&mut self) {
        if !self.has_gap {
            return;
        }
        self.is_nested = true;
        for _ in 0..64 {
            let queue = self.queues()[0];
            self.issued += 1;
            let id = RequestId(self.issued);
            let asked = (id, Priority(10));
            let mut asked = Asked::any(&mut self.chance, Crowd::Patient, asked, self.now);
            asked.request.chain = shared_chain(&[7]);
            asked.is_unique = false;
            self.ask((queue, id), asked);
            self.finish();
        }
    }
}

fn counts(accounts: &Accounts) -> Vec<(EndpointKey, u32, u32)> {
    accounts.iter().map(|it| (it.endpoint, it.requests, it.tokens)).collect()
}
