//! A snapshot as it travels: bytes, and the headers that vouch for them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use hyper::{
    HeaderMap,
    header::{HeaderName, HeaderValue},
};
use picker_core::Snapshot;
use tokio::{sync::watch, time};
use wire::{
    FrameError,
    exchange::{PART_BYTES_MAX, PART_HEADER, PART_SIGNATURE_HEADER},
    push::{SEQUENCE_HEADER, SIGNATURE_HEADER, Stamp, TIME_HEADER},
};

use crate::{
    exchange::SealedPart,
    pool::{PoolView, WaitingGateways},
    settings::Secret,
};

/// Bytes of a snapshot with a part behind it, at most: what an ingest takes by default.
const PUSH_BYTES_MAX: usize = 4 << 20;

/// A signed snapshot, ready to be sent.
#[derive(Debug)]
pub(crate) struct SignedSnapshot {
    pub(crate) pool: Arc<str>,
    /// Entity tag by which a gateway that fetches names the snapshot that it has.
    pub(crate) tag: HeaderValue,
    /// Stamp, over which a gateway signs its reply.
    pub(crate) stamp: Stamp,
    /// True if there may be no other snapshot for a while.
    pub(crate) is_quiet: bool,
    /// Record of the gateways that hold requests, by their answers.
    pub(crate) waiting: WaitingGateways,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// The newest signed snapshot of every pool that is known.
#[derive(Clone, Debug)]
pub(crate) struct Round {
    /// Time when the round was published.
    at: Instant,
    snapshots: Arc<[Arc<SignedSnapshot>]>,
}

impl Round {
    pub(super) fn new(at: Instant, snapshots: Vec<Arc<SignedSnapshot>>) -> Self {
        Self { at, snapshots: snapshots.into() }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<SignedSnapshot>> {
        self.snapshots.iter()
    }

    /// Returns the time at which the round goes to a gateway with this turn.
    pub(super) fn due(&self, turn: Duration) -> Instant {
        self.at + turn
    }
}

/// Waits until the latest round is to go to a gateway with this turn.
pub(super) async fn await_turn(rounds: &watch::Receiver<Option<Round>>, turn: Duration) {
    let due = rounds.borrow().as_ref().map(|round| round.due(turn));
    if let Some(due) = due.filter(|_| !turn.is_zero()) {
        time::sleep_until(due.into()).await;
    }
}

impl SignedSnapshot {
    /// Encodes and signs a snapshot.
    ///
    /// # Errors
    /// If a part of the snapshot is above its bound.
    pub(super) fn new(
        view: &PoolView,
        snapshot: &Snapshot,
        stamp: Stamp,
        secret: &Secret,
    ) -> Result<Self, FrameError> {
        let body = wire::snapshot::encode(snapshot)?;
        Ok(Self {
            pool: Arc::clone(&view.pool),
            tag: entity_tag(stamp),
            stamp,
            is_quiet: !snapshot.quiet_for.is_zero(),
            waiting: view.waiting.clone(),
            headers: sign(secret, stamp, &body),
            body: body.into(),
        })
    }
}

impl SignedSnapshot {
    /// True if there is room for a part behind the snapshot. Without, none is to be made: what it says would count as
    /// told, and what it gives as given.
    pub(super) fn has_room(&self) -> bool {
        self.body.len() + PART_BYTES_MAX <= PUSH_BYTES_MAX
    }

    /// Returns the body with a gateway's part behind the snapshot, and adds the headers that say so.
    pub(super) fn with_part(&self, part: Option<SealedPart>, headers: &mut HeaderMap) -> Bytes {
        let Some(SealedPart { body, signature }) = part else { return self.body.clone() };
        // Hex digits can't fail; without a signature the part would be refused.
        let signature = HeaderValue::try_from(signature).unwrap_or(HeaderValue::from_static(""));
        headers.insert(PART_HEADER, body.len().into());
        headers.insert(PART_SIGNATURE_HEADER, signature);
        [&*self.body, &body].concat().into()
    }
}

/// Returns the headers that vouch for `body`.
fn sign(secret: &Secret, stamp: Stamp, body: &[u8]) -> HeaderMap {
    let signature = HeaderValue::try_from(secret.key().sign(stamp, body));
    let headers = [
        (TIME_HEADER, stamp.time_ms.into()),
        (SEQUENCE_HEADER, stamp.sequence.into()),
        // Hex digits can't fail; an empty signature would be refused by the Envoy, and logged.
        (SIGNATURE_HEADER, signature.unwrap_or(HeaderValue::from_static(""))),
    ];
    headers.into_iter().map(|(name, value)| (HeaderName::from_static(name), value)).collect()
}

fn entity_tag(stamp: Stamp) -> HeaderValue {
    // Digits, a dash and two quotes can't fail; without a tag no gateway waits for anything new.
    HeaderValue::try_from(stamp.entity_tag()).unwrap_or(HeaderValue::from_static("\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_round_goes_to_each_gateway_in_its_turn() {
        let round = Round::new(Instant::now(), Vec::new());
        let (_rounds, seen) = watch::channel(Some(round.clone()));
        for turn in [40, 0, 20].map(Duration::from_millis) {
            await_turn(&seen, turn).await;
            assert!(Instant::now() >= round.due(turn));
        }
        let (_rounds, none) = watch::channel(None);
        await_turn(&none, Duration::from_secs(3600)).await;
    }
}
