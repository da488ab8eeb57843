//! One plugin instance in one Envoy worker: what its streams share.

use std::cell::{Cell, RefCell};

use engine::{Ask, Decision, Effect, Engine, Event, NoPick, RequestId};
use wire::config::PickerConfig;

use crate::{
    board::{Board, News},
    host,
    stats::Stats,
};

/// The engine of this worker and what connects it to the other workers.
pub(crate) struct Worker {
    /// What the operator configured.
    pub(crate) config: Box<PickerConfig>,
    /// What it counts.
    pub(crate) stats: Stats,
    engine: RefCell<Engine>,
    board: RefCell<Board>,
    /// A snapshot that does not decode is logged once, not per request.
    snapshot_is_bad: Cell<bool>,
}

impl Worker {
    /// A worker that knows nothing yet; the board tells it all before its first pick.
    pub(crate) fn new(config: Box<PickerConfig>, seed: u64) -> Self {
        Self {
            engine: RefCell::new(Engine::new(engine_config(&config), seed)),
            board: RefCell::new(Board::of_pool(&config.pool)),
            stats: Stats::define(),
            snapshot_is_bad: Cell::new(false),
            config,
        }
    }

    /// Chooses an endpoint for a request.
    pub(crate) fn place(&self, request: RequestId, ask: Ask) -> Result<Decision, NoPick> {
        self.catch_up();
        let mut outcome = Err(NoPick::NoSnapshot);
        for effect in self.handle(Event::Arrived { request, ask }) {
            match effect {
                Effect::Send { decision, .. } => outcome = Ok(decision),
                Effect::Refuse { why, .. } => outcome = Err(why),
                Effect::Tell(note) => self.board.borrow_mut().post_note(&note),
            }
        }
        outcome
    }

    /// Says how a request's response began.
    pub(crate) fn answered(&self, request: RequestId, success: bool) {
        if !success {
            self.catch_up();
        }
        self.tell(Event::Answered { request, success });
    }

    /// Says that a request's stream is gone without an answer. What is taken back depends on who else
    /// counts on it, so here too the board is read first: all workers then agree.
    pub(crate) fn ended(&self, request: RequestId) {
        self.catch_up();
        self.tell(Event::Ended { request });
    }

    /// Handles an event that decides nothing: only news for the others can come of it.
    fn tell(&self, event: Event) {
        for effect in self.handle(event) {
            if let Effect::Tell(note) = effect {
                self.board.borrow_mut().post_note(&note);
            }
        }
    }

    /// Brings the engine up to what all workers know.
    fn catch_up(&self) {
        let News { snapshot, notes } = self.board.borrow_mut().read();
        if let Some(posted) = snapshot {
            match wire::snapshot::decode(&posted.body) {
                Ok(snapshot) => {
                    self.snapshot_is_bad.set(false);
                    let received_at = posted.received_at;
                    self.tell(Event::Snapshot { snapshot, received_at });
                }
                // The ingest instance decoded it before it stored it, so this is another version's.
                Err(error) if !self.snapshot_is_bad.replace(true) => {
                    log::error!("cannot read the snapshot in shared data: {error}");
                }
                Err(_) => (),
            }
        }
        for note in notes {
            self.tell(Event::Noted(note));
        }
    }

    /// The borrow of the engine ends before any effect reaches the host.
    fn handle(&self, event: Event) -> engine::Effects {
        self.engine.borrow_mut().handle(host::now(), event)
    }
}

/// The engine's part of the configuration.
pub(crate) fn engine_config(config: &PickerConfig) -> engine::Config {
    let scorers = config.profile.scorers.iter().filter_map(|(scorer, weight)| {
        let name = match scorer {
            wire::config::Scorer::Queue => "queue-scorer",
            wire::config::Scorer::KvCacheUtilization => "kv-cache-utilization-scorer",
            wire::config::Scorer::PrefixCache => "prefix-cache-scorer",
        };
        Some(engine::WeightedScorer {
            scorer: name.parse().ok()?,
            weight: engine::Weight::try_from(*weight).ok()?,
        })
    });
    let mut out = engine::Config::default();
    out.profile.scorers = scorers.collect();
    out
}
