//! All that one worker knows of one pool, and the one function that changes it.

use crate::{
    Ask, Config, Effect, Effects, Event, Instant, NoPick, Note, RequestId, Snapshot, Verdict,
    pick::{Choice, Pick},
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
            placements: Placements::default(),
            rng: Rng::new(seed),
            matches: Matches::default(),
        }
    }

    /// Advances the state by one event and says what to do.
    pub fn handle(&mut self, now: Instant, event: Event) -> Effects {
        match event {
            Event::Snapshot { snapshot, received_at } => {
                self.replace_pool(snapshot, received_at);
                Effects::new()
            }
            Event::Arrived { request, ask } => self.place(now, request, ask),
            Event::Answered { request, success: true } => {
                self.placements.remove(request);
                Effects::new()
            }
            Event::Answered { request, success: false } | Event::Ended { request } => {
                self.take_back(request)
            }
            Event::Noted(note) => {
                self.note(&note);
                Effects::new()
            }
        }
    }

    fn replace_pool(&mut self, snapshot: Snapshot, received_at: Instant) {
        let pool = self.pool.get_or_insert_default();
        for left in pool.update(snapshot, received_at) {
            self.index.forget(left);
        }
        for member in pool.members() {
            let capacity = member.capacity.unwrap_or(self.config.default_capacity);
            self.index.admit(member.slot, capacity);
        }
    }

    /// Picks, and learns at once, so that the next request of a burst with the same prompt follows.
    fn place(&mut self, now: Instant, request: RequestId, ask: Ask) -> Effects {
        let Choice { slot, decision } = match self.choose(now, &ask) {
            Ok(choice) => choice,
            Err(why) => return vec![Effect::Refuse { request, why }],
        };
        let placed_on = decision.ranked.first().copied();
        let mut effects = vec![Effect::Send { request, decision }];
        if let Some(endpoint) = placed_on
            && !ask.chain.hashes.is_empty()
            && ask.chain.is_whole()
        {
            self.index.learn(slot, &ask.chain);
            let chain = ask.chain.clone();
            effects.push(Effect::Tell(Note { endpoint, chain, verdict: Verdict::Placed }));
            self.placements.insert(request, Placement { endpoint, chain: ask.chain });
        }
        effects
    }

    fn choose(&mut self, now: Instant, ask: &Ask) -> Result<Choice, NoPick> {
        let pool = self.pool.as_ref().ok_or(NoPick::NoSnapshot)?;
        self.index.matches(&ask.chain, &mut self.matches);
        let pick = Pick {
            profile: &self.config.profile,
            pool,
            matches: &self.matches,
            blocks: ask.chain.blocks,
            now,
            stale_after: self.config.stale_after,
        };
        pick.choose(&mut self.rng)
    }

    /// Unlearns what an unanswered request had brought. Nothing, if it had its answer.
    fn take_back(&mut self, request: RequestId) -> Effects {
        let Some(Placement { endpoint, chain }) = self.placements.remove(request) else {
            return Effects::new();
        };
        let note = Note { endpoint, chain, verdict: Verdict::Withdrawn };
        self.note(&note);
        vec![Effect::Tell(note)]
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
