//! The scheduler: all that one worker knows of one pool, the decision, and the one function by which
//! that knowledge changes.

mod binding;
mod candidates;
mod condition;
mod credit;
mod direct;
mod lifecycle;
mod limits;
mod pending_events;
mod templates;
mod unlearning;
mod view;

use std::{collections::BTreeMap, net::SocketAddr};

use crate::{
    exchange::Others,
    ledger::Ledger,
    model::{
        Chain, End, Event, EventKind, InferenceRequest, Instant, OBJECTIVES_MAX, Objective,
        PickError, PlacementEvent, Priority, Randomness, RequestId, ResponseClass, ResponseStart,
        Rng, SchedulingResult, Snapshot,
    },
    pool::{
        Learned, Lives, OutlierDetector, Placements, Pool, Sent, Sessions, Slot,
        prefix::{Index, Matches},
    },
    saturation::Capacity,
    schedule::{Config, ExtensionPoint, PickContext, Stopwatch},
};
use pending_events::PendingEvents;
use unlearning::Losses;

/// The scheduler of one pool within one worker.
#[derive(Clone, Debug)]
pub struct Scheduler {
    config: Config,
    /// Value of [`Config::counts_tokens`], which asks every plugin.
    counts_tokens: bool,
    /// `None` until the first snapshot.
    pool: Option<Pool>,
    /// Objectives of the latest snapshot.
    objectives: BTreeMap<String, Priority>,
    index: Index,
    placements: Placements,
    /// Events of requests that ended, of which the other workers have not been told yet.
    pending: PendingEvents,
    learned: Learned,
    lives: Lives,
    outliers: OutlierDetector,
    sessions: Sessions,
    /// Knowledge of the other gateways; `None` without an exchange.
    others: Option<Box<Others>>,
    rng: Rng,
    /// Empty between picks, kept for its allocated memory.
    matches: Matches,
}

/// The values that one choice is made from, beside the scheduler's own state.
#[derive(Clone, Copy, Debug)]
struct Pick<'a> {
    now: Instant,
    request: &'a InferenceRequest,
    ledger: &'a Ledger,
    /// Blocks of the request's prompt that each endpoint is expected to have cached.
    matches: &'a Matches,
    /// `None` unless plugins are timed.
    stopwatch: Option<&'a Stopwatch>,
}

impl Scheduler {
    /// Makes a scheduler that waits for a snapshot. The same randomness and events give the same effects;
    /// workers should differ in their seeds, or they break ties alike and herd.
    #[must_use]
    pub fn new(config: Config, randomness: Randomness) -> Self {
        let Randomness { seed, table_key, learned_key } = randomness;
        Self {
            index: Index::new(config.max_entries, table_key),
            counts_tokens: config.counts_tokens(),
            config,
            pool: None,
            objectives: BTreeMap::new(),
            placements: Placements::default(),
            pending: PendingEvents::default(),
            learned: Learned::new(learned_key),
            lives: Lives::default(),
            outliers: OutlierDetector::default(),
            sessions: Sessions::default(),
            others: None,
            rng: Rng::new(seed),
            matches: Matches::default(),
        }
    }

    /// True if the other workers are to hear of a request once it is sent: then it needs a position of
    /// the event ring.
    #[must_use]
    pub fn announces(&self, request: &InferenceRequest) -> bool {
        !request.chain.hashes.is_empty() || self.config.scheduling.has_session(request)
    }

    /// True if the beginning of a response may be news for the other workers. Their earlier events are
    /// to be known by then: taken in later, they would undo the effects of this one.
    #[must_use]
    pub fn may_publish_start(&self, request: RequestId, start: ResponseStart) -> bool {
        self.placements.get(request).is_some_and(|it| {
            let server = start.served_by.unwrap_or(it.endpoint);
            start.class != ResponseClass::Taken
                || server != it.endpoint
                || self.outlier_state(server, OutlierDetector::ends_with_a_beginning)
        })
    }

    /// True if the beginning of a response ends the ejection of the endpoint that it is from.
    #[must_use]
    pub(crate) fn takes_back(&self, request: RequestId, start: ResponseStart) -> bool {
        self.placements.get(request).is_some_and(|it| {
            let server = start.served_by.unwrap_or(it.endpoint);
            start.class == ResponseClass::Taken
                && self.ejects(server)
                && self.outlier_state(server, OutlierDetector::ends_with_a_beginning)
        })
    }

    /// True if the end of a request may be news for the other workers, where `start` is told with it
    /// if it was not told before.
    #[must_use]
    pub fn may_publish_end(
        &self,
        request: RequestId,
        start: Option<ResponseStart>,
        end: End,
    ) -> bool {
        let Some(placement) = self.placements.get(request) else { return false };
        match start {
            None => placement.is_unanswered() || self.end_event(placement, end).is_some(),
            // A response that began well counts as taken by the time of its end.
            Some(start) => {
                self.may_publish_start(request, start)
                    || self.end_event_at(placement.endpoint, end).is_some()
            }
        }
    }

