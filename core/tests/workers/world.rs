//! The surroundings of the workers, simulated: the shared store, queues, clients and endpoints.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
    time::Duration,
};

use picker_core::{
    Chain, Instant, Objective, PlacementEvent, Randomness, RequestId,
    flow::FlowConfig,
    ledger::WorkerId,
    worker::{Conduct, MemoryStore, Worker, WorkerConfig, WorkerName},
    workers::{Message, QueueId},
};

use crate::{
    chance::Chance,
    evictions::Evictions,
    faults::{Faults, Troubles},
    pool::Pool,
    request::{Asked, Crowd, OBJECTIVES, any_flow},
    witness::Witness,
};

const WORKERS_MAX: usize = 4;

/// Time between ticks of a worker on which requests wait, and of any other; as the filter has it.
pub(crate) const BUSY_TICK: Duration = Duration::from_millis(20);
pub(crate) const IDLE_TICK: Duration = Duration::from_secs(1);

/// Requests at once: more than any pool here takes, and few enough to look at all of them in each step.
pub(crate) const REQUESTS_MAX: usize = 40;

pub(crate) type Request = (QueueId, RequestId);

/// The state of a request, in truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Held,
    Running,
}

/// A worker that lives.
pub(crate) struct Member {
    pub(crate) id: WorkerId,
    pub(crate) worker: Worker,
    /// The settings of flow control that it goes by.
    pub(crate) flow: Option<FlowConfig>,
    /// Time of its last tick, or of its birth.
    pub(crate) ticked_at: Instant,
    /// Time of its next tick, by what it asked for.
    pub(crate) next_tick: Instant,
    /// True once it has the operators' latest configuration.
    pub(crate) is_up_to_date: bool,
}

/// An entry of the event ring that was announced and is not written yet.
pub(crate) struct LateEntry {
    pub(crate) writer: QueueId,
    pub(crate) position: u64,
    pub(crate) events: Vec<PlacementEvent>,
    /// Step at which it is written at the latest.
    pub(crate) due: u64,
}

/// The events that may happen in a world.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// True if messages and ticks come in time.
    pub(crate) is_timely: bool,
    /// True if entries of the ring may be written late. Then only requests with prompts of their own
    /// may fail: workers would learn the others' in different orders.
    pub(crate) is_late: bool,
    /// True if the endpoints may go, and come back.
    pub(crate) may_empty: bool,
}

pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) steps: u64,
    pub(crate) now: Instant,
    pub(crate) chance: Chance,
    pub(crate) crowd: Crowd,
    pub(crate) rules: Rules,
    pub(crate) pool: Pool,
    pub(crate) store: MemoryStore,
    /// The operators' latest configuration.
    pub(crate) config: WorkerConfig,
    pub(crate) objectives: Vec<Objective>,
    pub(crate) members: BTreeMap<QueueId, Member>,
    pub(crate) faults: Faults,
    pub(crate) troubles: Troubles,
    /// A worker that stands still while the others go on.
    pub(crate) asleep: Option<WorkerId>,
    pub(crate) late: Vec<LateEntry>,
    /// True once an entry was announced whose writer died.
    pub(crate) has_gap: bool,
    /// Time of the last death or change of the configuration.
    pub(crate) last_turmoil: Instant,
    /// Time of the last change of a worker's configuration, or of the arbiter's death.
    pub(crate) last_handover: Instant,
    /// Messages on their way, and since when.
    pub(crate) mail: BTreeMap<(QueueId, QueueId), VecDeque<(Instant, Message)>>,
    pub(crate) requests: BTreeMap<Request, (Fate, Asked)>,
    pub(crate) answered: BTreeSet<Request>,
    /// Requests that were held when their clients left.
    pub(crate) left: BTreeMap<Request, Asked>,
    pub(crate) evictions: Evictions,
    /// Prompts of one request each that was taken back, with the worker that did so.
    pub(crate) withdrawn: Vec<(QueueId, Chain)>,
    pub(crate) issued: u32,
    born: u32,
    /// True while the other workers' turns come between a worker's reading and writing.
    pub(crate) is_nested: bool,
    /// True while nothing happens outside.
    pub(crate) is_calm: bool,
    /// Endpoints that a worker ejects, or had ejected while requests that are there yet were sent.
    pub(crate) ejected: BTreeSet<SocketAddr>,
    /// True while more may run than the pool takes, as flow control is or was off.
    pub(crate) is_excused: bool,
    /// The arbiter's epoch, and whether any request waited.
    pub(crate) term: (u64, bool),
    pub(crate) witness: Witness,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let crowd = if chance.one_in(3) { Crowd::Patient } else { Crowd::Mixed };
        let pool = Pool::any(&mut chance, crowd);
        let has_bands = crowd == Crowd::Patient || chance.one_in(2);
        let flow = any_flow(&mut chance, crowd, has_bands);
        let objectives = if has_bands { all_objectives() } else { Vec::new() };
        let config = WorkerConfig {
            scheduler: pool.config(),
            flow: Some(flow.clone()),
            objectives,
            conduct: if chance.one_in(2) { Conduct::FailsOpen } else { Conduct::FailsClosed },
            ..WorkerConfig::default()
        };
        let mut evictions = Evictions::default();
        evictions.go_by(config.flow.as_ref());
        let may_empty = crowd == Crowd::Mixed && chance.one_in(2);
        let rules = Rules { is_timely: false, is_late: chance.one_in(2), may_empty };
        let faults = Faults::any(&mut chance);
        let mut world = Self {
            seed,
            steps: 0,
            now: Instant::from_nanos(1_000_000_000),
            chance,
            crowd,
            rules,
            pool,
            store: MemoryStore::default(),
            config,
            objectives: all_objectives(),
            members: BTreeMap::new(),
            faults,
            troubles: Troubles::default(),
            asleep: None,
            late: Vec::new(),
            has_gap: false,
            last_turmoil: Instant::default(),
            last_handover: Instant::default(),
            mail: BTreeMap::new(),
            requests: BTreeMap::new(),
            answered: BTreeSet::new(),
            left: BTreeMap::new(),
            evictions,
            withdrawn: Vec::new(),
            issued: 0,
            born: 0,
            is_nested: false,
            is_calm: false,
            ejected: BTreeSet::new(),
            is_excused: false,
            term: (0, false),
            witness: Witness::new(flow),
        };
        (0..=world.chance.below(4)).for_each(|_| world.bear());
        if !world.chance.one_in(4) {
            world.show(true);
        }
        world
    }

    /// Something happens, and messages come when they like.
    pub(crate) fn step(&mut self) {
        self.steps += 1;
        match self.chance.below(100) {
            0..28 => self.arrive(),
            28..46 => self.finish(),
            46..50 => self.begin(),
            50..53 => self.leave(),
            53 => self.move_one(),
            54..84 => self.deliver(),
            84..96 => self.tick_one(),
            96 => {
                let ms = self.chance.below(300);
                self.pass(Duration::from_millis(ms.into()));
            }
            97 => self.change_the_pool(4),
            98 if self.chance.one_in(if self.crowd == Crowd::Patient { 40 } else { 10 }) => {
                self.kill();
            }
            98 if self.chance.one_in(4) => self.come_to_terms(),
            98 => self.pass(Duration::from_millis(1)),
            _ if self.chance.one_in(8) => self.decide_anew(),
            _ if self.members.len() < WORKERS_MAX => self.bear(),
            _ => (),
        }
        self.end_evicted(4);
        self.write_late(3);
        self.configure_some(20);
        self.go_wrong(1_000);
        self.check();
    }

    /// A millisecond passes as in an Envoy: messages take two of them, and a worker ticks as it asks for.
    pub(crate) fn millisecond(&mut self) {
        (self.steps, self.rules.is_timely) = (self.steps + 1, true);
        self.pass(Duration::from_millis(1));
        // In some worlds requests wait only now and then, so that the lease is let go in between.
        let arrivals = if self.seed.is_multiple_of(3) { 35 } else { 60 };
        match self.chance.below(400) {
            at if at < arrivals => self.arrive(),
            0..95 => self.finish(),
            95..100 => self.begin(),
            100 => self.change_the_pool(3),
            101 if self.chance.one_in(4) && self.members.len() > 1 => self.kill(),
            102 if self.members.len() < WORKERS_MAX => self.bear(),
            103 if self.chance.one_in(4) => self.decide_anew(),
            _ => (),
        }
        self.deliver_due();
        for queue in self.queues() {
            if self.members[&queue].next_tick <= self.now {
                self.tick(queue);
            }
        }
        self.end_evicted(2);
        self.write_late(3);
        self.configure_some(4);
        self.go_wrong(2_000);
        self.check();
        self.check_the_time();
        self.check_the_lease();
    }

    /// No more requests: everything is delivered and all workers tick until nothing is left. Then the
    /// ledger must say so, and all workers know the same.
    pub(crate) fn come_to_rest(&mut self) {
        (self.rules.is_timely, self.is_calm) = (false, true);
        self.show(true);
        if self.members.is_empty() {
            self.bear();
        }
        self.configure_some(1);
        self.wait_until_mended();
        for _ in 0..1_000 {
            self.everyone_hears(BUSY_TICK);
            self.finish();
            self.check();
            if self.requests.is_empty() {
                break;
            }
        }
        self.everyone_hears(BUSY_TICK);
        assert!(self.requests.is_empty(), "{}: left over: {:?}", self.place(), self.requests);
        self.ledger_is_true();
        self.workers_know_the_same();
    }

    /// For a while nothing happens outside, and what was said is heard. Then the ledger is true, and
    /// no request waits for nothing.
    fn come_to_terms(&mut self) {
        self.is_calm = true;
        self.hear_and_compare();
        self.is_calm = false;
    }

    fn hear_and_compare(&mut self) {
        self.configure_some(1);
        self.wait_until_mended();
        for _ in 0..20 {
            self.everyone_hears(BUSY_TICK);
        }
        let running = self.requests.values().filter(|(fate, _)| *fate == Fate::Running);
        self.witness.shares.recount(running.map(|(_, asked)| &asked.flow));
        self.ledger_is_true();
        self.nobody_waits_for_nothing();
        // No tick is needed to fill the place of one that ends, or whose prompt is computed.
        if !self.pool.is_full_of_tokens() {
            self.begin();
            self.hear_of_places();
            self.nobody_waits_for_nothing();
        }
        self.finish();
        self.hear_of_places();
        self.nobody_waits_for_nothing();
    }

    /// Hears what follows from a place that is free. Room is granted for both stages, and a prompt that
    /// is not computed apart leaves a place of one of them, which the next tick finds.
    fn hear_of_places(&mut self) {
        self.hear_all();
        for _ in 0..20 {
            if !self.pool.is_apart() || !self.could_go() {
                break;
            }
            self.everyone_hears(BUSY_TICK);
        }
    }

    pub(crate) fn everyone_hears(&mut self, after: Duration) {
        self.pass(after);
        self.write_late(1);
        for queue in self.queues() {
            self.tick(queue);
        }
        self.hear_all();
    }

    fn hear_all(&mut self) {
        while self.mail.values().any(|mail| !mail.is_empty()) {
            self.deliver();
            self.write_late(1);
        }
    }

    pub(crate) fn queues(&self) -> Vec<QueueId> {
        self.members.keys().copied().collect()
    }

    pub(crate) fn member(&mut self, queue: QueueId) -> &mut Member {
        self.members.get_mut(&queue).unwrap()
    }

    pub(crate) fn place(&self) -> String {
        format!("seed {} step {}", self.seed, self.steps)
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
    }

    pub(crate) fn bear(&mut self) {
        self.born += 1;
        let (id, queue) = (WorkerId(u64::from(self.born)), QueueId(self.born));
        let name = WorkerName { id, queue };
        let seed = self.seed * 100 + u64::from(self.born);
        let worker = Worker::new(name, self.config.clone(), self.now, Randomness::from_seed(seed));
        let flow = self.config.flow.clone();
        let next_tick = self.now + IDLE_TICK;
        let member =
            Member { id, worker, flow, ticked_at: self.now, next_tick, is_up_to_date: true };
        self.members.insert(queue, member);
    }

    /// Writes what is late; what is not due yet once in so many times.
    pub(crate) fn write_late(&mut self, times: u32) {
        for LateEntry { writer, position, events, due } in std::mem::take(&mut self.late) {
            if due <= self.steps || self.chance.one_in(times) {
                self.store.publish(position, events);
            } else {
                self.late.push(LateEntry { writer, position, events, due });
            }
        }
    }
}

pub(crate) fn all_objectives() -> Vec<Objective> {
    let objective = |(name, priority): (&str, _)| Objective { name: name.to_owned(), priority };
    let mut all: Vec<Objective> = OBJECTIVES.into_iter().map(objective).collect();
    all.sort_by(|one, other| one.name.cmp(&other.name));
    all
}

impl Drop for World {
    /// Says where a failure was, also where the assertion does not know.
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed at {}", self.place());
        }
    }
}
