//! The surroundings of the workers, simulated: shared data, queues, clients and endpoints.

#![allow(
    clippy::disallowed_types,
    reason = "shared data is what the engine may not have and its surroundings do"
)]

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use engine::{
    Instant, RequestId,
    cluster::{
        Admission, Arrival, Capacity, Gauge, Member, Message, Post, QueueId, SharedLedger, Step,
        Target,
    },
    flow::{FairnessId, FlowConfig, FlowKey, Priority, Ticket, TicketId},
    ledger::{EndpointKey, Ledger, Row, WorkerId},
    saturation::Room,
};

/// Where random numbers come from (splitmix64): the same seed, the same world.
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        u32::try_from((mixed ^ (mixed >> 31)) % u64::from(bound)).unwrap()
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> Option<T> {
        let bound = u32::try_from(all.len()).ok().filter(|bound| *bound > 0)?;
        all.get(self.below(bound) as usize).copied()
    }
}

type Request = (QueueId, RequestId);

struct Shared {
    ledger: RefCell<Ledger>,
}

impl SharedLedger for Shared {
    fn update(&self, change: &mut dyn FnMut(&mut Ledger)) {
        // Another worker was faster: what came of the first call must not matter.
        change(&mut self.ledger.borrow().clone());
        change(&mut self.ledger.borrow_mut());
    }
}

/// A pool that takes `places` requests at once.
struct Pool {
    places: u32,
}

impl Pool {
    fn send() -> Admission<()> {
        let target = Target { endpoint: EndpointKey(1), tokens: 10, announced: true };
        Admission::Send(target, ())
    }
}

impl Gauge for Pool {
    fn capacity(&self, ledger: &Ledger) -> Capacity {
        let in_flight = u32::try_from(ledger.accounts.requests()).unwrap();
        Capacity::Serving(Room::of(self.places.saturating_sub(in_flight)))
    }
}

/// Where a request is, in truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Held,
    Running,
}

pub(crate) struct World {
    seed: u64,
    steps: u64,
    now: Instant,
    shared: Shared,
    pool: Pool,
    members: BTreeMap<QueueId, (WorkerId, Member)>,
    /// Rows of dead workers that nobody has taken back yet, and when they died.
    graves: Vec<(WorkerId, Row)>,
    /// Requests that died with their worker while the ledger still counts them.
    mail: BTreeMap<(QueueId, QueueId), VecDeque<Message>>,
    requests: BTreeMap<Request, Fate>,
    answered: BTreeSet<Request>,
    issued: u32,
    born: u32,
}

impl World {
    pub(crate) fn new(seed: u64, workers: u32, places: u32) -> Self {
        let mut world = Self {
            seed,
            steps: 0,
            now: Instant::from_nanos(1_000_000_000),
            shared: Shared { ledger: RefCell::default() },
            pool: Pool { places },
            members: BTreeMap::new(),
            graves: Vec::new(),
            mail: BTreeMap::new(),
            requests: BTreeMap::new(),
            answered: BTreeSet::new(),
            issued: 0,
            born: 0,
        };
        (0..workers).for_each(|_| world.bear());
        world
    }

    pub(crate) fn step(&mut self, chance: &mut Chance) {
        self.steps += 1;
        match chance.below(100) {
            0..30 => self.arrive(chance),
            30..50 => self.finish(chance),
            50..54 => self.leave(chance),
            54..84 => self.deliver(chance),
            84..97 => self.tick_one(chance),
            97 => self.now = self.now + Duration::from_millis(u64::from(chance.below(300))),
            98 if chance.below(10) == 0 => self.kill(chance),
            98 => self.now = self.now + Duration::from_millis(1),
            _ if self.members.len() < 4 => self.bear(),
            _ => (),
        }
        self.check();
    }

    /// No more requests: everything is delivered and everybody ticks until nothing is left. Then the
    /// ledger must say so.
    pub(crate) fn come_to_rest(&mut self) {
        let mut chance = Chance::new(self.seed);
        if self.members.is_empty() {
            self.bear();
        }
        for _ in 0..1_000 {
            self.now = self.now + Duration::from_millis(20);
            for queue in self.members.keys().copied().collect::<Vec<_>>() {
                self.tick(queue);
            }
            self.bury();
            while self.mail.values().any(|mail| !mail.is_empty()) {
                self.deliver(&mut chance);
            }
            self.finish(&mut chance);
            self.check();
        }
        let ledger = self.shared.ledger.borrow();
        assert!(self.requests.is_empty(), "{}: left over: {:?}", self.place(), self.requests);
        assert_eq!(ledger.accounts.requests(), 0, "{}: {ledger:?}", self.place());
        assert_eq!((ledger.waiting, ledger.granted), (0, 0), "{}: {ledger:?}", self.place());
    }

    fn check(&self) {
        let running = self.requests.values().filter(|fate| **fate == Fate::Running).count();
        assert!(running <= self.pool.places as usize, "{}: overshoot: {running}", self.place());
    }

    fn place(&self) -> String {
        format!("seed {} step {}", self.seed, self.steps)
    }

    fn bear(&mut self) {
        self.born += 1;
        let (id, queue) = (WorkerId(u64::from(self.born)), QueueId(self.born));
        self.members
            .insert(queue, (id, Member::new(id, queue, Some(FlowConfig::default()), self.now)));
    }

    fn kill(&mut self, chance: &mut Chance) {
        let queues: Vec<_> = self.members.keys().copied().collect();
        let Some(queue) = chance.one_of(&queues) else { return };
        let (id, member) = self.members.remove(&queue).unwrap();
        self.graves.push((id, member.row().clone()));
        self.mail.retain(|(_, to), _| *to != queue);
        self.requests.retain(|(worker, _), _| *worker != queue);
    }

