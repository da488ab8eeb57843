//! The receiver of snapshots, pushed or fetched: verifies each, and puts it into the shared store.

use picker_core::{
    Instant, Snapshot,
    ledger::Ledger,
    worker::{self, Effect, Host, Proposal, Seen, SnapshotNotice, Wants},
};
use wire::{
    config::IngestConfig,
    push::{self, Clocks, PushHistory, SECRET_BYTES_MIN, Secret, Secrets, Stamp},
    shared_snapshot::SharedSnapshot,
};

use crate::{
    counters::Counters,
    gateway,
    host::{self, Headers},
    outbox, session_key,
    store::SharedStore,
};

/// The way that all snapshots of one plugin instance go.
pub(crate) struct Receiver {
    /// Size of the largest snapshot that is taken, in bytes.
    pub(crate) max_bytes: u64,
    /// The counters of snapshots that were stored and refused.
    pub(crate) stats: Counters,
    /// The secrets that the scraper may sign snapshots with.
    secrets: Secrets,
}

/// A snapshot that was stored.
pub(crate) struct Taken {
    /// The stamp that it was signed with.
    pub(crate) stamp: Stamp,
    /// Place of the secret that it was signed with.
    pub(crate) secret: usize,
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
    /// Makes a receiver with the secrets from the environment. `key` is the place of its settings in the
    /// configuration, for the faults. The key of session tokens follows from the first of them.
    ///
    /// # Errors
    /// Without usable secrets, each fault in words.
    pub(crate) fn new(key: &str, config: &IngestConfig) -> Result<Self, Vec<String>> {
        let secrets = Secrets::new(secrets(key, &config.secret_envs)?);
        secrets.get(0).into_iter().for_each(session_key::share);
        Ok(Self { max_bytes: config.max_bytes, stats: Counters::define(), secrets })
    }

    /// Reads the headers that vouch for a snapshot, and looks at their age: before the body comes, of which
    /// nothing is buffered for a stranger.
    pub(crate) fn signed(headers: &Headers) -> Result<push::Headers, Refused> {
        let signed = push::Headers::parse(
            headers.last(push::TIME_HEADER),
            headers.last(push::SEQUENCE_HEADER),
            headers.last(push::SIGNATURE_HEADER),
        )?;
        push::check_wall(wall_ms(), signed.stamp)?;
        Ok(signed)
    }

    /// Returns the answer to a snapshot of so many bytes, if that is more than is taken.
    pub(crate) fn check_size(&self, key: &str, bytes: u64) -> Result<(), Refused> {
        let limit = self.max_bytes;
        if bytes <= limit {
            return Ok(());
        }
        Err(Refused::new(
            413,
            format!("found a snapshot of over {limit} bytes; see {key}.maxBytes"),
        ))
    }

    /// Verifies a snapshot by its signature before anything else looks at it, and stores it.
    pub(crate) fn take(&self, signed: &push::Headers, body: Vec<u8>) -> Result<Taken, Refused> {
        let now = host::now();
        let secret = self.secrets.verify(signed, &body)?;
        let snapshot = wire::snapshot::decode(&body)
            .map_err(|error| Refused::new(400, format!("cannot read the snapshot: {error}")))?;
        let stamp = signed.stamp;
        let clocks = Clocks { wall_ms: wall_ms(), steady: now };
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
        Ok(Taken { stamp, secret, ledger: notify(&store, now, &self.stats), snapshot })
    }

    /// Signs a reply of this gateway with the secret at this place, with the headers that vouch for it. The
    /// scraper knows the secret that it has signed with itself, and maybe no other.
    pub(crate) fn sign(&self, secret: usize, stamp: Stamp, body: &[u8]) -> SignedReply {
        let gateway = gateway::id();
        let secret = self.secrets.get(secret).or_else(|| self.secrets.get(0));
        let sign = |secret| wire::reply::sign(secret, stamp, gateway, body);
        let signature = secret.map(sign).unwrap_or_default();
        SignedReply { gateway: format!("{gateway:016x}"), signature }
    }
}

/// Returns the Unix milliseconds of the wall clock.
pub(crate) fn wall_ms() -> u64 {
    u64::try_from(host::wall_clock().as_millis()).unwrap_or(u64::MAX)
}

/// Reads the secrets in these environment variables. Of two, one may be unset: the second is there while
/// a new secret takes the place of an old one.
fn secrets(key: &str, names: &[String]) -> Result<Vec<Secret>, Vec<String>> {
    let values = names.iter().map(|name| (name, std::env::var(name).unwrap_or_default()));
    let (unset, set): (Vec<_>, Vec<_>) = values.partition(|(_, value)| value.is_empty());
    // Where none is set, the first is what is missing.
    let told = if set.is_empty() { unset.get(..1).unwrap_or_default() } else { &set };
    let short = told.iter().filter(|(_, value)| value.len() < SECRET_BYTES_MIN);
    let faults: Vec<String> = short
        .map(|(name, value)| {
            format!(
                "{key}.secretEnv: found {} bytes in the environment variable {name}; at least \
                 {SECRET_BYTES_MIN} are needed, and vm_config.environment_variables must pass it on",
                value.len()
            )
        })
        .collect();
    if !faults.is_empty() {
        return Err(faults);
    }
    Ok(set.iter().filter_map(|(_, value)| Secret::new(value.as_bytes())).collect())
}

/// Tells the pool's workers of the stored snapshot. Returns the ledger that counts it.
fn notify(store: &SharedStore, now: Instant, counters: &Counters) -> Ledger {
    let mut counted = Ledger::default();
    let mut host = Notifier { store, notice: SnapshotNotice };
    for effect in worker::turn(&mut host, now, ()) {
        if let Effect::Send(envelope) = effect {
            if !outbox::send(&envelope) {
                counters.count_lost_message();
            }
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
