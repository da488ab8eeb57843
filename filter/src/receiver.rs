//! Takes a snapshot in, whichever way it came: verifies it, and puts it on the board.

use picker_core::{Instant, Snapshot, ledger::Ledger, workers::SharedLedger};
use wire::{
    config::IngestConfig,
    push::{self, Secret},
    shared_snapshot::SharedSnapshot,
};

use crate::{
    host, outbox,
    shared_store::{SharedLedgerCell, SharedStore},
    stats::Stats,
};

/// A shorter secret could be guessed by trying.
const SECRET_BYTES_MIN: usize = 16;

/// What all snapshots of one plugin instance go through.
pub(crate) struct Receiver {
    /// The largest snapshot taken, in bytes.
    pub(crate) max_bytes: u64,
    /// What it counts.
    pub(crate) stats: Stats,
    /// What scraper and Envoy both know.
    secret: Secret,
}

/// A snapshot that is on the board now.
pub(crate) struct Taken {
    /// What it says.
    pub(crate) snapshot: Snapshot,
    /// The pool's ledger since.
    pub(crate) ledger: Ledger,
}

/// Why a snapshot is not stored.
pub(crate) struct Refused {
    /// The status that says so.
    pub(crate) status: u16,
    /// What was found and what is allowed.
    pub(crate) message: String,
}

impl Receiver {
    /// One that has its secret from the environment. `key` is where the configuration says how.
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
        Ok(Self { max_bytes: config.max_bytes, stats: Stats::define(), secret })
    }

    /// Verifies a snapshot by its headers before anything else looks at it, and stores it.
    pub(crate) fn take<'a>(
        &self,
        header: impl Fn(&str) -> Option<&'a [u8]>,
        body: Vec<u8>,
    ) -> Result<Taken, Refused> {
        let now = host::now();
        let headers = push::Headers::parse(
            header(push::TIME_HEADER),
            header(push::SEQUENCE_HEADER),
            header(push::SIGNATURE_HEADER),
        )?;
        self.secret.verify(&headers, &body)?;
        let snapshot = wire::snapshot::decode(&body)
            .map_err(|error| Refused::new(400, format!("cannot read the snapshot: {error}")))?;
        let stamp = headers.stamp;
        let posted = SharedSnapshot { stamp, received_at: now, body };
        SharedStore::of_pool(&snapshot.pool)
            .post_snapshot(&posted, |last| push::check(now_ms(now), stamp, last))?;
        let (mut ledger, mut nudge) = (Ledger::default(), None);
        SharedLedgerCell::of_pool(&snapshot.pool).update(&mut |shared| {
            shared.snapshots += 1;
            // There may be room now.
            nudge = shared.nudge();
            ledger = shared.clone();
        });
        if let Some(arbiter) = nudge {
            outbox::nudge(arbiter);
        }
        Ok(Taken { snapshot, ledger })
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

fn now_ms(now: Instant) -> u64 {
    now.as_nanos() / 1_000_000
}
