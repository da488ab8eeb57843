//! Makes one signed snapshot of every pool per interval, for all gateways together. A pool that is
//! idle has one only when it says something new, and now and then to show that it does not.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use picker_core::Snapshot;
use tokio::{
    sync::watch,
    time::{self, MissedTickBehavior},
};
use tracing::{error, warn};
use wire::{FrameError, push::Stamp};

use super::{
    signed_snapshot::{Round, SignedSnapshot},
    stamp::Stamper,
};
use crate::{
    clock::unix_ms,
    exchange::Exchanges,
    meters::Meters,
    pool::{PoolView, QUIET_MAX, snapshot},
    settings::Secret,
    tallies::Tallies,
};

/// The task that makes the snapshots.
#[derive(Debug)]
pub(crate) struct Publisher {
    pub(crate) pools: Vec<PoolView>,
    /// Time between two rounds.
    pub(crate) interval: Duration,
    /// The secret that signs at the moment.
    pub(crate) secret: watch::Receiver<Secret>,
    pub(crate) meters: Arc<Meters>,
    /// Beliefs of the gateways that go into snapshots.
    pub(crate) tallies: Arc<Tallies>,
    pub(crate) exchanges: Arc<Exchanges>,
}

/// The memory that a round has of the rounds before it.
#[derive(Debug)]
struct PublisherState {
    stamper: Stamper,
    started: Instant,
    last: BTreeMap<Arc<str>, LastSnapshot>,
    /// Pools of which the last snapshot could not be encoded.
    failing: BTreeSet<Arc<str>>,
    /// Pools of which the last snapshot left no room for what gateways tell each other.
    crowded: BTreeSet<Arc<str>>,
}

/// A pool's newest snapshot, as it was sent.
#[derive(Debug)]
struct LastSnapshot {
    snapshot: Snapshot,
    at: Instant,
    signed: Arc<SignedSnapshot>,
}

impl PublisherState {
    fn new(started: Instant) -> Self {
        let stamper = Stamper::new(fastrand::u32(Stamper::STARTS));
        Self {
            stamper,
            started,
            last: BTreeMap::new(),
            failing: BTreeSet::new(),
            crowded: BTreeSet::new(),
        }
    }

    /// Writes once that a pool's snapshots are too large for an exchange.
    fn judge_room(&mut self, signed: &SignedSnapshot) {
        if signed.has_room() {
            self.crowded.remove(&signed.pool);
        } else if self.crowded.insert(Arc::clone(&signed.pool)) {
            warn!(
                "gateways of pool {} do not exchange what they know: its snapshots have {} bytes, which leaves no \
                 room for it. Fewer labels make them smaller",
                signed.pool,
                signed.body.len()
            );
        }
    }

    fn stamp(&mut self, now: Instant) -> Stamp {
        let uptime = now.saturating_duration_since(self.started);
        self.stamper.next(unix_ms(SystemTime::now()), uptime)
    }
}

