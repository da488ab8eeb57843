//! Makes one signed snapshot of every pool per interval, for all Envoys together.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use engine::Snapshot;
use hyper::{HeaderMap, header::HeaderValue};
use tokio::{
    sync::watch,
    time::{self, MissedTickBehavior},
};
use tracing::error;
use wire::FrameError;

use crate::{
    board::{self, Board, View},
    codec,
    meters::Meters,
    settings::Secret,
    stamp::Stamper,
    waiting::Waiting,
};

/// A push, ready to be sent.
#[derive(Debug)]
pub(crate) struct Parcel {
    pub(crate) pool: Arc<str>,
    /// Says which snapshot it is, to who fetches it.
    pub(crate) tag: HeaderValue,
    /// Where a gateway's answer is told.
    pub(crate) waiting: Waiting,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// The newest parcel of every pool that is known.
pub(crate) type Round = Arc<[Parcel]>;

/// What makes them.
#[derive(Debug)]
pub(crate) struct Publisher {
    pub(crate) pools: Vec<View>,
    pub(crate) interval: Duration,
    pub(crate) secret: Secret,
    pub(crate) meters: Arc<Meters>,
}

impl Publisher {
    /// Publishes rounds until nobody wants them.
    pub(crate) async fn run(self, rounds: watch::Sender<Option<Round>>) {
        let mut ticks = time::interval(self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut stamper = Stamper::default();
        while !rounds.is_closed() {
            ticks.tick().await;
            match self.round(&mut stamper) {
                Ok(round) if round.is_empty() => (),
                Ok(round) => drop(rounds.send_replace(Some(round))),
                // Every part of a snapshot was held to its bound when it was read.
                Err(why) => return error!("no more snapshots, since one can't be written: {why}"),
            }
        }
    }

    /// A pool without a board is left out: an empty snapshot would tell the Envoys that it is
    /// scaled to zero.
    fn round(&self, stamper: &mut Stamper) -> Result<Round, FrameError> {
        let parcel = |view: &View| {
            let board = view.board.borrow().clone()?;
            Some(self.parcel(view, &board, stamper))
        };
        self.pools.iter().filter_map(parcel).collect()
    }

    fn parcel(
        &self,
        view: &View,
        board: &Board,
        stamper: &mut Stamper,
    ) -> Result<Parcel, FrameError> {
        let snapshot = snapshot(&view.pool, board, Instant::now());
        self.meters.published(&snapshot);
        let body = codec::encode(&snapshot)?;
        let stamp = stamper.next(unix_ms(SystemTime::now()));
        let headers = codec::sign(self.secret.key(), stamp, &body);
        let (pool, tag) = (Arc::clone(&view.pool), codec::entity_tag(stamp));
        let waiting = view.waiting.clone();
        Ok(Parcel { pool, tag, waiting, headers, body: body.into() })
    }
}

/// What is known of a pool at `now`.
pub(crate) fn snapshot(pool: &str, board: &Board, now: Instant) -> Snapshot {
    let endpoints = board::endpoints(&board.members, now);
    let objectives = board.objectives.to_vec();
    let model_rewrites = board.rewrites.to_vec();
    let pool = pool.to_owned();
    Snapshot { pool, endpoints, objectives, model_rewrites, ..Snapshot::default() }
}

pub(crate) fn unix_ms(now: SystemTime) -> u64 {
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
