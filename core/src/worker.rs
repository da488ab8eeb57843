//! The worker: one Envoy worker's part in one pool, which it plays together with the other workers.
//!
//! A [`Worker`] is data. [`turn`] tells it of an [`Input`]: the worker says which parts of the shared
//! store it [`Wants`], proposes a change on what was [`Seen`], and acts once the store took the
//! change; the [`Effect`]s are for the host to carry out. Arrivals, grants, responses, ends, ticks,
//! snapshots, messages and configurations all go through that one loop, which the crate's
//! documentation shows.
//!
//! Envoy, the mock, the replay and the laws all run this type over stores of their own.

mod arbitration;
mod commit;
mod config;
mod effect;
mod feed;
mod input;
mod memory;
mod proposal;
mod propose;
mod seen;
mod standing;
mod turn;

use std::{net::SocketAddr, time::Duration};

pub use config::{Conduct, WorkerConfig};
pub use effect::{Decision, Effect};
pub use input::{Input, Observation, PendingRequest};
pub use memory::MemoryStore;
pub use proposal::Proposal;
pub use seen::{RING_ENTRIES, RingEntry, Seen, StoredSnapshot, Version, Wants, Written};
pub use turn::{ExchangeNotice, Host, Party, SnapshotNotice, turn};

use crate::{
    flow::{Controller, FlowKey},
    ledger::{Heartbeat, Ledger},
    model::{
        Amounts, Event, InferenceRequest, Instant, Models, Objective, PickError, PoolCondition,
        Priority, PromptOrder, QueueId, Randomness, SchedulingResult, TextMeasure, WorkerId,
    },
    saturation::{Capacity, Load, StageSaturations, StaleEndpoints},
    schedule::{Clock, Explanation, PluginTime},
    scheduler::Scheduler,
    workers::{WorkerPeer, watch::Watch},
};
use feed::Feed;

/// The part of a worker in one pool: scheduler, flow-control peer, feed of the other workers' events,
/// models and learnt rates.
#[derive(Clone, Debug)]
pub struct Worker {
    scheduler: Scheduler,
    peer: WorkerPeer,
    feed: Feed,
    models: Models,
    /// Configured objectives, which count before those of a snapshot.
    objectives: Vec<Objective>,
    /// Priorities that have bands.
    provisioned: Vec<Priority>,
    conduct: Conduct,
    registration: Registration,
    pace: TickPace,
    watch: Watch,
    /// Ejections and their ends, by the scheduler's count, that this worker knew of when it looked at the queues last.
    ejections: u64,
    /// Time of the last look at the store; `None` before the first.
    looked_at: Option<Instant>,
}

/// Age of the last look at the store above which a request without a place looks again: the time between two snapshots
/// of a scraper at its fastest. A look costs as much as all else that such a request takes.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The worker's place among the members of the ledger. Envoy makes VMs that never serve; only one that
/// does is worth the others' attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Registration {
    None,
    Registered,
}

/// The pace of the worker's ticks, as far as the host was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TickPace {
    Idle,
    Busy,
}

/// The names by which the other workers know a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerName {
    /// Id of the worker, the same for all pools of one VM.
    pub id: WorkerId,
    /// Queue on which the worker takes this pool's messages.
    pub queue: QueueId,
}

impl Worker {
    /// Makes a worker that waits for a snapshot. The same randomness and inputs give the same
    /// effects; workers should differ in their seeds, or they break ties alike and herd.
    #[must_use]
    pub fn new(
        name: WorkerName,
        config: WorkerConfig,
        now: Instant,
        randomness: Randomness,
    ) -> Self {
        let mut worker = Self {
            scheduler: Scheduler::new(config.scheduler.clone(), randomness),
            peer: WorkerPeer::new(name.id, name.queue, None, now),
            feed: Feed::default(),
            models: Models::default(),
            objectives: Vec::new(),
            provisioned: Vec::new(),
            conduct: Conduct::default(),
            registration: Registration::None,
            pace: TickPace::Idle,
            watch: Watch::default(),
            ejections: 0,
            looked_at: None,
        };
        worker.configure(now, config);
        worker
    }

