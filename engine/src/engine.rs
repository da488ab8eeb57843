//! All that one worker knows of one pool, and the one function that changes it.

use std::{collections::BTreeMap, net::SocketAddr};

use crate::{
    Answer, Ask, Chain, Config, Decision, Event, Explanation, Health, Instant, MAX_OBJECTIVES,
    NoPick, Note, Objective, RequestId, Snapshot, Verdict,
    candidate::Candidate,
    cluster::Capacity,
    flow::Priority,
    ledger::Ledger,
    placements::{Placement, Placements},
    pool::Pool,
    prefix::{Index, Matches},
    rng::Rng,
    saturation::Load,
    scene::Scene,
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

    /// Whether the other workers are to hear of a request once it is sent: then it needs a place on
    /// their board.
    #[must_use]
    pub fn announces(&self, ask: &Ask) -> bool {
        !ask.chain.hashes.is_empty()
    }

    /// Whether an event may have something for the other workers. What they said before is to be
    /// known by then, or it would be undone by what came after it.
    #[must_use]
    pub fn may_tell(&self, event: &Event) -> bool {
        let of = |request| self.placements.get(request);
        match event {
            Event::Sent { ask, .. } => self.announces(ask),
            Event::Answered { request, served_by, answer, .. } => of(*request).is_some_and(|it| {
                *answer != Answer::Taken || served_by.is_some_and(|served| served != it.endpoint)
            }),
            Event::Ended { request } => of(*request).is_some_and(Placement::is_unanswered),
            Event::Broke { .. }
            | Event::Snapshot { .. }
            | Event::Reported { .. }
            | Event::FirstToken { .. }
            | Event::Noted(_) => false,
        }
    }

    /// The prompt tokens that the endpoint with the most of this prompt is not expected to have
    /// cached.
    pub fn uncached_tokens(&mut self, ask: &Ask) -> u32 {
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
    pub fn decide(&mut self, now: Instant, ask: &Ask, ledger: &Ledger) -> Result<Decision, NoPick> {
        self.index.matches(&ask.chain, &mut self.matches);
        let pool = self.pool.as_ref().ok_or(NoPick::NoSnapshot)?;
        let scene = Scene { ask, now };
        let freshness = (now, self.config.stale_after);
        let mut candidates = pool.candidates(freshness, &ledger.accounts, &self.matches);
        narrow(&mut candidates, ask);
        self.config.scheduling.decide(&scene, candidates, &mut self.rng)
    }

    /// What [`Self::decide`] would say, and every score of every endpoint. Nothing changes.
    #[must_use]
    pub fn explain(&self, now: Instant, ask: &Ask, ledger: &Ledger) -> Explanation {
        let mut matches = Matches::default();
        self.index.matches(&ask.chain, &mut matches);
        let Some(pool) = self.pool.as_ref() else {
            return Explanation { decision: Err(NoPick::NoSnapshot), profiles: Vec::new() };
        };
        let (scene, scheduling) = (Scene { ask, now }, &self.config.scheduling);
        let freshness = (now, self.config.stale_after);
        let mut candidates = pool.candidates(freshness, &ledger.accounts, &matches);
        narrow(&mut candidates, ask);
        let profiles = scheduling.explain(&scene, &candidates, &mut self.rng.clone());
        let decision = scheduling.decide(&scene, candidates, &mut self.rng.clone());
        Explanation { decision, profiles }
    }

    /// What is known of each endpoint and in flight there, in the snapshot's order.
    #[must_use]
    pub fn survey(&self, now: Instant, ledger: &Ledger) -> Vec<(SocketAddr, Load)> {
        let Some(pool) = &self.pool else { return Vec::new() };
        let addresses = pool.members().iter().map(|member| member.address);
        addresses.zip(pool.loads(now, &ledger.accounts)).collect()
    }

    /// Entries of the prefix index, over all endpoints.
    #[must_use]
    pub fn indexed(&self) -> usize {
        self.index.entries()
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
    pub fn handle(&mut self, event: Event) -> Vec<Note> {
        match event {
            Event::Snapshot { snapshot, received_at } => {
                self.renew(snapshot, received_at);
                Vec::new()
            }
            Event::Sent { request, ask, decision, .. } => self.send(request, ask.chain, &decision),
            Event::Answered { request, served_by, answer, .. } => {
                self.answer(request, served_by, answer)
            }
            Event::FirstToken { .. } | Event::Broke { .. } => Vec::new(),
            Event::Ended { request } => self.end(request),
            Event::Reported { endpoint, at, waiting, kv_usage } => {
                if let Some(pool) = &mut self.pool {
                    pool.report(endpoint, at, (waiting, kv_usage));
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
    fn send(&mut self, request: RequestId, chain: Chain, decision: &Decision) -> Vec<Note> {
        let Some(placement) = Placement::new(chain.clone(), decision) else { return Vec::new() };
        let endpoint = placement.endpoint;
        self.placements.insert(request, placement);
        self.place(endpoint, chain)
    }

    /// Moves a prompt to where it really went, and unlearns one that was not taken.
    fn answer(
        &mut self,
        request: RequestId,
        served_by: Option<SocketAddr>,
        answer: Answer,
    ) -> Vec<Note> {
        let Some(placement) = self.placements.get_mut(request) else { return Vec::new() };
        let first = placement.endpoint;
        let Some(chain) = placement.answered() else { return Vec::new() };
        let server = served_by.unwrap_or(first);
        let mut notes = Vec::new();
        if server != first {
            notes.extend(self.withdraw(first, chain.clone()));
        }
        match answer {
            Answer::Taken if server != first => notes.extend(self.place(server, chain)),
            Answer::Refused | Answer::Failed if server == first => {
                notes.extend(self.withdraw(first, chain));
            }
            Answer::Taken | Answer::Refused | Answer::Failed => (),
        }
        notes
    }

    /// Unlearns what an unanswered request had brought.
    fn end(&mut self, request: RequestId) -> Vec<Note> {
        let Some(mut placement) = self.placements.remove(request) else { return Vec::new() };
        let endpoint = placement.endpoint;
        placement.answered().map(|chain| self.withdraw(endpoint, chain)).unwrap_or_default()
    }

    fn place(&mut self, endpoint: SocketAddr, chain: Chain) -> Vec<Note> {
        self.told(Note { endpoint, chain, verdict: Verdict::Placed })
    }

    fn withdraw(&mut self, endpoint: SocketAddr, chain: Chain) -> Vec<Note> {
        self.told(Note { endpoint, chain, verdict: Verdict::Withdrawn })
    }

    /// Takes a note of its own into the index before the others get it.
    fn told(&mut self, note: Note) -> Vec<Note> {
        if note.chain.hashes.is_empty() {
            return Vec::new();
        }
        self.note(&note);
        vec![note]
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

/// Leaves those that requests may go to: those of the subset, and of them those that are up, or all
/// if none is, since a scraper that is cut off sees every endpoint down.
fn narrow(candidates: &mut Vec<Candidate<'_>>, ask: &Ask) {
    if let Some(subset) = &ask.subset {
        candidates.retain(|candidate| subset.contains(candidate.member.address));
    }
    let is_up = |candidate: &Candidate<'_>| candidate.member.health == Health::Up;
    if candidates.iter().any(is_up) {
        candidates.retain(is_up);
    }
}
