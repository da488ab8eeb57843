//! The receiver of snapshots, pushed or fetched: verifies each, and puts it into the shared store.

use picker_core::{
    Instant, Snapshot,
    ledger::Ledger,
    worker::{self, Effect, Host, Proposal, Seen, SnapshotNotice, Wants},
};
use wire::{
    config::IngestConfig,
    push::{self, Clocks, PushHistory, Secret, Stamp},
    shared_snapshot::SharedSnapshot,
};

use crate::{
    counters::Counters,
    gateway,
    host::{self, Headers},
    outbox,
    store::SharedStore,
};

/// Shortest secret, in bytes: a shorter one could be guessed by trying.
const SECRET_BYTES_MIN: usize = 16;

/// The way that all snapshots of one plugin instance go.
pub(crate) struct Receiver {
    /// Size of the largest snapshot that is taken, in bytes.
    pub(crate) max_bytes: u64,
    /// The counters of snapshots that were stored and refused.
    pub(crate) stats: Counters,
    /// The secret that the scraper signs snapshots with.
    secret: Secret,
}

/// A snapshot that was stored.
pub(crate) struct Taken {
    /// The stamp that it was signed with.
    pub(crate) stamp: Stamp,
    pub(crate) snapshot: Snapshot,
    /// The pool's ledger after the snapshot was counted there.
    pub(crate) ledger: Ledger,
}

/// The headers that vouch for a reply.
pub(crate) struct SignedReply {
    /// Value of [`wire::reply::GATEWAY_HEADER`].
    pub(crate) gateway: String,
    /// Value of [`push::SIGNATURE_HEADER`].
    pub(crate) signature: String,
}

/// The reason why a snapshot is not stored.
pub(crate) struct Refused {
    /// HTTP status of the answer.
    pub(crate) status: u16,
    /// Text of the answer: what was found, and what is allowed.
    pub(crate) message: String,
}

impl Receiver {
    /// Makes a receiver with the secret from the environment. `key` is the place of its settings in the
    /// configuration, for the error.
    ///
    /// # Errors
    /// Without a usable secret, in words.
    pub(crate) fn new(key: &str, config: &IngestConfig) -> Result<Self, String> {
        let name = &config.secret_env;
        let secret = std::env::var(name).unwrap_or_default().into_bytes();
        if secret.len() < SECRET_BYTES_MIN {
            return Err(format!(
                "{key}.secretEnv: found {} bytes in the environment variable {name}; at least \
                 {SECRET_BYTES_MIN} are needed, and vm_config.environment_variables must pass it on",
                secret.len()
            ));
        }
        let secret = Secret::new(&secret).ok_or("the secret is empty")?;
        Ok(Self { max_bytes: config.max_bytes, stats: Counters::define(), secret })
    }

    /// Verifies a snapshot by its headers before anything else looks at it, and stores it.
    pub(crate) fn take(&self, headers: &Headers, body: Vec<u8>) -> Result<Taken, Refused> {
        let now = host::now();
        let signed = push::Headers::parse(
            headers.last(push::TIME_HEADER),
            headers.last(push::SEQUENCE_HEADER),
            headers.last(push::SIGNATURE_HEADER),
        )?;
        self.secret.verify(&signed, &body)?;
        let snapshot = wire::snapshot::decode(&body)
            .map_err(|error| Refused::new(400, format!("cannot read the snapshot: {error}")))?;
        let stamp = signed.stamp;
        let wall_ms = u64::try_from(host::wall_clock().as_millis()).unwrap_or(u64::MAX);
        let clocks = Clocks { wall_ms, steady: now };
        let store = SharedStore::for_pool(&snapshot.pool);
        store.store_snapshot(|history| {
            let PushHistory { starts, .. } = history.take(clocks, stamp)?;
            Ok::<_, push::Refused>(SharedSnapshot {
                stamp,
                starts,
                received_at: now,
                body: body.clone(),
            })
        })?;
        Ok(Taken { stamp, ledger: notify(&store, now), snapshot })
    }

    /// Signs a reply of this gateway, with the headers that vouch for it.
    pub(crate) fn sign(&self, stamp: Stamp, body: &[u8]) -> SignedReply {
        let gateway = gateway::id();
        let signature = wire::reply::sign(&self.secret, stamp, gateway, body);
        SignedReply { gateway: format!("{gateway:016x}"), signature }
    }
}

/// Tells the pool's workers of the stored snapshot. Returns the ledger that counts it.
fn notify(store: &SharedStore, now: Instant) -> Ledger {
    let mut counted = Ledger::default();
    let mut host = Notifier { store, notice: SnapshotNotice };
    for effect in worker::turn(&mut host, now, ()) {
        if let Effect::Send(envelope) = effect {
            outbox::send(&envelope);
        } else if let Effect::ShowPool(ledger) = effect {
            counted = *ledger;
        }
    }
    counted
}

/// The notice of a snapshot, over a pool's store.
struct Notifier<'a> {
    store: &'a SharedStore,
    notice: SnapshotNotice,
}

impl Host<SnapshotNotice> for Notifier<'_> {
    fn lend<T>(&mut self, part: impl FnOnce(&mut SnapshotNotice) -> T) -> T {
        part(&mut self.notice)
    }

    fn read(&mut self, wants: &Wants) -> Seen {
        self.store.read(wants)
    }

    fn commit(&mut self, proposal: &Proposal) -> bool {
        self.store.commit(proposal)
    }
}

impl Refused {
    pub(crate) const fn new(status: u16, message: String) -> Self {
        Self { status, message }
    }
}

impl From<push::Refused> for Refused {
    fn from(refused: push::Refused) -> Self {
        Self::new(refused.status(), refused.to_string())
    }
}
