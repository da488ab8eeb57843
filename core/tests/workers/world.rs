//! The surroundings of the workers, simulated: shared data, queues, clients and endpoints.

#![allow(
    clippy::disallowed_types,
    reason = "shared data is what the scheduler may not have and its surroundings do"
)]

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use picker_core::{
    Instant, RequestId,
    flow::{FlowConfig, Outcome, Priority, TicketId},
    ledger::{Accounts, EndpointKey, Heartbeat, Ledger, WorkerId},
    workers::{
        AdmissionResult, Answered, Envelope, Message, QueueId, SharedLedger, Step, WorkerPeer,
    },
};

use crate::{
    chance::Chance,
    pool::{InFlight, Pool, Size, takes},
    request::{Asked, BANDS, Crowd, Progress, any_config},
    witness::{Witness, deadline},
};

const WORKERS_MAX: usize = 4;

/// Requests at once: more than any pool here takes, and few enough to look at all of them in each step.
const REQUESTS_MAX: usize = 40;

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
    config: FlowConfig,
    crowd: Crowd,
    shared: Shared,
    pool: Pool,
    members: BTreeMap<QueueId, (WorkerId, WorkerPeer)>,
    /// Rows of dead workers that nobody has taken back yet.
    graves: Vec<(WorkerId, Heartbeat)>,
    last_death: Instant,
    /// Messages on their way, and since when.
    mail: BTreeMap<(QueueId, QueueId), VecDeque<(Instant, Message)>>,
    requests: BTreeMap<Request, (Fate, Asked)>,
    answered: BTreeSet<Request>,
    /// Those whose clients left while they were held.
    left: BTreeMap<Request, Asked>,
    issued: u32,
    born: u32,
    /// Whether messages and ticks come in time.
    is_timely: bool,
    /// The arbiter's epoch, and whether anybody waited.
    term: (u64, bool),
    witness: Witness,
}

impl World {
    pub(crate) fn new(seed: u64, chance: &mut Chance) -> Self {
        let crowd = if chance.one_in(3) { Crowd::Patient } else { Crowd::Mixed };
        let config = any_config(chance, crowd);
        let start = Instant::from_nanos(1_000_000_000);
        let mut world = Self {
            seed,
            steps: 0,
            now: start,
            shared: Shared { ledger: RefCell::default() },
            crowd,
            pool: Pool { size: Size::any(chance, crowd), is_empty: Cell::new(false) },
            members: BTreeMap::new(),
            graves: Vec::new(),
            last_death: Instant::default(),
            mail: BTreeMap::new(),
            requests: BTreeMap::new(),
            answered: BTreeSet::new(),
            left: BTreeMap::new(),
            issued: 0,
            born: 0,
            is_timely: false,
            term: (0, false),
            witness: Witness::new(config.clone()),
            config,
        };
        (0..=chance.below(4)).for_each(|_| world.bear());
        world
    }

    /// Something happens, and messages come when they like.
    pub(crate) fn step(&mut self, chance: &mut Chance) {
        self.steps += 1;
        match chance.below(100) {
            0..28 => self.arrive(chance),
            28..46 => self.finish(chance),
            46..50 => self.begin(chance),
            50..53 => self.leave(chance),
            53 => self.move_one(chance),
            54..84 => self.deliver(chance),
            84..96 => self.tick_one(chance),
            96 => self.pass(Duration::from_millis(u64::from(chance.below(300)))),
            97 if self.crowd == Crowd::Patient => (),
            97 if chance.one_in(4) => self.pool.is_empty.set(!self.pool.is_empty.get()),
            97 => self.pool.is_empty.set(false),
            98 if chance.one_in(if self.crowd == Crowd::Patient { 40 } else { 10 }) => {
                self.kill(chance);
            }
            98 if chance.one_in(4) => self.come_to_terms(chance),
            98 => self.pass(Duration::from_millis(1)),
            _ if self.members.len() < WORKERS_MAX => self.bear(),
            _ => (),
        }
        self.check();
    }

