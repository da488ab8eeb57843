//! Faults: workers that die or are stopped, messages and changes of the ledger that are lost.
//!
//! | fault | in the world |
//! |---|---|
//! | death | a worker is gone, with its requests and the messages to it |
//! | death before the heartbeat | the same, but its heartbeat is of before its last change of the ledger |
//! | starvation | a worker stands still for some seconds while the others go on, and comes back |
//! | stop | all workers stand still for seven seconds, as the whole Envoy does |
//! | loss | a message is lost, and its receiver lives |
//! | give-up | all tries at the ledger are lost, and the decision holds all the same |
//! | change between | other workers change the ledger between a worker's reading and writing, and look at it before the worker has shown its heartbeat |

use std::time::Duration;

use picker_core::{
    Instant,
    flow::TicketId,
    ledger::{EndpointKey, Heartbeat, WorkerId},
    workers::{Message, QueueId},
};

use crate::{
    chance::Chance,
    world::{Fate, World},
};

/// Time after which the ledger is true again, whatever happened.
const MENDED_AFTER: Duration = Duration::from_secs(5);

/// Time between beats while a world is awaited to be true.
const BEAT: Duration = Duration::from_millis(100);

/// The faults that may happen in a world, beside deaths.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    loses: bool,
    gives_up: bool,
    starves: bool,
    stops: bool,
    dies_before_the_heartbeat: bool,
}

/// The faults that have happened, as far as they excuse anything.
#[derive(Debug, Default)]
pub(crate) struct Troubles {
    /// True if counts of the ledger may be wrong, until it was found true again.
    pub(crate) is_untrue: bool,
    /// Time of the last fault that the ledger or the arbiter finds out about only later.
    pub(crate) last: Option<Instant>,
    /// Time at which all workers went on together after a stop.
    stopped: Option<Instant>,
    /// True while all tries of the present turn are lost.
    pub(crate) is_contended: bool,
    /// Heartbeats that dead workers had shown before their last ones.
    earlier: Vec<(WorkerId, Heartbeat)>,
}

impl Faults {
    /// In half of the worlds there are none, so that nothing is excused there.
    pub(crate) fn any(chance: &mut Chance) -> Self {
        if chance.one_in(2) {
            return Self::default();
        }
        let mut or = || chance.one_in(2);
        Self {
            loses: or(),
            gives_up: or(),
            starves: or(),
            stops: or(),
            dies_before_the_heartbeat: or(),
        }
    }
}

impl World {
    fn trouble(&mut self) {
        self.troubles.is_untrue = true;
        self.troubles.last = Some(self.now);
        self.is_excused = true;
        self.last_turmoil = self.now;
    }

    /// True while a fault may not be found out about yet.
    pub(crate) fn is_troubled(&self) -> bool {
        let lasts = MENDED_AFTER + Duration::from_secs(1);
        self.troubles.last.is_some_and(|at| self.now.saturating_since(at) < lasts)
    }

    /// A fault happens in about one of so many calls.
    pub(crate) fn go_wrong(&mut self, times: u32) {
        if !self.chance.one_in(times) {
            return;
        }
        match self.chance.below(2) {
            0 if self.faults.starves && self.members.len() > 1 => self.starve(),
            1 if self.faults.stops => self.stop(),
            _ => (),
        }
    }

    /// True if this message is lost.
    pub(crate) fn loses(&mut self, message: &Message) -> bool {
        let is_lost = self.faults.loses && !self.is_calm && self.chance.one_in(400);
        if is_lost {
            self.trouble();
            match message {
                Message::Charge { flow, .. } => self.witness.shares.charged(flow),
                Message::Correct { flow, .. } => self.witness.shares.corrected(flow),
                Message::Submit { .. }
                | Message::Cancel { .. }
                | Message::Wake
                | Message::Grant { .. }
                | Message::Reject { .. }
                | Message::Evict { .. }
                | Message::Evicted => (),
            }
            self.witness.shares.begin_anew();
        }
        is_lost
    }

    /// Decides whether all tries of a turn are lost.
    pub(crate) fn begin_turn(&mut self) {
        let is_contended = self.faults.gives_up && !self.is_calm && self.chance.one_in(2_000);
        self.troubles.is_contended = is_contended;
        if is_contended {
            self.trouble();
            self.witness.shares.begin_anew();
        }
    }

    /// True if changes of the ledger may be given up here.
    pub(crate) fn faults_allow_give_ups(&self) -> bool {
        self.faults.gives_up
    }

    /// True if the worker with this queue stands still: messages to it wait.
    pub(crate) fn asleep_at(&self, queue: QueueId) -> bool {
        self.asleep.is_some_and(|id| id.0 == u64::from(queue.0))
    }

    /// All workers stand still, and go on together.
    fn stop(&mut self) {
        let ms = self.chance.below(5_000);
        self.pass(Duration::from_millis(2_500 + u64::from(ms)));
        self.troubles.stopped = Some(self.now);
        self.last_turmoil = self.now;
        self.last_handover = self.now;
        // A request is as late as the stop has made it.
        self.troubles.last = Some(self.now);
    }