    /// What another worker does about rows without a sign of life.
    fn bury(&mut self) {
        let now = self.now;
        let (dead, young) = self.graves.drain(..).partition(|(_, row)| row.is_dead(now));
        self.graves = young;
        for (worker, row) in Vec::from_iter::<Vec<(WorkerId, Row)>>(dead) {
            let post = Member::bury(&self.shared, worker, &row);
            self.send(QueueId(0), post);
        }
    }

    fn arrive(&mut self, chance: &mut Chance) {
        let queues: Vec<_> = self.members.keys().copied().collect();
        let Some(queue) = chance.one_of(&queues) else { return };
        self.issued += 1;
        let request = RequestId(self.issued);
        let (id, member) = self.members.get_mut(&queue).unwrap();
        let flow = FlowKey {
            id: FairnessId::new(["a", "b", "c"][chance.below(3) as usize]),
            priority: Priority(0),
        };
        let ticket = Ticket {
            id: TicketId { worker: id.0, request: request.0 },
            flow,
            bytes: 100,
            prompt_tokens: 10,
            arrived: self.now,
            ttl: None,
            slo_ttft: None,
        };
        let pool = &self.pool;
        let (arrival, posts) =
            member.arrive(self.now, (&self.shared, pool), ticket, |_| Pool::send());
        match arrival {
            Arrival::Sent((), _) => {
                let held = self.requests.iter().find(|(_, fate)| **fate == Fate::Held);
                assert_eq!(held, None, "{}: {request:?} passed those who wait", self.place());
                self.requests.insert((queue, request), Fate::Running);
            }
            Arrival::Held => {
                self.requests.insert((queue, request), Fate::Held);
            }
            Arrival::Refused(_) | Arrival::Rejected(_) | Arrival::Shed => {
                self.answer((queue, request));
            }
        }
        posts.into_iter().for_each(|post| self.send(queue, post));
    }

    /// A running request comes to its end.
    fn finish(&mut self, chance: &mut Chance) {
        let Some((queue, request)) = self.some(chance, Fate::Running) else { return };
        let (_, member) = self.members.get_mut(&queue).unwrap();
        member.answered(&self.shared, request);
        let post = member.ended(&self.shared, request);
        self.answer((queue, request));
        post.into_iter().for_each(|post| self.send(queue, post));
    }

    /// The client of a held request goes away.
    fn leave(&mut self, chance: &mut Chance) {
        let Some((queue, request)) = self.some(chance, Fate::Held) else { return };
        let (_, member) = self.members.get_mut(&queue).unwrap();
        let post = member.ended(&self.shared, request);
        self.answer((queue, request));
        post.into_iter().for_each(|post| self.send(queue, post));
    }

    fn some(&self, chance: &mut Chance, wanted: Fate) -> Option<Request> {
        let all: Vec<Request> =
            self.requests.iter().filter(|(_, fate)| **fate == wanted).map(|(id, _)| *id).collect();
        chance.one_of(&all)
    }

    fn answer(&mut self, request: Request) {
        self.requests.remove(&request);
        assert!(self.answered.insert(request), "{}: {request:?} answered twice", self.place());
    }

    fn send(&mut self, from: QueueId, post: Post) {
        if self.members.contains_key(&post.to) {
            self.mail.entry((from, post.to)).or_default().push_back(post.message);
        }
    }

    /// Delivers the next message between some pair.
    fn deliver(&mut self, chance: &mut Chance) {
        self.mail.retain(|_, mail| !mail.is_empty());
        let pairs: Vec<_> = self.mail.keys().copied().collect();
        let Some(pair) = chance.one_of(&pairs) else { return };
        let message = self.mail.get_mut(&pair).unwrap().pop_front().unwrap();
        let (_, queue) = pair;
        let (_, member) = self.members.get_mut(&queue).unwrap();
        let steps = member.receive(self.now, (&self.shared, &self.pool), message);
        self.carry_out(queue, steps);
    }

    fn tick_one(&mut self, chance: &mut Chance) {
        self.now = self.now + Duration::from_millis(u64::from(chance.below(20)));
        let queues: Vec<_> = self.members.keys().copied().collect();
        if let Some(queue) = chance.one_of(&queues) {
            self.tick(queue);
        }
        self.bury();
    }

    fn tick(&mut self, queue: QueueId) {
        let (_, member) = self.members.get_mut(&queue).unwrap();
        let steps = member.tick(self.now, (&self.shared, &self.pool));
        self.carry_out(queue, steps);
    }

    fn carry_out(&mut self, queue: QueueId, steps: Vec<Step>) {
        for step in steps {
            match step {
                Step::Post(post) => self.send(queue, post),
                Step::Take { request, epoch } => self.take(queue, request, epoch),
                Step::Reject { request, .. } => self.answer((queue, request)),
            }
        }
    }

    fn take(&mut self, queue: QueueId, request: RequestId, epoch: u64) {
        let (_, member) = self.members.get_mut(&queue).unwrap();
        match member.take_grant(&self.shared, (request, epoch), |_| Pool::send()) {
            Some(Arrival::Sent((), _)) => {
                self.requests.insert((queue, request), Fate::Running);
            }
            Some(Arrival::Refused(_) | Arrival::Rejected(_)) => self.answer((queue, request)),
            Some(Arrival::Held | Arrival::Shed) => panic!("{}: a grant cannot hold", self.place()),
            None => (),
        }
    }
}