    /// A millisecond passes as in an Envoy: messages take two of them, each worker ticks every 20.
    pub(crate) fn millisecond(&mut self, chance: &mut Chance) {
        (self.steps, self.is_timely) = (self.steps + 1, true);
        self.pass(Duration::from_millis(1));
        match chance.below(400) {
            0..60 => self.arrive(chance),
            60..95 => self.finish(chance),
            95..100 => self.begin(chance),
            100 => self.pool.is_empty.set(chance.one_in(3)),
            101 if chance.one_in(4) && self.members.len() > 1 => self.kill(chance),
            102 if self.members.len() < WORKERS_MAX => self.bear(),
            _ => (),
        }
        self.deliver_due(chance);
        for queue in self.members.keys().copied().collect::<Vec<_>>() {
            if (self.steps + 7 * u64::from(queue.0)).is_multiple_of(20) {
                self.tick(queue);
            }
        }
        self.bury();
        self.check();
        self.check_the_time();
        self.check_the_lease();
    }

    /// No more requests: everything is delivered and everybody ticks until nothing is left. Then the
    /// ledger must say so.
    pub(crate) fn come_to_rest(&mut self) {
        let mut chance = Chance::new(self.seed);
        self.is_timely = false;
        self.pool.is_empty.set(false);
        if self.members.is_empty() {
            self.bear();
        }
        for _ in 0..1_000 {
            self.everyone_hears(&mut chance);
            self.finish(&mut chance);
            self.check();
        }
        assert!(self.requests.is_empty(), "{}: left over: {:?}", self.place(), self.requests);
        self.ledger_is_true();
    }

    /// For a while nothing happens outside, and what was said is heard. Then the ledger is true, and
    /// nobody waits for nothing.
    fn come_to_terms(&mut self, chance: &mut Chance) {
        for _ in 0..20 {
            self.everyone_hears(chance);
        }
        let running = self.requests.values().filter(|(fate, _)| *fate == Fate::Running);
        self.witness.shares.recount(running.map(|(_, asked)| &asked.ticket.flow));
        if !self.graves.is_empty() {
            return;
        }
        self.ledger_is_true();
        self.nobody_waits_for_nothing();
        // No tick is needed to fill the place of one that ends, or whose prompt is computed.
        if !self.pool.counts_tokens() {
            self.begin(chance);
            self.hear_all(chance);
            self.nobody_waits_for_nothing();
        }
        self.finish(chance);
        self.hear_all(chance);
        self.nobody_waits_for_nothing();
    }

    fn nobody_waits_for_nothing(&self) {
        let waits = self.requests.values().any(|(fate, _)| *fate == Fate::Held);
        let could_go = waits && self.pool.has_room(self.in_flight());
        assert!(!could_go, "{}: somebody waits and there is room", self.place());
    }

    fn everyone_hears(&mut self, chance: &mut Chance) {
        self.pass(Duration::from_millis(20));
        for queue in self.members.keys().copied().collect::<Vec<_>>() {
            self.tick(queue);
        }
        self.bury();
        self.hear_all(chance);
    }

    fn hear_all(&mut self, chance: &mut Chance) {
        while self.mail.values().any(|mail| !mail.is_empty()) {
            self.deliver(chance);
        }
    }

    fn ledger_is_true(&self) {
        let ledger = self.shared.ledger.borrow();
        let held = self.requests.values().filter(|(fate, _)| *fate == Fate::Held).count();
        let counts = |accounts: &Accounts| -> Vec<_> {
            accounts.iter().map(|it| (it.endpoint, it.requests, it.tokens)).collect()
        };
        let (said, true_) = (counts(&ledger.accounts), counts(&self.accounts()));
        assert_eq!(said, true_, "{}: {ledger:?}", self.place());
        assert_eq!((ledger.waiting as usize, ledger.granted), (held, 0), "{}", self.place());
    }

    /// What runs, as a ledger would count it.
    fn accounts(&self) -> Accounts {
        let running = self.requests.values().filter(|(fate, _)| *fate == Fate::Running);
        running.flat_map(|(_, asked)| asked.accounts(self.pool.counts_tokens())).collect()
    }

    fn in_flight(&self) -> InFlight {
        InFlight::of(&self.accounts())
    }

    fn check(&self) {
        let in_flight = self.in_flight();
        let overrun = self.pool.is_overrun(in_flight);
        assert!(!overrun, "{}: overshoot: {in_flight:?}", self.place());
        self.backlogs_are_explained();
    }

