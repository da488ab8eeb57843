//! All that one worker knows of one pool, and the one function that changes it.

use std::{collections::BTreeMap, net::SocketAddr};

use crate::{
    Ask, Config, Decision, Event, Instant, MAX_OBJECTIVES, NoPick, Note, Objective, RequestId,
    Snapshot, Verdict,
    cluster::Capacity,
    flow::Priority,
    ledger::Ledger,
    pick::Pick,
    placements::{Placement, Placements},
    pool::Pool,
    prefix::{Index, Matches},
    rng::Rng,
};

/// Decides for one pool within one worker.
#[derive(Debug)]
pub struct Engine {
    config: Config,
    /// None until the first snapshot.
    pool: Option<Pool>,
    /// Those of the latest snapshot.
    objectives: BTreeMap<String, Priority>,
    index: Index,
    placements: Placements,
    rng: Rng,
    /// Kept between picks for its memory.
    matches: Matches,
}

impl Engine {
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
            rng: Rng::new(seed),
            matches: Matches::default(),
        }
    }

    /// Whether a request was sent and not answered, so that its end would take its prompt back. What
    /// other workers said of that prompt is to be known by then.
    #[must_use]
    pub fn is_unanswered(&self, request: RequestId) -> bool {
        self.placements.contains(request)
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

    /// Whether anything goes by the prompt tokens in flight.
    #[must_use]
    pub fn counts_tokens(&self) -> bool {
        self.config.detector.counts_tokens()
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
    pub fn decide(&mut self, now: Instant, ask: &Ask, ledger: &Ledger) -> Result<Decision, NoPick> {
        let pool = self.pool.as_ref().ok_or(NoPick::NoSnapshot)?;
        self.index.matches(&ask.chain, &mut self.matches);
        let pick = Pick {
            profile: &self.config.profile,
            pool,
            in_flight: &pool.in_flight(&ledger.accounts),
            matches: &self.matches,
            blocks: ask.chain.blocks,
            now,
            stale_after: self.config.stale_after,
        };
        pick.choose(&mut self.rng)
    }

    /// How much more the pool takes, by the detector and with all that the ledger says is in flight.
    #[must_use]
    pub fn capacity(&self, now: Instant, ledger: &Ledger) -> Capacity {
        match &self.pool {
            None => Capacity::Unknown,
            Some(pool) if pool.members().is_empty() => Capacity::Empty,
            Some(pool) => {
                let loads = pool.loads(now, &ledger.accounts);
                Capacity::Serving(self.config.detector.room(&loads))
            }
        }
    }

    /// Advances the state by one event; returns what the other workers should know of it.
    pub fn handle(&mut self, event: Event) -> Option<Note> {
        match event {
            Event::Snapshot { snapshot, received_at } => {
                self.renew(snapshot, received_at);
                None
            }
            Event::Sent { request, ask, endpoint } => self.learn(request, ask, endpoint),
            Event::Answered { request, success: true } => {
                self.placements.remove(request);
                None
            }
            Event::Answered { request, success: false } | Event::Ended { request } => {
                self.take_back(request)
            }
            Event::Noted(note) => {
                self.note(&note);
                None
            }
        }
    }

    fn renew(&mut self, mut snapshot: Snapshot, received_at: Instant) {
        let objectives = std::mem::take(&mut snapshot.objectives).into_iter();
        let named = objectives.map(|Objective { name, priority }| (name, priority));
        self.objectives = named.take(MAX_OBJECTIVES).collect();
        let pool = self.pool.get_or_insert_default();
        for left in pool.update(snapshot, received_at) {
            self.index.forget(left);
        }
        for member in pool.members() {
            let said = member.capacity.filter(|_| self.config.auto_tune);
            let capacity = said.unwrap_or(self.config.default_capacity);
            self.index.admit(member.slot, capacity);
        }
    }

    /// Learns a prompt as soon as it is on its way, so that the next request of a burst with the
    /// same prompt follows.
    fn learn(&mut self, request: RequestId, ask: Ask, endpoint: SocketAddr) -> Option<Note> {
        let Ask { chain } = ask;
        if chain.hashes.is_empty() {
            return None;
        }
        let note = Note { endpoint, chain, verdict: Verdict::Placed };
        self.note(&note);
        self.placements.insert(request, Placement { endpoint, chain: note.chain.clone() });
        Some(note)
    }

    /// Unlearns what an unanswered request had brought. Nothing, if it had its answer.
    fn take_back(&mut self, request: RequestId) -> Option<Note> {
        let Placement { endpoint, chain } = self.placements.remove(request)?;
        let note = Note { endpoint, chain, verdict: Verdict::Withdrawn };
        self.note(&note);
        Some(note)
    }

    /// Takes a note into the index. One about an endpoint that this worker does not know, which a
    /// snapshot under way explains, or with a damaged chain changes nothing.
    fn note(&mut self, note: &Note) {
        let slot = self.pool.as_ref().and_then(|pool| pool.slot(note.endpoint));
        let Some(slot) = slot.filter(|_| note.chain.is_whole()) else { return };
        match note.verdict {
            Verdict::Placed => self.index.learn(slot, &note.chain),
            Verdict::Withdrawn => self.index.withdraw(slot, &note.chain),
        }
    }
}