    /// Returns the prompt tokens that the endpoint with the most of this prompt is not expected to have
    /// cached.
    pub fn uncached_tokens(&mut self, request: &InferenceRequest) -> u32 {
        self.index.matches(&request.chain, &mut self.matches);
        let members = self.pool.iter().flat_map(Pool::members);
        let most = members.map(|member| self.matches.blocks(member.slot)).max().unwrap_or(0);
        request.uncached_tokens(most)
    }

    /// Returns the priority of an objective of the latest snapshot.
    #[must_use]
    pub fn objective(&self, name: &str) -> Option<Priority> {
        self.objectives.get(name).copied()
    }

    /// Returns the priorities of all objectives of the latest snapshot, in the order of their names.
    pub fn priorities(&self) -> impl Iterator<Item = Priority> {
        self.objectives.values().copied()
    }

    /// Returns the settings.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Goes by another configuration from now on, without loss of knowledge.
    pub fn configure(&mut self, config: Config) {
        self.counts_tokens = config.counts_tokens();
        self.config = config;
    }

    /// Chooses endpoints for a request, by all that is known now and by the load that the ledger counts.
    /// Only the dice change, so that a caller that could not commit to the ledger may ask again.
    ///
    /// # Errors
    /// If there is nothing to choose from.
    pub fn decide(
        &mut self,
        now: Instant,
        request: &InferenceRequest,
        ledger: &Ledger,
    ) -> Result<SchedulingResult, PickError> {
        let mut matches = std::mem::take(&mut self.matches);
        self.index.matches(&request.chain, &mut matches);
        let mut rng = self.rng.clone();
        let pick = Pick { now, request, ledger, matches: &matches, stopwatch: None };
        let result = self.choose(pick, &mut rng);
        self.matches = matches;
        self.rng = rng;
        result
    }

    fn choose(&self, pick: Pick<'_>, rng: &mut Rng) -> Result<SchedulingResult, PickError> {
        let mut candidates = self.candidates(pick)?;
        let ejects = self.outliers.narrow(pick.now, &mut candidates);
        let context =
            PickContext { stopwatch: pick.stopwatch, ..self.context(pick.now, pick.request) };
        for admitter in &self.config.admitters {
            let admit = || admitter.admit(&context, &candidates, rng);
            let admitted = context.run(ExtensionPoint::Admission, || admitter.name(), admit);
            admitted.map_err(PickError::Denied)?;
        }
        match self.config.scheduling.decide(&context, candidates, rng) {
            // Falls back to ejected endpoints: one may be the only endpoint of its stage.
            Err(PickError::Filtered(_)) if ejects => {
                let all = self.candidates(pick)?;
                self.config.scheduling.decide(&context, all, rng)
            }
            result => result,
        }
    }

    fn context<'a>(&'a self, now: Instant, request: &'a InferenceRequest) -> PickContext<'a> {
        let quiet_for = self.pool.as_ref().map(Pool::quiet_for).unwrap_or_default();
        PickContext {
            request,
            now,
            quiet_for,
            learned: &self.learned,
            sessions: &self.sessions,
            peer: None,
            stopwatch: None,
        }
    }

    /// Returns the room that the pool has for more requests, by the detector and the load that the
    /// ledger counts.
    #[must_use]
    pub fn capacity(&self, now: Instant, ledger: &Ledger) -> Capacity {
        match &self.pool {
            None => Capacity::Unknown,
            Some(pool) if pool.members().is_empty() => Capacity::Empty,
            Some(_) => {
                let loads = self.choosable_loads(now, ledger);
                Capacity::Serving(self.room_beside_others(now, ledger, &loads))
            }
        }
    }

    /// Advances the state by one event. Returns the events that the other workers should take in.
    pub fn handle(&mut self, event: Event) -> Vec<PlacementEvent> {
        match event {
            Event::Snapshot { snapshot, received_at } => {
                self.renew(snapshot, received_at);
                Vec::new()
            }
            Event::Sent { request, at, ask, decision } => self.send(request, at, ask, decision),
            Event::Answered { request, at, served_by, answer } => {
                self.answer(request, at, served_by, answer)
            }
            Event::FirstToken { request, at } => {
                self.learn_first_token(request, at);
                Vec::new()
            }
            Event::Streamed { request, tpot } => {
                if let Some(placement) = self.placements.get(request).filter(|it| !it.is_moved) {
                    self.learned.streamed(&placement.sight, tpot);
                    self.note_step(placement.endpoint, tpot);
                }
                Vec::new()
            }
            Event::Metered { request, at, usage } => {
                self.learn_usage(request, at, usage);
                Vec::new()
            }
            Event::Ended { request, at, end } => self.end(request, at, end),
            Event::Reported { endpoint, at, waiting, kv_usage } => {
                if let Some(pool) = &mut self.pool {
                    pool.report(endpoint, at, waiting, kv_usage);
                }
                Vec::new()
            }
            Event::Noted(event) => {
                self.apply(&event);
                Vec::new()
            }
        }
    }