    /// Nobody is taken to be busy for longer than the tokens that are counted there take.
    fn backlogs_are_explained(&self) {
        let rounded = Duration::from_micros(1);
        for account in self.shared.ledger.borrow().accounts.iter() {
            let latest = match account.tokens {
                0 => Instant::default(),
                tokens => self.now + takes(tokens) + rounded,
            };
            assert!(account.free_at <= latest, "{}: {account:?}", self.place());
        }
    }

    /// Who waits is told within a tick and two messages that its time is up; if an arbiter died, the
    /// next one has to take its place first.
    fn check_the_time(&self) {
        let handover = Duration::from_millis(if self.recently_died() { 300 } else { 0 });
        let patience = Duration::from_millis(20 + 2 + 2) + handover;
        let phase = self.shared.ledger.borrow().phase;
        for (request, (fate, asked)) in &self.requests {
            let due = deadline(&self.config, &asked.ticket, phase);
            let late = due.is_some_and(|due| due + patience < self.now);
            assert!(*fate == Fate::Running || !late, "{}: {request:?} is late", self.place());
        }
    }

    /// Who decides goes on deciding while anybody waits.
    fn check_the_lease(&mut self) {
        let ledger = self.shared.ledger.borrow();
        let (epoch, waits) = (ledger.lease.epoch, ledger.waiting > 0);
        let (before, waited) = std::mem::replace(&mut self.term, (epoch, waits));
        let lost = epoch != before && waited && !self.recently_died();
        assert!(!lost, "{}: the lease was taken from one who lives", self.place());
    }

    fn recently_died(&self) -> bool {
        self.now.saturating_since(self.last_death) < Duration::from_secs(1)
    }

    fn place(&self) -> String {
        format!("seed {} step {}", self.seed, self.steps)
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
    }

    fn bear(&mut self) {
        self.born += 1;
        let (id, queue) = (WorkerId(u64::from(self.born)), QueueId(self.born));
        let mut member = WorkerPeer::new(id, queue, Some(self.config.clone()), self.now);
        member.provision(self.now, &BANDS);
        self.members.insert(queue, (id, member));
    }

    fn kill(&mut self, chance: &mut Chance) {
        let queues: Vec<_> = self.members.keys().copied().collect();
        let Some(queue) = chance.one_of(&queues) else { return };
        let (id, member) = self.members.remove(&queue).unwrap();
        self.graves.push((id, member.row().clone()));
        self.mail.retain(|(_, to), _| *to != queue);
        self.requests.retain(|(worker, _), _| *worker != queue);
        self.witness.shares.begin_anew();
        self.last_death = self.now;
    }

    /// What another worker does about rows without a sign of life.
    fn bury(&mut self) {
        let now = self.now;
        let (dead, young): (Vec<_>, Vec<_>) =
            self.graves.drain(..).partition(|(_, row)| row.is_dead(now));
        self.graves = young;
        for (worker, row) in dead {
            let post = WorkerPeer::bury(now, &self.shared, worker, &row);
            self.send(QueueId(0), post);
        }
    }

    fn arrive(&mut self, chance: &mut Chance) {
        let queues: Vec<_> = self.members.keys().copied().collect();
        let Some(queue) = chance.one_of(&queues).filter(|_| self.requests.len() < REQUESTS_MAX)
        else {
            return;
        };
        self.issued += 1;
        let request = RequestId(self.issued);
        let (id, member) = self.members.get_mut(&queue).unwrap();
        let id = TicketId { worker: id.0, request: request.0 };
        let asked = Asked::any(chance, self.crowd, id, self.now);
        let pool = &self.pool;
        let (arrival, posts) =
            member.arrive(self.now, (&self.shared, pool), asked.ticket.clone(), |_| {
                pool.admit(&asked)
            });
        match arrival {
            AdmissionResult::Sent((), _) => {
                let held = self.requests.iter().find(|(_, (fate, _))| *fate == Fate::Held);
                assert!(held.is_none(), "{}: {request:?} passed those who wait", self.place());
                self.witness.shares.passed(&asked.ticket.flow);
                self.requests.insert((queue, request), (Fate::Running, asked));
            }
            AdmissionResult::Held => {
                self.requests.insert((queue, request), (Fate::Held, asked));
            }
            AdmissionResult::Refused(_) | AdmissionResult::Rejected(_) | AdmissionResult::Shed => {
                self.answer((queue, request));
            }
        }
        posts.into_iter().for_each(|post| self.send(queue, post));
    }

