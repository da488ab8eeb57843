//! Fetches a pool's snapshots from the scraper, where that may not connect to this Envoy.
//!
//! It asks for what is newer than what is on the board, by the entity tag, and lets the scraper wait
//! for that (`Prefer: wait`, RFC 7240): so snapshots are here as early as if they were pushed, and
//! no timer of Envoy's has to run for it.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
    time::Duration,
};

use picker_core::{
    ledger::WorkerId,
    pull::{FetchOutcome, Puller},
};
use wire::{config::PullConfig, push::Stamp};

use crate::{
    host::{self, Headers},
    identity,
    receiver::{Receiver, Refused},
    shared_store::SharedStore,
};

/// How long the scraper may wait for something new: half of the shortest time-out.
const WAIT: &str = "wait=1";

thread_local! {
    /// One for each pool of this VM: it outlives a plugin instance, as the pool's node does, so that
    /// the old instance and the new one after a change of the configuration do not both fetch.
    static FETCHERS: RefCell<BTreeMap<String, Rc<Fetcher>>> = const { RefCell::new(BTreeMap::new()) };
}

/// Fetches one pool's snapshots in one VM.
pub(crate) struct Fetcher {
    pool: String,
    board: SharedStore,
    puller: RefCell<Puller>,
    /// `None` where the newest configuration does not want it.
    source: RefCell<Option<Source>>,
    /// The request whose answer counts.
    token: Cell<Option<u32>>,
    /// Why the last one failed, if it did: the log tells of each trouble once.
    trouble: RefCell<Option<String>>,
}

/// Where snapshots come from, and what becomes of them.
struct Source {
    config: PullConfig,
    receiver: Receiver,
}

impl Fetcher {
    /// This VM's part in fetching the pool's snapshots, from now on with this configuration.
    ///
    /// # Errors
    /// Without a usable secret, in words.
    pub(crate) fn configure(pool: &str, config: Option<&PullConfig>) -> Result<Rc<Self>, String> {
        let source = match config {
            Some(config) => Some(Source {
                receiver: Receiver::new("pull", &config.ingest)?,
                config: config.clone(),
            }),
            None => None,
        };
        let fetcher = FETCHERS.with_borrow_mut(|fetchers| {
            let fetcher = fetchers.entry(pool.to_owned());
            Rc::clone(fetcher.or_insert_with(|| Rc::new(Self::of_pool(pool))))
        });
        if let Some(source) = &source {
            fetcher.puller.borrow_mut().set_timeout(source.config.timeout);
        }
        fetcher.source.replace(source);
        Ok(fetcher)
    }

    fn of_pool(pool: &str) -> Self {
        let me = WorkerId(host::random() | 1);
        Self {
            pool: pool.to_owned(),
            board: SharedStore::of_pool(pool),
            puller: RefCell::new(Puller::new(me, Duration::ZERO)),
            source: RefCell::default(),
            token: Cell::default(),
            trouble: RefCell::default(),
        }
    }

    /// Asks for the next snapshot, if that is for this worker to do now.
    pub(crate) fn ask(&self) {
        let source = self.source.borrow();
        let Some(Source { config, .. }) = &*source else { return };
        let now = host::now();
        let there = self.board.pull_lease();
        let Some(lease) = self.puller.borrow().turn(now, there.lease) else { return };
        if !self.board.take_pull_lease(&there, lease) {
            return;
        }
        let tag = self.board.stamp().map(Stamp::entity_tag);
        let mut headers = vec![
            (":method", "GET"),
            (":scheme", "http"),
            (":path", config.path.as_str()),
            (":authority", config.authority.as_str()),
            ("prefer", WAIT),
        ];
        headers.extend(tag.as_deref().map(|tag| ("if-none-match", tag)));
        self.token.set(host::http_call(&config.cluster, headers, config.timeout));
        self.puller.borrow_mut().asked(now);
        if self.token.get().is_none() {
            let cluster = &config.cluster;
            self.settle(Err(format!("Envoy has no cluster {cluster:?}: see pull.cluster")));
        }
    }

    /// The answer has come; asks on.
    pub(crate) fn answered(&self, token: u32, headers: usize, body_size: usize) {
        // An answer that was given up on is late, and another request is on its way.
        if self.token.get() == Some(token) {
            self.token.set(None);
            // Reading the headers of no answer would be the end of this VM.
            let headers = if headers > 0 { host::http_call_response_headers() } else { Vec::new() };
            self.settle(self.take(&headers, body_size));
            self.ask();
        }
    }

    fn take(&self, headers: &Headers, body_size: usize) -> Result<FetchOutcome, String> {
        let source = self.source.borrow();
        let Some(Source { receiver, .. }) = &*source else { return Ok(FetchOutcome::Nothing) };
        match identity::last(headers, ":status") {
            Some(b"200") => self.store(receiver, headers, body_size),
            Some(b"304") => Ok(FetchOutcome::Nothing),
            Some(status) => Err(format!("answered {}", String::from_utf8_lossy(status))),
            None => Err("no answer: the connection was reset".to_owned()),
        }
    }

    fn store(
        &self,
        receiver: &Receiver,
        headers: &Headers,
        body_size: usize,
    ) -> Result<FetchOutcome, String> {
        if u64::try_from(body_size).is_ok_and(|size| size > receiver.max_bytes) {
            let limit = receiver.max_bytes;
            return Err(format!("found a snapshot of over {limit} bytes; see pull.maxBytes"));
        }
        let body = host::http_call_response_body(body_size);
        match receiver.take(|name| identity::last(headers, name), body) {
            Ok(taken) if taken.snapshot.pool == self.pool => {
                receiver.stats.snapshots_stored.increment();
                Ok(FetchOutcome::Stored)
            }
            Ok(taken) => {
                let (found, pool) = (taken.snapshot.pool, &self.pool);
                Err(format!("found a snapshot of pool {found:?}; allowed: {pool:?}: see pull.path"))
            }
            // Somebody else has stored it, or a newer one.
            Err(Refused { status: 409, .. }) => Ok(FetchOutcome::Nothing),
            Err(Refused { message, .. }) => {
                receiver.stats.snapshots_refused.increment();
                Err(message)
            }
        }
    }

    fn settle(&self, outcome: Result<FetchOutcome, String>) {
        let answer = match &outcome {
            Ok(answer) => *answer,
            Err(_) => FetchOutcome::Failed,
        };
        self.puller.borrow_mut().answered(host::now(), answer);
        let trouble = outcome.err();
        let before = self.trouble.replace(trouble.clone());
        match trouble {
            Some(why) if before.as_ref() != Some(&why) => {
                log::warn!("cannot fetch the snapshot of pool {}: {why}", self.pool);
            }
            None if before.is_some() => log::info!("fetches snapshots of pool {}", self.pool),
            Some(_) | None => (),
        }
    }
}
