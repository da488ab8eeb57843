//! All that one worker knows of one pool, and the one function that changes it.

mod binding;
mod lifecycle;
mod pending_events;
mod view;

use std::{collections::BTreeMap, net::SocketAddr};

use crate::{
    ledger::Ledger,
    model::{
        Chain, Event, EventKind, InferenceRequest, Instant, OBJECTIVES_MAX, Objective, PickError,
        PlacementEvent, Priority, ResponseClass, Rng, SchedulingResult, Snapshot,
    },
    pool::{
        Candidate, Learned, OutlierDetector, Placements, Pool, Sessions, Slot,
        prefix::{Index, Matches},
    },
    saturation::Detector,
    schedule::{Config, PickContext},
    workers::Capacity,
};
use pending_events::PendingEvents;

/// Decides for one pool within one worker.
#[derive(Debug)]
pub struct Scheduler {
    config: Config,
    /// None until the first snapshot.
    pool: Option<Pool>,
    /// Those of the latest snapshot.
    objectives: BTreeMap<String, Priority>,
    index: Index,
    placements: Placements,
    /// What of requests that ended the other workers have not been told.
    ended: PendingEvents,
    learned: Learned,
    avoidance: OutlierDetector,
    sessions: Sessions,
    rng: Rng,
    /// Kept between picks for its memory.
    matches: Matches,
}

impl Scheduler {
    /// An engine that waits for a snapshot. The same seed and events give the same effects; workers
    /// should differ in their seeds, or they break ties alike and herd.
    #[must_use]
    pub fn new(config: Config, seed: u64) -> Self {
        Self {
            index: Index::new(config.max_entries),
            config,
            pool: None,
            objectives: BTreeMap::new(),
            placements: Placements::default(),
            ended: PendingEvents::default(),
            learned: Learned::default(),
            avoidance: OutlierDetector::default(),
            sessions: Sessions::default(),
            rng: Rng::new(seed),
            matches: Matches::default(),
        }
    }

    /// Whether the other workers are to hear of a request once it is sent: then it needs a place on
    /// their board.
    #[must_use]
    pub fn announces(&self, ask: &InferenceRequest) -> bool {
        !ask.chain.hashes.is_empty() || self.config.scheduling.has_session(ask)
    }

    /// Whether an event may have something for the other workers. What they said before is to be
    /// known by then, or it would be undone by what came after it.
    #[must_use]
    pub fn may_tell(&self, event: &Event) -> bool {
        let of = |request| self.placements.get(request);
        match event {
            Event::Sent { ask, .. } => self.announces(ask),
            Event::Answered { request, served_by, answer, .. } => of(*request).is_some_and(|it| {
                let server = served_by.unwrap_or(it.endpoint);
                *answer != ResponseClass::Taken
                    || server != it.endpoint
                    || self.of(server, OutlierDetector::ends_with_a_beginning)
            }),
            Event::Ended { request, end, .. } => of(*request)
                .is_some_and(|it| it.is_unanswered() || self.verdict(it, *end).is_some()),
            Event::Snapshot { .. }
            | Event::Reported { .. }
            | Event::FirstToken { .. }
            | Event::Streamed { .. }
            | Event::Noted(_) => false,
        }
    }

    /// The prompt tokens that the endpoint with the most of this prompt is not expected to have
    /// cached.
    pub fn uncached_tokens(&mut self, ask: &InferenceRequest) -> u32 {
        self.index.matches(&ask.chain, &mut self.matches);
        let members = self.pool.iter().flat_map(Pool::members);
        let most = members.map(|member| self.matches.blocks(member.slot)).max().unwrap_or(0);
        ask.uncached_tokens(most)
    }

    /// The priority of an objective of the latest snapshot.
    #[must_use]
    pub fn objective(&self, name: &str) -> Option<Priority> {
        self.objectives.get(name).copied()
    }

    /// The priorities of all objectives of the latest snapshot, in the order of their names.
    pub fn priorities(&self) -> impl Iterator<Item = Priority> {
        self.objectives.values().copied()
    }