    /// The answer to a running request begins, perhaps again.
    fn begin(&mut self, chance: &mut Chance) {
        let Some((queue, request)) = self.some(chance, Fate::Running) else { return };
        let (_, member) = self.members.get_mut(&queue).unwrap();
        let Answered { counts, nudge } = member.answered(self.now, &self.shared, request);
        let (_, asked) = self.requests.get_mut(&(queue, request)).unwrap();
        let is_load = self.pool.counts_tokens() && asked.uncached > 0;
        let is_news = asked.progress != Progress::Begun && (is_load || asked.prefill.is_some());
        asked.progress = Progress::Begun;
        assert_eq!(counts, is_news, "{}: {request:?}", self.place());
        nudge.into_iter().for_each(|post| self.send(queue, post));
    }

    /// A running request comes to its end, whether or not it was answered.
    fn finish(&mut self, chance: &mut Chance) {
        let Some((queue, request)) = self.some(chance, Fate::Running) else { return };
        let asked = self.answer((queue, request)).unwrap();
        let (_, member) = self.members.get_mut(&queue).unwrap();
        let ledger = self.shared.ledger.borrow().clone();
        let charge = member.charge(&ledger, asked.ticket.flow.clone(), asked.output);
        self.witness.shares.answered(&asked, charge.is_some());
        let end = member.ended(self.now, &self.shared, request);
        charge.into_iter().chain(end).for_each(|post| self.send(queue, post));
    }

    /// A running request turns out to be on another endpoint.
    fn move_one(&mut self, chance: &mut Chance) {
        let Some((queue, request)) = self.some(chance, Fate::Running) else { return };
        let (_, member) = self.members.get_mut(&queue).unwrap();
        let to = EndpointKey(u64::from(chance.below(3)));
        member.moved(self.now, &self.shared, (request, to));
        let (_, asked) = self.requests.get_mut(&(queue, request)).unwrap();
        asked.endpoint = to;
    }

    /// The client of a held request goes away.
    fn leave(&mut self, chance: &mut Chance) {
        let Some((queue, request)) = self.some(chance, Fate::Held) else { return };
        let (_, member) = self.members.get_mut(&queue).unwrap();
        let post = member.ended(self.now, &self.shared, request);
        let asked = self.answer((queue, request)).unwrap();
        self.left.insert((queue, request), asked);
        post.into_iter().for_each(|post| self.send(queue, post));
    }

    fn some(&self, chance: &mut Chance, wanted: Fate) -> Option<Request> {
        let of_fate = self.requests.iter().filter(|(_, (fate, _))| *fate == wanted);
        chance.one_of(&of_fate.map(|(id, _)| *id).collect::<Vec<_>>())
    }

    fn answer(&mut self, request: Request) -> Option<Asked> {
        assert!(self.answered.insert(request), "{}: {request:?} answered twice", self.place());
        self.requests.remove(&request).map(|(_, asked)| asked)
    }

    fn send(&mut self, from: QueueId, post: Envelope) {
        if self.members.contains_key(&post.to) {
            self.mail.entry((from, post.to)).or_default().push_back((self.now, post.message));
        }
    }

    /// Delivers the next message between some pair.
    fn deliver(&mut self, chance: &mut Chance) {
        self.mail.retain(|_, mail| !mail.is_empty());
        let pairs: Vec<_> = self.mail.keys().copied().collect();
        if let Some(pair) = chance.one_of(&pairs) {
            self.deliver_of(pair);
        }
    }

    /// Delivers what is two milliseconds old, and some of the rest.
    fn deliver_due(&mut self, chance: &mut Chance) {
        for pair in self.mail.keys().copied().collect::<Vec<_>>() {
            while let Some((sent, _)) = self.mail.get(&pair).and_then(|mail| mail.front()) {
                let age = self.now.saturating_since(*sent);
                if age < Duration::from_millis(2) && !chance.one_in(3) {
                    break;
                }
                self.deliver_of(pair);
            }
        }
    }