    fn configure(&mut self, now: Instant, config: WorkerConfig) {
        let WorkerConfig { scheduler, flow, objectives, model_rewrites, conduct } = config;
        self.conduct = conduct;
        self.objectives = objectives;
        self.scheduler.configure(scheduler);
        self.peer.configure(now, flow);
        self.models.configure(&model_rewrites);
        self.provision(now);
        self.settle_pace();
    }

    /// Notes the pace at which the host ticks after a tick and a configuration: by [`Self::is_busy`].
    fn settle_pace(&mut self) {
        self.pace = if self.peer.is_busy() { TickPace::Busy } else { TickPace::Idle };
    }

    /// Gives every known priority a band. Configured ones come first, for there may be fewer bands than
    /// priorities.
    fn provision(&mut self, now: Instant) {
        let mut priorities: Vec<_> = self.objectives.iter().map(|it| it.priority).collect();
        priorities.extend(self.scheduler.priorities());
        self.peer.provision(now, &priorities);
        self.provisioned = priorities;
    }

    /// Returns the worker's id.
    #[must_use]
    pub fn id(&self) -> WorkerId {
        self.peer.id()
    }

    /// Returns the worker's counts, to be written by [`Effect::ShowHeartbeat`].
    #[must_use]
    pub fn heartbeat(&self) -> &Heartbeat {
        self.peer.heartbeat()
    }

