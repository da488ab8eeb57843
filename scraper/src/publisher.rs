//! Makes one signed snapshot of every pool per interval, for all Envoys together; of a pool that is idle, only when it
//! says something new, and now and then that it does not.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use hyper::{HeaderMap, header::HeaderValue};
use picker_core::Snapshot;
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

/// Between two snapshots of a pool that says nothing new and has no requests. A push costs a gateway 0.6 to 0.9 ms, most of
/// it to wake up; twenty a second would be most of what an idle one uses. A scraper that dies is noticed that much later.
const QUIET: Duration = Duration::from_millis(250);

/// A push, ready to be sent.
#[derive(Debug)]
pub(crate) struct Parcel {
    pub(crate) pool: Arc<str>,
    /// Says which snapshot it is, to who fetches it.
    pub(crate) tag: HeaderValue,
    /// Whether there may be no other for a while.
    pub(crate) is_quiet: bool,
    /// Where a gateway's answer is told.
    pub(crate) waiting: Waiting,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// The newest parcel of every pool that is known.
pub(crate) type Round = Arc<[Arc<Parcel>]>;

/// What makes them.
#[derive(Debug)]
pub(crate) struct Publisher {
    pub(crate) pools: Vec<View>,
    pub(crate) interval: Duration,
    pub(crate) secret: Secret,
    pub(crate) meters: Arc<Meters>,
}

/// What one round has to know of those before it.
#[derive(Debug, Default)]
struct Memory {
    stamper: Stamper,
    last: BTreeMap<Arc<str>, Last>,
    /// Pools of which no snapshot could be written.
    unwritten: BTreeSet<Arc<str>>,
}

/// A pool's newest snapshot, as it was sent.
#[derive(Debug)]
struct Last {
    snapshot: Snapshot,
    at: Instant,
    parcel: Arc<Parcel>,
}

impl Publisher {
    /// Publishes rounds until nobody wants them.
    pub(crate) async fn run(self, rounds: watch::Sender<Option<Round>>) {
        let mut ticks = time::interval(self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut memory = Memory::default();
        while !rounds.is_closed() {
            ticks.tick().await;
            if let Some(round) = self.round(&mut memory, Instant::now()) {
                rounds.send_replace(Some(round));
            }
        }
    }

    /// The newest parcel of every pool; nothing where none is new.
    ///
    /// A pool without a board is left out: an empty snapshot would tell the Envoys that it is
    /// scaled to zero. So is one that can't be written, which is told of once: every part of it was
    /// held to its bound when it was read, but if one was not, others shall not suffer.
    fn round(&self, memory: &mut Memory, now: Instant) -> Option<Round> {
        let (mut round, mut is_new) = (Vec::with_capacity(self.pools.len()), false);
        for view in &self.pools {
            let Some(board) = view.board.borrow().clone() else { continue };
            let snapshot = snapshot(&view.pool, &board, now);
            let last = memory.last.get(&view.pool);
            if let Some(last) = last.filter(|last| last.is_enough(&snapshot, view, now)) {
                round.push(Arc::clone(&last.parcel));
                continue;
            }
            match self.parcel(view, &snapshot, &mut memory.stamper) {
                Ok(parcel) => {
                    let parcel = Arc::new(parcel);
                    let last = Last { snapshot, at: now, parcel: Arc::clone(&parcel) };
                    memory.unwritten.remove(&view.pool);
                    memory.last.insert(Arc::clone(&view.pool), last);
                    round.push(parcel);
                    is_new = true;
                }
                Err(why) if memory.unwritten.insert(Arc::clone(&view.pool)) => {
                    error!("pool {}: no snapshots while one can't be written: {why}", view.pool);
                }
                Err(_) => (),
            }
        }
        is_new.then(|| round.into())
    }

    fn parcel(
        &self,
        view: &View,
        snapshot: &Snapshot,
        stamper: &mut Stamper,
    ) -> Result<Parcel, FrameError> {
        self.meters.published(snapshot);
        let body = codec::encode(snapshot)?;
        let stamp = stamper.next(unix_ms(SystemTime::now()));
        let headers = codec::sign(self.secret.key(), stamp, &body);
        let (pool, tag) = (Arc::clone(&view.pool), codec::entity_tag(stamp));
        let (is_quiet, waiting) = (!snapshot.quiet_for.is_zero(), view.waiting.clone());
        Ok(Parcel { pool, tag, is_quiet, waiting, headers, body: body.into() })
    }
}

impl Last {
    /// Whether a pool that says `snapshot` at `now` may be quiet. While a gateway holds requests, it may not.
    fn is_enough(&self, snapshot: &Snapshot, view: &View, now: Instant) -> bool {
        self.parcel.is_quiet
            && now.saturating_duration_since(self.at) < QUIET
            && view.waiting.is_nobody()
            && self.snapshot.says_what(snapshot)
    }
}

/// What is known of a pool at `now`.
pub(crate) fn snapshot(pool: &str, board: &Board, now: Instant) -> Snapshot {
    let endpoints = board::endpoints(&board.members, now);
    let objectives = board.objectives.to_vec();
    let model_rewrites = board.rewrites.to_vec();
    let pool = pool.to_owned();
    let mut snapshot =
        Snapshot { pool, endpoints, objectives, model_rewrites, ..Snapshot::default() };
    if snapshot.is_idle() {
        snapshot.quiet_for = QUIET;
    }
    snapshot
}

pub(crate) fn unix_ms(now: SystemTime) -> u64 {
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::{Member, Pod, Row, Timed};

    fn pod(port: u16, label: &str) -> (Member, watch::Sender<Row>) {
        let labels = vec![("a".to_owned(), label.to_owned())];
        let pod = Arc::new(Pod { address: ([10, 0, 0, 1], port).into(), labels, http2: false });
        let (row, seen) = watch::channel(Row::default());
        (Member { pod, row: seen }, row)
    }

    fn view(name: &str, members: Vec<Member>) -> View {
        let members = members.into();
        let board = Board { members, objectives: Arc::default(), rewrites: [].into() };
        let board = watch::channel(Some(board)).1;
        View { pool: name.into(), board, waiting: Waiting::new() }
    }

    fn publisher(pools: Vec<View>) -> Publisher {
        Publisher {
            pools,
            interval: Duration::from_millis(50),
            secret: Secret::new(b"0123456789abcdef").unwrap(),
            meters: Meters::new(Instant::now()).into(),
        }
    }

    fn running(requests: u32, at: Instant) -> Row {
        let page = format!(
            "vllm:num_requests_waiting 0\nvllm:num_requests_running {requests}\nvllm:kv_cache_usage_perc 0\n"
        );
        let reading = wire::metrics::scan(page.as_bytes()).unwrap();
        Row { tried: true, down: None, reading: Some(Timed { at, reading }) }
    }

    #[test]
    fn a_pool_that_cannot_be_written_holds_up_no_other() {
        let (broken, _row) = pod(80, &"x".repeat(64));
        let (good, _row) = pod(80, "x");
        let publisher = publisher(vec![view("broken", vec![broken]), view("good", vec![good])]);
        let (mut memory, start) = (Memory::default(), Instant::now());
        for round in 0..2 {
            let round = publisher.round(&mut memory, start + 2 * round * QUIET).unwrap();
            let pools: Vec<_> = round.iter().map(|parcel| &*parcel.pool).collect();
            assert_eq!((pools, memory.unwritten.len()), (vec!["good"], 1));
        }
    }

    /// What is new at each step: one pool has a request at 400 ms and waits at a gateway at 600, the other has one until 500.
    #[test]
    fn who_is_idle_is_quiet_until_there_is_something_to_say() {
        let ((idle, idle_row), (busy, busy_row)) = (pod(80, "x"), pod(81, "x"));
        let idle = view("idle", vec![idle]);
        let waiting = idle.waiting.clone();
        let publisher = publisher(vec![idle, view("busy", vec![busy])]);
        let (mut memory, start) = (Memory::default(), Instant::now());
        let mut tags = BTreeMap::new();
        let gateway = "http://127.0.0.1:1".parse().unwrap();
        let mut transcript = String::new();
        for step in 0..16 {
            let now = start + Duration::from_millis(50) * step;
            idle_row.send_replace(running(u32::from(step == 8), now));
            busy_row.send_replace(running(u32::from(step < 10), now));
            waiting.tell(&gateway, step == 12);
            let round = publisher.round(&mut memory, now);
            let parcels = round.iter().flat_map(|round| round.iter());
            let new = parcels.filter(|it| {
                tags.insert(Arc::clone(&it.pool), it.tag.clone()).as_ref() != Some(&it.tag)
            });
            let new: Vec<_> = new.map(|it| it.pool.to_string()).collect();
            let new = if new.is_empty() { "-".to_owned() } else { new.join(", ") };
            transcript.push_str(&format!("{} ms: {new}\n", step * 50));
        }
        insta::assert_snapshot!(transcript, @"
        0 ms: idle, busy
        50 ms: busy
        100 ms: busy
        150 ms: busy
        200 ms: busy
        250 ms: idle, busy
        300 ms: busy
        350 ms: busy
        400 ms: idle, busy
        450 ms: idle, busy
        500 ms: busy
        550 ms: -
        600 ms: idle
        650 ms: -
        700 ms: -
        750 ms: busy
        ");
    }
}
