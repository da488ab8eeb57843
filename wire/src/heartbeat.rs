//! The heartbeat of a worker in shared data: a sign of life, and what it has counted in the ledger,
//! for the workers that recount the ledger or find it dead.

use picker_core::{
    Amounts, Instant,
    flow::Priority,
    ledger::{BandCount, BandCounts, Exchange, Heartbeat, MeasuredLimits, Sheddable},
    workers::QueueId,
};

use crate::fixed::{self, join, split};

/// Version of the value, and so of its key.
pub(crate) const VERSION: u8 = 8;

/// Mark of the value and its version.
const MAGIC: u32 = u32::from_le_bytes([b'L', b'P', b'R', VERSION]);

/// Words of one band.
const BAND_WORDS: usize = 4;

/// Mark of a limit that there is not: no pool takes so much.
const NO_LIMIT: u64 = u64::MAX;

/// Returns the bytes of a heartbeat: 112, 32 for each band and 40 for each account.
#[must_use]
pub fn encode(heartbeat: &Heartbeat) -> Vec<u8> {
    let Heartbeat { beats, changes, waiting, accounts, exchange, bands, limits, sheddable } =
        heartbeat;
    let [shed_counts, shed_priority, shed_at] = sheddable.map_or([0; 3], sheddable_words);
    let Exchange { epoch, submitted, granted, rejected } = *exchange;
    let MeasuredLimits { amounts, at } = limits;
    let head = [
        join(MAGIC, *waiting),
        *beats,
        *changes,
        epoch,
        submitted,
        granted,
        rejected,
        at.as_nanos(),
        amounts.requests.unwrap_or(NO_LIMIT),
        amounts.tokens.unwrap_or(NO_LIMIT),
        shed_counts,
        shed_priority,
        shed_at,
        u64::try_from(bands.iter().len()).unwrap_or(u64::MAX),
    ];
    let mut words = Vec::with_capacity(head.len() + BAND_WORDS * bands.iter().len());
    words.extend(head);
    words.extend(bands.iter().flat_map(band_words));
    fixed::encode(words.into_iter(), accounts, 0)
}

fn sheddable_words(sheddable: Sheddable) -> [u64; 3] {
    let Sheddable { requests, priority, sent_at, queue } = sheddable;
    [join(requests, queue.0), u64::from(priority.0.cast_unsigned()), sent_at.as_nanos()]
}

/// Reads what a worker may evict; `None` where it has no such request.
fn sheddable([counts, priority, sent_at]: [u64; 3]) -> Option<Sheddable> {
    let ((requests, queue), (priority, _)) = (split(counts), split(priority));
    (requests > 0).then(|| Sheddable {
        requests,
        priority: Priority(priority.cast_signed()),
        sent_at: Instant::from_nanos(sent_at),
        queue: QueueId(queue),
    })
}

fn band_words(band: &BandCount) -> [u64; BAND_WORDS] {
    let BandCount { priority, waiting, in_flight, arrivals, oldest } = *band;
    [u64::from(priority.0.cast_unsigned()), join(waiting, in_flight), arrivals, oldest.as_nanos()]
}

fn band([priority, counts, arrivals, oldest]: &[[u8; 8]; BAND_WORDS]) -> BandCount {
    let (priority, _) = split(u64::from_le_bytes(*priority));
    let (waiting, in_flight) = split(u64::from_le_bytes(*counts));
    BandCount {
        priority: Priority(priority.cast_signed()),
        waiting,
        in_flight,
        arrivals: u64::from_le_bytes(*arrivals),
        oldest: Instant::from_nanos(u64::from_le_bytes(*oldest)),
    }
}

/// Reads a heartbeat. `None` for bytes of another version: of such a worker nothing can be taken
/// back.
#[must_use]
pub fn decode(bytes: &[u8]) -> Option<Heartbeat> {
    let (head, words) = fixed::decode::<14>(bytes)?;
    let [first, beats, changes, epoch, submitted, granted, rejected, rest @ ..] = head;
    let [at, requests, tokens, shed_counts, shed_priority, shed_at, count] = rest;
    let count = usize::try_from(count).ok()?.checked_mul(BAND_WORDS)?;
    let (bands, accounts) = words.split_at_checked(count)?;
    let bands: BandCounts = bands.as_chunks::<BAND_WORDS>().0.iter().map(band).collect();
    let limit = |amount: u64| (amount != NO_LIMIT).then_some(amount);
    let amounts = Amounts { requests: limit(requests), tokens: limit(tokens) };
    let limits = MeasuredLimits { amounts, at: Instant::from_nanos(at) };
    let (magic, waiting) = split(first);
    let accounts = fixed::accounts(accounts)?;
    let exchange = Exchange { epoch, submitted, granted, rejected };
    let sheddable = sheddable([shed_counts, shed_priority, shed_at]);
    let heartbeat =
        Heartbeat { beats, changes, waiting, accounts, exchange, bands, limits, sheddable };
    (magic == MAGIC).then_some(heartbeat)
}
