//! Workers that are told anything, on a store in which anything may stand.

use std::{collections::VecDeque, fmt::Debug, time::Duration};

use picker_core::{
    Instant, Randomness,
    ledger::WorkerId,
    worker::{Effect, Host, Input, Proposal, Seen, Wants, Worker, WorkerName, turn},
    workers::{Message, QueueId},
};

use crate::{
    chance::Chance,
    inputs::{AnyStore, WORKERS, any_config, any_input},
};

/// Inputs that follow from one at most: messages that were made up may go round in circles.
const FOLLOWING_MAX: usize = 32;

pub(crate) struct Lab {
    seed: u64,
    steps: u64,
    chance: Chance,
    now: Instant,
    pub(crate) store: AnyStore,
    workers: Vec<Worker>,
    /// Messages that workers sent, with the receiver's place.
    mail: VecDeque<(usize, Message)>,
}

/// A worker and the store, while it runs a turn.
struct Bench<'a> {
    worker: &'a mut Worker,
    store: &'a mut AnyStore,
    chance: &'a mut Chance,
    now: Instant,
}

impl Host<Worker> for Bench<'_> {
    fn lend<T>(&mut self, part: impl FnOnce(&mut Worker) -> T) -> T {
        part(self.worker)
    }

    fn read(&mut self, wants: &Wants) -> Seen {
        self.store.read(wants)
    }

    fn commit(&mut self, proposal: &Proposal) -> bool {
        if self.chance.one_in(6) {
            self.store.meddle(self.chance, self.now);
        }
        let is_unchanged = proposal.version().0 == Some(self.store.version);
        if is_unchanged {
            self.store.ledger.clone_from(proposal.ledger());
            self.store.version += 1;
            if let Some(entry) = proposal.entry() {
                self.store.publish(entry.position, entry.events.clone());
            }
        }
        is_unchanged
    }
}

impl Lab {
    pub(crate) fn new(seed: u64, is_certain: bool) -> Self {
        let mut chance = Chance::new(seed);
        let now = Instant::from_nanos(1_000_000_000_000);
        let worker = |id: u64| {
            let name = WorkerName { id: WorkerId(id), queue: QueueId(id as u32) };
            Worker::new(name, any_config(&mut chance), now, Randomness::from_seed(seed * 10 + id))
        };
        // One of those that inputs name never lived.
        let workers = (1..WORKERS).map(worker).collect();
        let store = AnyStore { is_certain, ..AnyStore::default() };
        let mail = VecDeque::new();
        Self { seed, steps: 0, chance, now, store, workers, mail }
    }

    /// An input for some worker: a message that was sent, or anything.
    pub(crate) fn next(&mut self) -> (usize, VecDeque<Input>) {
        self.steps += 1;
        self.now = self.now + Duration::from_millis(self.chance.below(40).into());
        if self.chance.one_in(8) {
            self.store.meddle(&mut self.chance, self.now);
        }
        if self.chance.one_in(2)
            && let Some((place, message)) = self.mail.pop_front()
        {
            return (place, Input::from_message(message).into());
        }
        let place = self.chance.below(self.workers.len() as u32) as usize;
        (place, any_input(&mut self.chance, self.now))
    }

    /// Runs inputs and what follows from them.
    pub(crate) fn run(&mut self, place: usize, mut inputs: VecDeque<Input>) {
        for _ in 0..FOLLOWING_MAX {
            let Some(input) = inputs.pop_front() else { return };
            let is_arrival = matches!(input, Input::Arrived(_));
            let Self { store, chance, workers, now, .. } = self;
            let mut bench = Bench { worker: &mut workers[place], store, chance, now: *now };
            let effects = turn(&mut bench, *now, input);
            let is_decision = |effect: &&Effect| matches!(effect, Effect::Decide(_));
            let decisions = effects.iter().filter(is_decision).count();
            assert!(decisions <= 1 && (decisions == 1 || !is_arrival), "{effects:?}");
            for effect in effects {
                match effect {
                    Effect::Send(envelope) => {
                        let to = envelope.to.0 as usize;
                        if (1..=self.workers.len()).contains(&to) && self.mail.len() < 99 {
                            self.mail.push_back((to - 1, envelope.message));
                        }
                    }
                    Effect::Publish { position, events } if !self.chance.one_in(8) => {
                        self.store.publish(position, events);
                    }
                    Effect::Then(input) => inputs.push_back(*input),
                    Effect::ShowHeartbeat => {
                        let worker = &self.workers[place];
                        self.store.heartbeats.insert(worker.id(), worker.heartbeat().clone());
                    }
                    Effect::RemoveHeartbeat { worker, .. } => {
                        self.store.heartbeats.remove(&worker);
                    }
                    Effect::Decide(_)
                    | Effect::Evict { .. }
                    | Effect::Publish { .. }
                    | Effect::TickSoon
                    | Effect::ShowPool(_)
                    | Effect::ReportRecount
                    | Effect::ReportUnreadable(_)
                    | Effect::ReportContended => (),
                }
            }
        }
    }

    /// Proposes on the store as it is, then on what it becomes; and on a clone only on the latter, once
    /// it has read the former. Both propose the same, and are the same before and after they act.
    pub(crate) fn lose_a_try(&mut self, place: usize, input: &Input) {
        let before = self.store.clone();
        let mut after = before.clone();
        (0..=self.chance.below(3)).for_each(|_| after.meddle(&mut self.chance, self.now));
        let (mut twice, mut once) = (self.workers[place].clone(), self.workers[place].clone());

        let _ = self.propose(&mut twice, input, &before);
        let of_twice = self.propose(&mut twice, input, &after);
        if once.wants(self.now, input).ledger() {
            let look = self.propose(&mut once, &Input::Look, &before);
            let _ = once.commit(self.now, Input::Look, look);
        }
        let of_once = self.propose(&mut once, input, &after);

        self.are_same(input, (&of_twice, &of_once));
        self.are_same(input, (&twice, &once));
        let of_twice = twice.commit(self.now, input.clone(), of_twice);
        let of_once = once.commit(self.now, input.clone(), of_once);
        self.are_same(input, (&of_twice, &of_once));
        self.are_same(input, (&twice, &once));
    }

    fn propose(&self, worker: &mut Worker, input: &Input, store: &AnyStore) -> Proposal {
        let seen = store.read(&worker.wants(self.now, input));
        worker.propose(self.now, input, seen)
    }

    fn are_same<T: Debug>(&self, input: &Input, (twice, once): (&T, &T)) {
        let (twice, once) = (without_dice(twice), without_dice(once));
        if twice == once {
            return;
        }
        let at = twice.bytes().zip(once.bytes()).position(|(one, other)| one != other);
        let from = at.unwrap_or(0).saturating_sub(200);
        let part =
            |text: &str| text.get(from..).unwrap_or("").chars().take(400).collect::<String>();
        panic!(
            "seed {} step {}: {input:?}\nleft by a lost try: {}\nwithout one: {}",
            self.seed,
            self.steps,
            part(&twice),
            part(&once)
        );
    }
}

impl Drop for Lab {
    /// Says where a failure was.
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed at seed {} step {}", self.seed, self.steps);
        }
    }
}

/// All of a value but the dice, and the room for matches that is kept between picks.
fn without_dice(value: &impl Debug) -> String {
    let mut text = format!("{value:?}");
    for (begin, end) in [("rng: Rng(", ")"), ("matches: Matches {", "}")] {
        while let Some(at) = text.find(begin) {
            let length = text[at..].find(end).unwrap();
            text.replace_range(at..=at + length, "");
        }
    }
    text
}