    fn deliver_of(&mut self, pair: (QueueId, QueueId)) {
        let (_, queue) = pair;
        let (_, message) = self.mail.get_mut(&pair).unwrap().pop_front().unwrap();
        if let Message::Grant { requests, .. } = &message {
            for request in requests {
                if let Some(asked) = self.left.remove(&(queue, *request)) {
                    self.witness.shares.gone(&asked.ticket.flow);
                }
            }
        }
        let ledger = self.shared.ledger.borrow().clone();
        let arbiter = ledger.lease.queue == queue;
        if arbiter {
            self.witness.told(&ledger, &message);
        }
        let runs = matches!(
            message,
            Message::Submit { .. }
                | Message::Cancel { .. }
                | Message::Wake
                | Message::Buried { .. }
        );
        let (_, member) = self.members.get_mut(&queue).unwrap();
        let steps = member.receive(self.now, (&self.shared, &self.pool), message);
        if arbiter && runs {
            self.see(&steps);
        }
        self.carry_out(queue, steps);
    }

    fn see(&mut self, steps: &[Step]) {
        let ledger = self.shared.ledger.borrow().clone();
        let served = self.witness.saw((self.now, &ledger), steps);
        if self.is_timely {
            self.holds_the_order(served);
        }
    }

    /// Whoever has waited for a tick and two messages is known to the arbiter, however new that is, so
    /// that no lower band is served before.
    fn holds_the_order(&self, served: Option<Priority>) {
        let Some(served) = served else { return };
        for (fate, Asked { ticket, .. }) in self.requests.values() {
            let known = ticket.arrived + Duration::from_millis(20 + 2 + 2) < self.now;
            let waits = *fate == Fate::Held && !self.witness.has_settled(ticket.id);
            let passed = known && waits && ticket.flow.priority > served;
            assert!(!passed, "{}: band {served} is served before {ticket:?}", self.place());
        }
    }

    fn tick_one(&mut self, chance: &mut Chance) {
        self.pass(Duration::from_millis(u64::from(chance.below(20))));
        let queues: Vec<_> = self.members.keys().copied().collect();
        if let Some(queue) = chance.one_of(&queues) {
            self.tick(queue);
        }
        self.bury();
    }

    fn tick(&mut self, queue: QueueId) {
        let arbiter = self.shared.ledger.borrow().lease.queue == queue;
        let (_, member) = self.members.get_mut(&queue).unwrap();
        let steps = member.tick(self.now, (&self.shared, &self.pool));
        if arbiter {
            self.see(&steps);
        }
        self.carry_out(queue, steps);
    }

    fn carry_out(&mut self, queue: QueueId, steps: Vec<Step>) {
        for step in steps {
            match step {
                Step::Send(post) => self.send(queue, post),
                Step::Take { request, epoch, .. } => self.take(queue, request, epoch),
                Step::Reject { request, outcome } => {
                    let asked = self.answer((queue, request)).unwrap();
                    let late =
                        asked.progress == Progress::Granted && outcome == Outcome::RejectedCapacity;
                    assert!(!late, "{}: no room for one that was granted it", self.place());
                }
            }
        }
    }

    fn take(&mut self, queue: QueueId, request: RequestId, epoch: u64) {
        let (_, member) = self.members.get_mut(&queue).unwrap();
        let Some((_, asked)) = self.requests.get(&(queue, request)).cloned() else { return };
        let pool = &self.pool;
        let taken = member
            .take_grant(self.now, (&self.shared, pool), (request, epoch), |_| pool.admit(&asked));
        let Some((arrival, posts)) = taken else { return };
        let sent = matches!(arrival, AdmissionResult::Sent(..));
        self.witness.shares.found(&asked.ticket, sent.then_some(asked.uncached), &posts);
        match arrival {
            AdmissionResult::Sent((), _) => {
                self.requests.insert((queue, request), (Fate::Running, asked));
            }
            // The pool is empty by now.
            AdmissionResult::Held => {
                assert!(self.pool.is_empty.get(), "{}: held again", self.place());
                let (_, asked) = self.requests.get_mut(&(queue, request)).unwrap();
                asked.progress = Progress::Granted;
            }
            AdmissionResult::Refused(_) | AdmissionResult::Rejected(_) | AdmissionResult::Shed => {
                panic!("{}: a grant cannot turn away", self.place())
            }
        }
        posts.into_iter().for_each(|post| self.send(queue, post));
    }
}