    /// Learns from the pages of the latest snapshot how many requests others have at each endpoint,
    /// beside those that the ledger counts.
    pub(crate) fn learn_strangers(&mut self, now: Instant, ledger: &Ledger) {
        let sent = Sent { own: &ledger.accounts, others: self.others.as_deref() };
        let loads = self.pool.iter().flat_map(|pool| pool.excess(now, sent));
        loads.for_each(|(slot, excess)| self.learned.strangers.seen(slot, excess));
    }

    fn renew(&mut self, mut snapshot: Snapshot, received_at: Instant) {
        let objectives = std::mem::take(&mut snapshot.objectives).into_iter();
        let named = objectives.map(|Objective { name, priority }| (name, priority));
        self.objectives = named.take(OBJECTIVES_MAX).collect();
        self.learned.texts.adopt(&snapshot.texts);
        let pool = self.pool.get_or_insert_default();
        for left in pool.update(snapshot, received_at) {
            self.index.forget(left);
            self.learned.forget(left);
            self.lives.forget(left);
            self.outliers.clear(left);
        }
        self.share_out();
        let pool = self.pool.get_or_insert_default();
        let losses: Vec<Losses> = pool.members().iter().map(Losses::of_member).collect();
        losses.into_iter().for_each(|losses| self.unlearn(losses, received_at));
        let pool = self.pool.get_or_insert_default();
        self.learned.has_adapters = pool.members().iter().any(|it| it.adapters.is_some());
        let bytes_per_token = self.learned.texts.of_caches();
        for member in pool.members() {
            let reported = member.cache_tokens.filter(|_| self.config.auto_tune);
            let tokens = reported.unwrap_or_else(|| self.config.default_cache_tokens());
            self.index.admit(member.slot, bytes_per_token.blocks(tokens));
            let keeps_for = self.index.keeps_for(member.slot, received_at);
            self.learned.turnover.seen(member.slot, keeps_for);
        }
    }

    /// Makes an event, takes it in, and returns it for the other workers. An event about a prompt is
    /// left out where the prompt has no block.
    fn emit(
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
        let event = PlacementEvent { at, endpoint, chain, verdict };
        self.apply(&event);
        vec![event]
    }

    fn slot(&self, endpoint: SocketAddr) -> Option<Slot> {
        self.pool.as_ref().and_then(|pool| pool.slot(endpoint))
    }

    /// Reads the state of an endpoint in the outlier detector; false for an endpoint that this worker
    /// does not know.
    fn outlier_state(
        &self,
        endpoint: SocketAddr,
        state: impl Fn(&OutlierDetector, Slot) -> bool,
    ) -> bool {
        self.slot(endpoint).is_some_and(|slot| state(&self.outliers, slot))
    }

    /// Takes an event in. An event changes nothing if its chain is damaged, or if this worker does not
    /// know its endpoint, since a snapshot may be under way that does.
    pub(crate) fn apply(&mut self, event: &PlacementEvent) {
        let Some(slot) = self.slot(event.endpoint) else { return };
        if self.is_outlived(slot, event) {
            return;
        }
        let chain = Some(&event.chain).filter(|chain| chain.is_whole());
        self.index.advance(event.at);
        match event.verdict {
            EventKind::Placed => {
                if let Some(chain) = chain {
                    self.count_reuse(chain, event.at);
                    let new_blocks = self.index.learn(slot, chain);
                    self.learned.computes(new_blocks, event.at);
                }
            }
            EventKind::Withdrawn | EventKind::Failed(_) => {
                if let Some(chain) = chain {
                    self.index.withdraw(slot, chain);
                }
                if let EventKind::Failed(fault) = event.verdict {
                    self.outliers.failed(slot, event.at, fault);
                }
            }
            EventKind::Used => self.index.renew(slot, &event.chain),
            EventKind::Broke(fault) => self.outliers.broke(slot, event.at, fault),
            EventKind::Served => self.outliers.clear(slot),
            EventKind::Bound(session) => self.sessions.bind(session, event.endpoint, event.at),
            // A host looks names up in a table of its own, which all its workers share.
            EventKind::Kept(_) => (),
        }
    }

    /// Counts a prompt as a use of the longest prefix of it that is known by now.
    fn count_reuse(&mut self, chain: &Chain, at: Instant) {
        if let (Some(longest), Some(tail)) = (self.index.longest(chain), chain.hashes.last()) {
            self.learned.reuse.add(longest.hash, longest.blocks, *tail, at);
        }
    }
}
