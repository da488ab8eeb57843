//! Makes one signed snapshot of every pool per interval, for all Envoys together.

use std::{
    collections::BTreeSet,
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
        let (mut stamper, mut unwritten) = (Stamper::default(), BTreeSet::new());
        while !rounds.is_closed() {
            ticks.tick().await;
            let round = self.round(&mut stamper, &mut unwritten);
            if !round.is_empty() {
                rounds.send_replace(Some(round));
            }
        }
    }

    /// A pool without a board is left out: an empty snapshot would tell the Envoys that it is
    /// scaled to zero. So is one that can't be written, which is told of once in `unwritten`: every
    /// part of it was held to its bound when it was read, but if one was not, others shall not
    /// suffer.
    fn round(&self, stamper: &mut Stamper, unwritten: &mut BTreeSet<Arc<str>>) -> Round {
        let mut round = Vec::with_capacity(self.pools.len());
        for view in &self.pools {
            let Some(board) = view.board.borrow().clone() else { continue };
            match self.parcel(view, &board, stamper) {
                Ok(parcel) => {
                    unwritten.remove(&view.pool);
                    round.push(parcel);
                }
                Err(why) if unwritten.insert(Arc::clone(&view.pool)) => {
                    error!("pool {}: no snapshots while one can't be written: {why}", view.pool);
                }
                Err(_) => (),
            }
        }
        round.into()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::{Member, Pod, Row};

    fn view(name: &str, label: String) -> View {
        let labels = vec![("a".to_owned(), label)];
        let pod = Arc::new(Pod { address: ([10, 0, 0, 1], 80).into(), labels, http2: false });
        let members = [Member { pod, row: watch::channel(Row::default()).1 }].into();
        let board = Board { members, objectives: Arc::default(), rewrites: [].into() };
        let board = watch::channel(Some(board)).1;
        View { pool: name.into(), board, waiting: Waiting::new() }
    }

    #[test]
    fn a_pool_that_cannot_be_written_holds_up_no_other() {
        let publisher = Publisher {
            pools: vec![view("broken", "x".repeat(64)), view("good", "x".to_owned())],
            interval: Duration::from_millis(50),
            secret: Secret::new(b"0123456789abcdef").unwrap(),
            meters: Meters::new(Instant::now()).into(),
        };
        let (mut stamper, mut unwritten) = (Stamper::default(), BTreeSet::new());
        for _ in 0..2 {
            let round = publisher.round(&mut stamper, &mut unwritten);
            let pools: Vec<_> = round.iter().map(|parcel| &*parcel.pool).collect();
            assert_eq!((pools, unwritten.len()), (vec!["good"], 1));
        }
    }
}