impl Publisher {
    /// Publishes rounds until the channel has no receiver any more.
    pub(crate) async fn run(self, rounds: watch::Sender<Option<Round>>) {
        let mut ticks = time::interval(self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut memory = PublisherState::new(Instant::now());
        while !rounds.is_closed() {
            ticks.tick().await;
            self.meters.looks(Instant::now());
            if let Some(round) = self.round(&mut memory, Instant::now()) {
                rounds.send_replace(Some(round));
            }
        }
    }

    /// Returns the newest signed snapshot of every pool, or `None` if no pool has a new one.
    ///
    /// A pool without readings is left out: an empty snapshot would tell the Envoys that it is
    /// scaled to zero. A snapshot that can't be encoded is left out too, and logged once: every
    /// part of it was held to its bound when it was read, but if one was not, others shall not
    /// suffer.
    fn round(&self, memory: &mut PublisherState, now: Instant) -> Option<Round> {
        let mut round = Vec::with_capacity(self.pools.len());
        let mut is_new = false;
        for view in &self.pools {
            let Some(readings) = view.readings.borrow().clone() else { continue };
            let mut snapshot = snapshot(&view.pool, &readings, now);
            snapshot.texts = self.tallies.texts(&view.pool);
            self.exchanges.pages(&snapshot, now);
            let last = memory.last.get(&view.pool);
            let is_quiet = |last: &&LastSnapshot| {
                last.is_enough(&snapshot, view, now) && !self.exchanges.is_busy(&view.pool, now)
            };
            if let Some(last) = last.filter(is_quiet) {
                round.push(Arc::clone(&last.signed));
                continue;
            }
            let stamp = memory.stamp(now);
            match self.sign(view, &snapshot, stamp) {
                Ok(signed) => {
                    let signed = Arc::new(signed);
                    memory.judge_room(&signed);
                    let last = LastSnapshot { snapshot, at: now, signed: Arc::clone(&signed) };
                    memory.failing.remove(&view.pool);
                    memory.last.insert(Arc::clone(&view.pool), last);
                    round.push(signed);
                    is_new = true;
                }
                Err(why) if memory.failing.insert(Arc::clone(&view.pool)) => {
                    error!("failed to encode a snapshot of pool {}: {why}", view.pool);
                }
                Err(_) => (),
            }
        }
        is_new.then(|| Round::new(now, round))
    }

    fn sign(
        &self,
        view: &PoolView,
        snapshot: &Snapshot,
        stamp: Stamp,
    ) -> Result<SignedSnapshot, FrameError> {
        self.meters.published(snapshot);
        SignedSnapshot::new(view, snapshot, stamp, &self.secret.borrow())
    }
}

impl LastSnapshot {
    /// True if the pool may stay quiet at `now`, when its newest snapshot is `snapshot`. While a
    /// gateway holds requests, no pool is quiet.
    fn is_enough(&self, snapshot: &Snapshot, view: &PoolView, now: Instant) -> bool {
        self.signed.is_quiet
            && now.saturating_duration_since(self.at) < QUIET_MAX
            && view.waiting.is_empty()
            && self.snapshot.says_what(snapshot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        exchange::Epochs,
        pool::{
            Pod, PodOrigin, PodReadings, ScrapeState, ScrapedPod, TimedReading, WaitingGateways,
        },
    };

    fn pod(port: u16, label: &str) -> (ScrapedPod, watch::Sender<ScrapeState>) {
        let labels = vec![("a".to_owned(), label.to_owned())];
        let pod = Arc::new(Pod {
            address: ([10, 0, 0, 1], port).into(),
            labels,
            http2: false,
            origin: PodOrigin::default(),
        });
        let (state, seen) = watch::channel(ScrapeState::default());
        (ScrapedPod { pod, state: seen }, state)
    }

    fn view(name: &str, pods: Vec<ScrapedPod>) -> PoolView {
        let pods = pods.into();
        let models = watch::channel([].into()).1;
        let (objectives, rewrites) = (Arc::default(), [].into());
        let readings = PodReadings { pods, objectives, rewrites, models };
        let readings = watch::channel(Some(readings)).1;
        PoolView { pool: name.into(), readings, waiting: WaitingGateways::new() }
    }

    fn publisher(pools: Vec<PoolView>) -> Publisher {
        Publisher {
            pools,
            interval: Duration::from_millis(50),
            secret: watch::channel(Secret::new(b"0123456789abcdef").unwrap()).1,
            meters: Meters::new(Instant::now()).into(),
            tallies: Arc::default(),
            exchanges: Exchanges::new(Instant::now(), Epochs::new(1, 0), Duration::from_millis(50))
                .into(),
        }
    }

    fn running(requests: u32, at: Instant) -> ScrapeState {
        let page = format!(
            "vllm:num_requests_waiting 0\nvllm:num_requests_running {requests}\nvllm:kv_cache_usage_perc 0\n"
        );
        let reading = wire::metrics::scan(page.as_bytes()).unwrap();
        ScrapeState {
            tried: true,
            trouble: None,
            reading: Some(TimedReading { at, reading }),
            ..ScrapeState::default()
        }
    }

    #[test]
    fn a_pool_that_cannot_be_written_holds_up_no_other() {
        let (broken, _row) = pod(80, &"x".repeat(64));
        let (good, _row) = pod(80, "x");
        let publisher = publisher(vec![view("broken", vec![broken]), view("good", vec![good])]);
        let mut memory = PublisherState::new(Instant::now());
        let start = Instant::now();
        for round in 0..2 {
            let round = publisher.round(&mut memory, start + 2 * round * QUIET_MAX).unwrap();
            let pools: Vec<_> = round.iter().map(|signed| &*signed.pool).collect();
            assert_eq!((pools, memory.failing.len()), (vec!["good"], 1));
        }
    }

    /// The new snapshots of each step: one pool has a request at 400 ms and waits at a gateway at
    /// 600, the other has one until 500.
    #[test]
    fn an_idle_pool_is_quiet_until_there_is_something_to_say() {
        let (idle, idle_state) = pod(80, "x");
        let (busy, busy_state) = pod(81, "x");
        let idle = view("idle", vec![idle]);
        let waiting = idle.waiting.clone();
        let publisher = publisher(vec![idle, view("busy", vec![busy])]);
        let mut memory = PublisherState::new(Instant::now());
        let start = Instant::now();
        let mut tags = BTreeMap::new();
        let gateway = "http://127.0.0.1:1".parse().unwrap();
        let mut transcript = String::new();
        for step in 0..16 {
            let now = start + Duration::from_millis(50) * step;
            idle_state.send_replace(running(u32::from(step == 8), now));
            busy_state.send_replace(running(u32::from(step < 10), now));
            waiting.set(&gateway, step == 12);
            let round = publisher.round(&mut memory, now);
            let signed = round.iter().flat_map(Round::iter);
            let new = signed.filter(|it| {
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