    /// True while this worker is to tick in quick succession: requests wait on it or on its decision.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.peer.is_busy()
    }

    /// True once this worker is a member of the ledger, which is with its first request.
    #[must_use]
    pub fn is_registered(&self) -> bool {
        self.registration == Registration::Registered
    }

    /// Returns all queues of the pool, if this worker is the arbiter.
    #[must_use]
    pub fn queues(&self) -> Option<&Controller> {
        self.peer.queues()
    }

    /// Takes what this worker has charged tenants since the last time, as
    /// [`Controller::take_charges`](crate::flow::Controller::take_charges) has it.
    pub fn take_charges(&mut self) -> Vec<(FlowKey, i64)> {
        self.peer.take_charges()
    }

    /// Returns the bytes per token of the pool's prompts, as far as answers told.
    #[must_use]
    pub fn texts(&self) -> Vec<TextMeasure> {
        self.scheduler.texts()
    }

    /// Counts the entries of the prefix index, over all endpoints.
    #[must_use]
    pub fn indexed(&self) -> usize {
        self.scheduler.indexed()
    }

    /// Returns the pool's models, as far as this worker has read of them.
    #[must_use]
    pub fn models(&self) -> &Models {
        &self.models
    }

    /// Returns the order in which the chat template of a model is believed to write a prompt.
    #[must_use]
    pub fn prompt_order(&self, model: &str) -> PromptOrder {
        self.scheduler.prompt_order(model)
    }

    /// True once a snapshot has come.
    #[must_use]
    pub fn knows_snapshot(&self) -> bool {
        self.scheduler.knows_snapshot()
    }

    /// Returns the priority of a configured objective.
    #[must_use]
    pub fn configured_priority(&self, objective: &str) -> Option<Priority> {
        self.objectives.iter().find(|it| it.name == objective).map(|it| it.priority)
    }

    /// Returns the priority of an objective, by the configuration and else by the snapshot read last; 0 where
    /// none has the name, as in the EPP.
    #[must_use]
    pub fn priority(&self, objective: &str) -> Priority {
        let configured = self.configured_priority(objective);
        configured.or_else(|| self.scheduler.objective(objective)).unwrap_or_default()
    }

    /// Returns the pool's capacity, by this ledger.
    #[must_use]
    pub fn capacity(&self, now: Instant, ledger: &Ledger) -> Capacity {
        self.scheduler.capacity(now, ledger)
    }

    /// Returns the pool's condition, by this ledger.
    #[must_use]
    pub fn condition(&self, now: Instant, ledger: &Ledger) -> PoolCondition {
        self.scheduler.condition(now, ledger)
    }

    /// Returns the saturation of each stage of the pool.
    #[must_use]
    pub fn stages(&self, now: Instant, ledger: &Ledger) -> StageSaturations {
        self.scheduler.stages(now, ledger)
    }

    /// Returns the most that the pool takes of all gateways, by what flow control goes by.
    #[must_use]
    pub fn limits(&self, now: Instant, ledger: &Ledger) -> Amounts {
        self.scheduler.limits(now, ledger)
    }

    /// Returns the endpoints that can be chosen and have no fresh metrics, by the saturation detector.
    #[must_use]
    pub fn stale(&self, now: Instant, ledger: &Ledger) -> StaleEndpoints {
        self.scheduler.stale(now, ledger)
    }

    /// Returns the load of each endpoint, in the snapshot's order.
    #[must_use]
    pub fn survey(&self, now: Instant, ledger: &Ledger) -> Vec<(SocketAddr, Load)> {
        self.scheduler.survey(now, ledger)
    }

    /// True if this endpoint has failed too often, and has not served since: it adds no room, and requests go
    /// elsewhere but for one at a time that tries it.
    #[must_use]
    pub fn ejects(&self, endpoint: SocketAddr) -> bool {
        self.scheduler.ejects(endpoint)
    }

    /// True if a request that asks for no place is to be preceded by a look at the store: without a snapshot, or after
    /// 50 ms without any look. A request that is placed looks in any case.
    #[must_use]
    pub fn is_behind(&self, now: Instant) -> bool {
        let is_recent = |at: Instant| now.saturating_since(at) < LOOK_EVERY;
        !self.knows_snapshot() || !self.looked_at.is_some_and(is_recent)
    }

    /// Chooses endpoints for a request that computes nothing, by chance: without the ledger, and before
    /// all that wait. Returns `None` where the request goes on without an endpoint of ours.
    ///
    /// # Errors
    /// If there is nothing to choose from.
    pub fn direct(
        &mut self,
        now: Instant,
        request: &InferenceRequest,
    ) -> Result<Option<SchedulingResult>, PickError> {
        match self.scheduler.direct(now, request) {
            Err(PickError::NoSnapshot) if self.conduct != Conduct::FailsClosed => Ok(None),
            result => result.map(Some),
        }
    }

    /// Completes a request that arrives by what this worker knows of its model before this turn's news.
    fn receive(&self, input: &mut Input) {
        if let Input::Arrived(pending) = input {
            self.scheduler.measure(&mut pending.request);
        }
    }

    /// Takes in an event that concerns this worker's knowledge alone.
    pub fn observe(&mut self, observation: Observation) {
        let events = self.scheduler.handle(match observation {
            Observation::FirstToken { request, at } => Event::FirstToken { request, at },
            Observation::Streamed { request, tpot } => Event::Streamed { request, tpot },
            Observation::Metered { request, at, usage } => Event::Metered { request, at, usage },
            Observation::LoadReported { endpoint, at, waiting, kv_usage } => {
                Event::Reported { endpoint, at, waiting, kv_usage }
            }
        });
        debug_assert!(events.is_empty(), "an observation concerns this worker alone");
    }

    /// Measures a request as on its arrival, and how long each plugin takes in the choice for it. Nothing else changes.
    #[must_use]
    pub fn time_plugins(
        &self,
        now: Instant,
        request: &mut InferenceRequest,
        ledger: &Ledger,
        clock: Clock,
    ) -> Vec<PluginTime> {
        self.scheduler.measure(request);
        self.scheduler.time_plugins(now, request, ledger, clock)
    }

    /// Measures a request as on its arrival, scores every endpoint for it, and says which would be chosen. Nothing else
    /// changes.
    #[must_use]
    pub fn explain(
        &self,
        now: Instant,
        request: &mut InferenceRequest,
        ledger: &Ledger,
    ) -> Explanation {
        self.scheduler.measure(request);
        self.scheduler.explain(now, request, ledger)
    }
}