    /// What it goes by.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Goes by another configuration from now on; what is known stays known.
    pub fn configure(&mut self, config: Config) {
        self.config = config;
    }

    /// Chooses where a request should go, by all that is known now and by what the ledger says is in
    /// flight. Only the dice change: whoever asked and could not commit to the ledger asks again.
    ///
    /// # Errors
    /// If there is nothing to choose from.
    pub fn decide(
        &mut self,
        now: Instant,
        ask: &InferenceRequest,
        ledger: &Ledger,
    ) -> Result<SchedulingResult, PickError> {
        let mut matches = std::mem::take(&mut self.matches);
        self.index.matches(&ask.chain, &mut matches);
        let mut rng = self.rng.clone();
        let decision = self.choose((now, ask, ledger), &matches, &mut rng);
        (self.matches, self.rng) = (matches, rng);
        decision
    }

    fn choose(
        &self,
        (now, ask, ledger): (Instant, &InferenceRequest, &Ledger),
        matches: &Matches,
        rng: &mut Rng,
    ) -> Result<SchedulingResult, PickError> {
        let mut candidates = self.candidates((now, ask, ledger), matches)?;
        let avoids = self.avoidance.narrow(now, &mut candidates);
        let scene = self.scene(now, ask);
        for admitter in &self.config.admitters {
            admitter.admit(&scene, &candidates, rng).map_err(PickError::Denied)?;
        }
        match self.config.scheduling.decide(&scene, candidates, rng) {
            // Who is avoided is better than nobody: of a stage it may be the only one.
            Err(PickError::Filtered(_)) if avoids => {
                let all = self.candidates((now, ask, ledger), matches)?;
                self.config.scheduling.decide(&scene, all, rng)
            }
            decision => decision,
        }
    }

    fn scene<'a>(&'a self, now: Instant, ask: &'a InferenceRequest) -> PickContext<'a> {
        let quiet_for = self.pool.as_ref().map(Pool::quiet_for).unwrap_or_default();
        PickContext {
            request: ask,
            now,
            quiet_for,
            learned: &self.learned,
            sessions: &self.sessions,
            peer: None,
        }
    }

    /// How much more the pool takes, by the detector and with all that the ledger says is in flight.
    #[must_use]
    pub fn capacity(&self, now: Instant, ledger: &Ledger) -> Capacity {
        match &self.pool {
            None => Capacity::Unknown,
            Some(pool) if pool.members().is_empty() => Capacity::Empty,
            Some(pool) => {
                let loads = pool.loads(now, &ledger.accounts);
                let Config { detector, scheduling, .. } = &self.config;
                let in_stages = scheduling.may_compute_apart();
                let room = if in_stages { Detector::room_in_stages } else { Detector::room };
                Capacity::Serving(room(detector, &loads))
            }
        }
    }

    /// Advances the state by one event; returns what the other workers should know of it.
    pub fn handle(&mut self, event: Event) -> Vec<PlacementEvent> {
        match event {
            Event::Snapshot { snapshot, received_at } => {
                self.renew(snapshot, received_at);
                Vec::new()
            }
            Event::Sent { request, at, ask, decision } => self.send((request, at), ask, decision),
            Event::Answered { request, at, served_by, answer } => {
                self.answer((request, at), served_by, answer)
            }
            Event::FirstToken { request, at } => {
                self.learn_first_token(request, at);
                Vec::new()
            }
            Event::Streamed { request, tpot } => {
                if let Some(placement) = self.placements.get(request).filter(|it| !it.is_moved) {
                    self.learned.streamed(&placement.sight, tpot);
                }
                Vec::new()
            }
            Event::Ended { request, at, end } => self.end((request, at), end),
            Event::Reported { endpoint, at, waiting, kv_usage } => {
                if let Some(pool) = &mut self.pool {
                    pool.report(endpoint, at, waiting, kv_usage);
                }
                Vec::new()
            }
            Event::Noted(note) => {
                self.note(&note);
                Vec::new()
            }
        }
    }

