//! The receiver of snapshots, pushed or fetched: verifies each, and puts it into the shared store.

use picker_core::{
    Instant, Snapshot,
    exchange::GatewayId,
    ledger::Ledger,
    worker::{self, Effect, ExchangeNotice, Host, Party, Proposal, Seen, SnapshotNotice, Wants},
};
use wire::{
    config::IngestConfig,
    exchange::{self, Seal, SignedPart},
    placement_event::Origin,
    push::{self, Clocks, PushHistory, SECRET_BYTES_MIN, Secret, Secrets, Stamp},
    shared_snapshot::SharedSnapshot,
};

use crate::{
    counters::Counters,
    debug, gateway,
    host::{self, Headers},
    outbox, prompt_key, session_key,
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

/// The headers of a snapshot.
#[derive(Clone)]
pub(crate) struct SignedHeaders {
    snapshot: push::Headers,
    /// Seal of the part behind the snapshot, if there is one.
    part: Option<Seal>,
    /// True if the scraper runs an exchange between gateways.
    exchanges: bool,
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
        debug::share(&secrets);
        // Until a snapshot says by which secret the scraper signs.
        secrets.get(0).into_iter().for_each(prompt_key::share);
        Ok(Self { max_bytes: config.max_bytes, stats: Counters::define(), secrets })
    }

    /// Reads the headers that vouch for a snapshot, and looks at their age: before the body comes, of which nothing is
    /// buffered for a request without them. Whoever makes some up has it buffered, as an upload among the others.
    pub(crate) fn signed(headers: &Headers) -> Result<SignedHeaders, Refused> {
        let snapshot = push::Headers::parse(
            headers.last(push::TIME_HEADER),
            headers.last(push::SEQUENCE_HEADER),
            headers.last(push::SIGNATURE_HEADER),
        )?;
        push::check_wall(wall_ms(), snapshot.stamp)?;
        let part = Seal::parse(
            headers.last(exchange::PART_HEADER),
            headers.last(exchange::PART_SIGNATURE_HEADER),
        )?;
        Ok(SignedHeaders { snapshot, part, exchanges: headers.has(exchange::EXCHANGE_HEADER) })
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

    /// Verifies a snapshot by its signature before anything else looks at it, and stores it. The part behind it
    /// is stored too if it is this gateway's; another one is passed over, and the snapshot counts all the same.
    pub(crate) fn take(&self, signed: &SignedHeaders, body: &[u8]) -> Result<Taken, Refused> {
        let now = host::now();
        let SignedHeaders { snapshot: signed, part: seal, exchanges } = signed;
        let whole = seal.as_ref().map_or(Some((body, &[][..])), |seal| seal.split(body));
        let (body, part) = whole.ok_or_else(|| {
            Refused::new(400, format!("found a body shorter than {}", exchange::PART_HEADER))
        })?;
        let secret = self.secrets.verify(signed, body)?;
        let snapshot = wire::snapshot::decode(body)
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
                body: body.to_vec(),
            })
        })?;
        // Not before the snapshot counts: a repeated one of another secret would change the key of all prompts.
        self.secrets.get(secret).into_iter().for_each(prompt_key::share);
        let gateway = gateway::id();
        let id = GatewayId(gateway);
        let events = seal.as_ref().and_then(|seal| {
            let part = SignedPart { stamp, gateway, body: part };
            let holds = seal.holds(&self.secrets, secret, part);
            let events = holds.then(|| store.take_part(id, part.body, now)).flatten();
            if events.is_none() {
                self.stats.parts_refused.add(1);
            }
            events
        });
        match (seal, exchanges) {
            (Some(_), _) => (),
            (None, true) => store.expect_part(id, now),
            (None, false) => store.forget_others(now),
        }
        if let Some(events) = events {
            let events = store.take_names(events);
            let notice = Notifier::new(&store, ExchangeNotice);
            self.carry_out(&store, notice, now, events);
        }
        // After the others' events, so that the reply is by a ledger that counts them.
        let notice = Notifier::new(&store, SnapshotNotice);
        let ledger = self.carry_out(&store, notice, now, ());
        Ok(Taken { stamp, secret, ledger, snapshot })
    }

    /// Runs a turn of a notice. Returns the ledger that counts it, if the turn shows that.
    fn carry_out<P: Party>(
        &self,
        store: &SharedStore,
        mut notice: Notifier<'_, P>,
        now: Instant,
        input: P::Input,
    ) -> Ledger {
        let mut counted = Ledger::default();
        for effect in worker::turn(&mut notice, now, input) {
            if let Effect::Send(envelope) = effect {
                if !outbox::send(&envelope) {
                    self.stats.count_lost_message();
                }
            } else if let Effect::Publish { position, events } = effect {
                store.publish(position, Origin::Others, &events);
            } else if let Effect::ShowPool(ledger) = effect {
                counted = *ledger;
            }
        }
        counted
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

/// A notice of a snapshot or of other gateways, over a pool's store.
struct Notifier<'a, P> {
    store: &'a SharedStore,
    notice: P,
    /// Bytes of the ledger as they were read last.
    ledger: Vec<u8>,
}

impl<'a, P> Notifier<'a, P> {
    fn new(store: &'a SharedStore, notice: P) -> Self {
        Self { store, notice, ledger: Vec::new() }
    }
}

impl<P> Host<P> for Notifier<'_, P> {
    fn lend<T>(&mut self, part: impl FnOnce(&mut P) -> T) -> T {
        part(&mut self.notice)
    }

    fn read(&mut self, wants: &Wants) -> Seen {
        let (seen, ledger) = self.store.read(wants);
        self.ledger = ledger;
        seen
    }

    fn commit(&mut self, proposal: &Proposal) -> bool {
        self.store.commit(proposal, &self.ledger)
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