    /// A worker stands still while the others go on, and then comes back.
    fn starve(&mut self) {
        let Some(queue) = self.chance.one_of(&self.queues()) else { return };
        self.trouble();
        let slept = self.members.remove(&queue).unwrap();
        let slices = 10 + self.chance.below(20);
        for _ in 0..slices {
            self.pass(Duration::from_millis(250));
            self.asleep = Some(slept.id);
            self.write_late(1);
            for other in self.queues() {
                self.tick(other);
                match self.chance.below(3) {
                    0 => self.arrive_at(other),
                    1 => self.finish_at(other),
                    _ => (),
                }
            }
            for other in self.queues() {
                self.deliver_to(other);
            }
        }
        self.asleep = None;
        self.members.insert(queue, slept);
        self.trouble();
    }

    /// Remembers a heartbeat that another one takes the place of.
    pub(crate) fn keep_earlier(&mut self, worker: WorkerId, earlier: Heartbeat) {
        self.troubles.earlier.retain(|(it, _)| *it != worker);
        self.troubles.earlier.push((worker, earlier));
    }

    /// A worker dies, perhaps before it has shown its last heartbeat.
    pub(crate) fn kill(&mut self) {
        let Some(queue) = self.chance.one_of(&self.queues()) else { return };
        let id = self.members[&queue].id;
        let earlier = self.troubles.earlier.iter().find(|(it, _)| *it == id).cloned();
        if self.faults.dies_before_the_heartbeat
            && self.chance.one_in(2)
            && let Some((id, heartbeat)) = earlier
        {
            self.store.show(id, heartbeat);
        }
        self.bury(queue);
    }

    fn bury(&mut self, queue: QueueId) {
        self.members.remove(&queue);
        self.mail.retain(|(_, to), _| *to != queue);
        self.requests.retain(|(worker, _), _| *worker != queue);
        let before = self.late.len();
        self.late.retain(|entry| entry.writer != queue);
        if self.late.len() < before {
            self.has_gap = true;
            self.withdrawn.retain(|(worker, _)| *worker != queue);
        }
        self.witness.shares.begin_anew();
        self.troubles.last = Some(self.now);
        self.last_turmoil = self.now;
        if self.store.ledger().lease.queue == queue {
            self.last_handover = self.now;
        }
    }

    /// A worker was struck off: it is dead, or stood still for three seconds while its judge did not.
    pub(crate) fn is_rightly_struck(&mut self, worker: WorkerId) {
        let watched = Duration::from_secs(3);
        let found = self.members.values().find(|member| member.id == worker);
        let is_silent = |at: Instant| self.now.saturating_since(at) >= watched;
        let lives = found.is_some_and(|member| !is_silent(member.ticked_at));
        assert!(!lives, "{}: {worker:?} is struck off and lives", self.place());
        let since = self.troubles.stopped;
        let is_early = since.is_some_and(|at| self.now.saturating_since(at) < watched);
        assert!(!is_early, "{}: {worker:?} is struck off after a stop", self.place());
        self.witness.shares.begin_anew();
    }

    /// True if the counts of a dead worker, or of one that was taken for dead, are not mended yet.
    pub(crate) fn has_graves(&self) -> bool {
        let lives = |id: WorkerId| self.members.values().any(|member| member.id == id);
        !self.store.ledger().members.iter().all(|member| lives(member.worker))
    }

    /// Waits for as long as it may take until all faults are found out about.
    pub(crate) fn wait_until_mended(&mut self) {
        if !self.troubles.is_untrue && !self.has_graves() {
            return;
        }
        if self.members.is_empty() {
            self.bear();
        }
        let end = self.now + MENDED_AFTER;
        while self.now < end {
            self.everyone_hears(BEAT);
        }
        assert!(!self.has_graves(), "{}: {:?}", self.place(), self.store.ledger().members);
        self.ledger_is_true();
        (self.troubles.is_untrue, self.troubles.last) = (false, None);
    }

    /// True if the ledger counts what runs and waits.
    pub(crate) fn is_counted(&self) -> bool {
        let ledger = self.store.ledger();
        let counts = |it: &picker_core::ledger::Account| (it.endpoint, it.requests, it.tokens);
        let said: Vec<(EndpointKey, u32, u32)> = ledger.accounts.iter().map(counts).collect();
        let truth: Vec<(EndpointKey, u32, u32)> = self.accounts().iter().map(counts).collect();
        let held = self.requests.values().filter(|(fate, _)| *fate == Fate::Held).count();
        said == truth && ledger.waiting as usize == held && !self.troubles.is_untrue
    }

    /// Remembers the tickets of requests that were held while the ledger could not be changed.
    pub(crate) fn see_tickets(&mut self, queue: QueueId, message: &Message) {
        let Message::Submit { tickets, .. } = message else { return };
        for ticket in tickets {
            let TicketId { request, .. } = ticket.id;
            let request = (queue, picker_core::RequestId(request));
            if let Some((_, asked)) = self.requests.get_mut(&request) {
                asked.ticket.get_or_insert_with(|| ticket.clone());
            }
        }
    }
}