    fn renew(&mut self, mut snapshot: Snapshot, received_at: Instant) {
        let objectives = std::mem::take(&mut snapshot.objectives).into_iter();
        let named = objectives.map(|Objective { name, priority }| (name, priority));
        self.objectives = named.take(OBJECTIVES_MAX).collect();
        let pool = self.pool.get_or_insert_default();
        for left in pool.update(snapshot, received_at) {
            self.index.forget(left);
            self.learned.forget(left);
            self.avoidance.clear(left);
        }
        for member in pool.members() {
            let said = member.capacity.filter(|_| self.config.auto_tune);
            let capacity = said.unwrap_or(self.config.default_capacity);
            self.index.admit(member.slot, capacity);
        }
    }

    /// Takes a note of its own in before the others get it.
    fn told(
        &mut self,
        at: Instant,
        endpoint: SocketAddr,
        chain: Chain,
        verdict: EventKind,
    ) -> Vec<PlacementEvent> {
        let is_of_chain =
            matches!(verdict, EventKind::Placed | EventKind::Withdrawn | EventKind::Used);
        if is_of_chain && chain.hashes.is_empty() {
            return Vec::new();
        }
        let note = PlacementEvent { at, endpoint, chain, verdict };
        self.note(&note);
        vec![note]
    }

    fn slot(&self, endpoint: SocketAddr) -> Option<Slot> {
        self.pool.as_ref().and_then(|pool| pool.slot(endpoint))
    }

    /// Whether this is true of an endpoint's failures.
    fn of(&self, endpoint: SocketAddr, is_true: impl Fn(&OutlierDetector, Slot) -> bool) -> bool {
        self.slot(endpoint).is_some_and(|slot| is_true(&self.avoidance, slot))
    }

    /// Takes a note in. One about an endpoint that this worker does not know, which a snapshot under
    /// way explains, or with a damaged chain changes nothing.
    fn note(&mut self, note: &PlacementEvent) {
        let Some(slot) = self.slot(note.endpoint) else { return };
        let chain = Some(&note.chain).filter(|chain| chain.is_whole());
        match note.verdict {
            EventKind::Placed => {
                if let Some(chain) = chain {
                    self.index.learn(slot, chain);
                }
            }
            EventKind::Withdrawn | EventKind::Failed(_) => {
                if let Some(chain) = chain {
                    self.index.withdraw(slot, chain);
                }
                if let EventKind::Failed(fault) = note.verdict {
                    self.avoidance.failed(slot, note.at, fault);
                }
            }
            EventKind::Used => {
                if let Some(chain) = chain {
                    self.index.renew(slot, chain);
                }
            }
            EventKind::Broke(fault) => self.avoidance.broke(slot, note.at, fault),
            EventKind::Served => self.avoidance.clear(slot),
            EventKind::Bound(session) => self.sessions.bind(session, note.endpoint, note.at),
        }
    }

    /// Those that a request may go to, the avoided ones among them.
    fn candidates<'a>(
        &'a self,
        (now, ask, ledger): (Instant, &InferenceRequest, &Ledger),
        matches: &Matches,
    ) -> Result<Vec<Candidate<'a>>, PickError> {
        let pool = self.pool.as_ref().ok_or(PickError::NoSnapshot)?;
        let stale_after = self.config.stale_after;
        let mut candidates = pool.candidates(now, stale_after, &ledger.accounts, matches);
        narrow(&mut candidates, ask);
        Ok(candidates)
    }
}

/// Leaves those that requests may go to: those of the subset, and of them those that are up, or all
/// if none is, since a scraper that is cut off sees every endpoint down.
fn narrow(candidates: &mut Vec<Candidate<'_>>, ask: &InferenceRequest) {
    if let Some(subset) = &ask.subset {
        candidates.retain(|candidate| subset.contains(candidate.member.address));
    }
    let up = candidates.iter().filter(|candidate| candidate.is_up).count();
    if (1..candidates.len()).contains(&up) {
        candidates.retain(|candidate| candidate.is_up);
    }
}
