//! Keeps one task for each pod on the list.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use tokio::sync::watch;
use tracing::info;
use wire::metrics::Engine;

use crate::{
    board::{Board, Member, Pod, Row},
    discover::Found,
    pod::{self, Orders},
    task::Task,
};

/// The pods' tasks.
#[derive(Debug)]
pub(crate) struct Fleet {
    orders: Orders,
    crews: BTreeMap<SocketAddr, Crew>,
    rng: fastrand::Rng,
}

#[derive(Debug)]
struct Crew {
    engine: Arc<Engine>,
    row: watch::Receiver<Row>,
    _task: Task,
}

impl Fleet {
    pub(crate) fn new(orders: Orders, rng: fastrand::Rng) -> Self {
        Self { orders, crews: BTreeMap::new(), rng }
    }

    /// Follows what is `found` and publishes the board, until the discovery ends.
    pub(crate) async fn run(
        mut self,
        mut found: watch::Receiver<Option<Found>>,
        board: watch::Sender<Option<Board>>,
    ) {
        while found.changed().await.is_ok() {
            let Some(Found { pods, objectives, rewrites }) = found.borrow_and_update().clone()
            else {
                continue;
            };
            let (members, objectives) = (self.follow(pods), Arc::new(objectives));
            let rewrites = rewrites.into();
            board.send_replace(Some(Board { members, objectives, rewrites }));
        }
    }

    /// Starts and stops tasks until there is one for each pod in `list`. A pod that stays keeps its
    /// connection, its reading and whether it is down, even where its labels changed.
    fn follow(&mut self, list: Vec<Pod>) -> Arc<[Member]> {
        let mut before = std::mem::take(&mut self.crews);
        let mut board = Vec::with_capacity(list.len());
        let mut added = 0;
        for pod in list {
            let engine = self.orders.engine_of(&pod);
            let crew = before.remove(&pod.address).filter(|crew| crew.engine == engine);
            let crew = crew.unwrap_or_else(|| {
                added += 1;
                self.start(pod.clone(), engine)
            });
            let address = pod.address;
            board.push(Member { pod: Arc::new(pod), row: crew.row.clone() });
            self.crews.insert(address, crew);
        }
        for address in before.keys() {
            self.orders.meters.forget(&self.orders.pool, *address);
        }
        if added + before.len() > 0 {
            let (pool, left) = (&self.orders.pool, board.len());
            info!("pool {pool}: {left} endpoints, {added} added, {} removed", before.len());
        }
        board.into()
    }

    /// The phase is drawn over one interval, so that many pods aren't all asked at one moment.
    fn start(&mut self, pod: Pod, engine: Arc<Engine>) -> Crew {
        let phase = self.orders.pace.interval(false).mul_f64(self.rng.f64());
        let (writer, row) = watch::channel(Row::default());
        let task = Task::spawn(pod::run(pod, self.orders.clone(), phase, writer));
        Crew { engine, row, _task: task }
    }
}
