//! Makes one signed snapshot per interval, for all Envoys together.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use engine::Snapshot;
use hyper::HeaderMap;
use tokio::{
    sync::watch,
    time::{self, MissedTickBehavior},
};
use tracing::error;
use wire::FrameError;

use crate::{
    board::{self, Board},
    codec,
    meters::Meters,
    objectives::Objectives,
    settings::Secret,
    stamp::Stamper,
};

/// A push, ready to be sent.
#[derive(Debug)]
pub(crate) struct Parcel {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// What makes them.
#[derive(Debug)]
pub(crate) struct Publisher {
    pub(crate) pool: String,
    pub(crate) objectives: Objectives,
    pub(crate) interval: Duration,
    pub(crate) secret: Secret,
    pub(crate) board: watch::Receiver<Option<Board>>,
    pub(crate) meters: Arc<Meters>,
}

impl Publisher {
    /// Publishes parcels until nobody wants them.
    ///
    /// Nothing is published before the first list of pods: an empty snapshot would tell the Envoys
    /// that the pool is scaled to zero.
    pub(crate) async fn run(mut self, parcels: watch::Sender<Option<Arc<Parcel>>>) {
        if self.board.wait_for(Option::is_some).await.is_err() {
            return;
        }
        let mut ticks = time::interval(self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut stamper = Stamper::default();
        while !parcels.is_closed() {
            ticks.tick().await;
            match self.parcel(&mut stamper) {
                Ok(parcel) => parcels.send_replace(Some(Arc::new(parcel))),
                // Every part of a snapshot was held to its bound when it was read.
                Err(why) => return error!("no more snapshots, since one can't be written: {why}"),
            };
        }
    }

    fn parcel(&self, stamper: &mut Stamper) -> Result<Parcel, FrameError> {
        let board = self.board.borrow().clone().unwrap_or_default();
        let endpoints = board::endpoints(&board, Instant::now());
        let objectives = self.objectives.to_vec();
        let snapshot =
            Snapshot { pool: self.pool.clone(), endpoints, objectives, ..Snapshot::default() };
        self.meters.published(&snapshot);
        let body = codec::encode(&snapshot)?;
        let stamp = stamper.next(unix_ms(SystemTime::now()));
        let headers = codec::sign(self.secret.key(), stamp, &body);
        Ok(Parcel { headers, body: body.into() })
    }
}

fn unix_ms(now: SystemTime) -> u64 {
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
