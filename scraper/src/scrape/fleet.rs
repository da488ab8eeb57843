//! The tasks of a pool's pods, one for each pod of the discovered list.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::Arc,
    time::{Instant, SystemTime},
};

use picker_core::Model;
use tokio::sync::watch;
use tracing::info;
use wire::metrics::Engine;

use super::{
    life::Moment,
    models_task::ModelsTask,
    pod_models::PodModels,
    pod_task::{PodStart, PodTask},
};
use crate::{
    clock::unix_ms,
    discover::DiscoveredPool,
    pool::{Pod, PodOrigin, PodReadings, ScrapeState, ScrapedPod},
    task::Task,
};

/// The tasks of a pool's pods.
#[derive(Debug)]
pub(crate) struct Fleet {
    /// Task that each pod gets a clone of.
    task: PodTask,
    running: BTreeMap<SocketAddr, RunningPod>,
    rng: fastrand::Rng,
    /// True once a list of pods has come.
    is_begun: bool,
}

#[derive(Debug)]
struct RunningPod {
    engine: Arc<Engine>,
    origin: PodOrigin,
    state: watch::Receiver<ScrapeState>,
    models: watch::Receiver<Arc<[Model]>>,
    _tasks: [Task; 2],
}

impl Fleet {
    pub(crate) fn new(task: PodTask, rng: fastrand::Rng) -> Self {
        Self { task, running: BTreeMap::new(), rng, is_begun: false }
    }

    /// Follows the `discovered` pool and publishes its readings, until the discovery ends.
    pub(crate) async fn run(
        mut self,
        mut discovered: watch::Receiver<Option<DiscoveredPool>>,
        readings: watch::Sender<Option<PodReadings>>,
    ) {
        let (models_in, models) = watch::channel([].into());
        let mut unites = Task::spawn(std::future::ready(()));
        while discovered.changed().await.is_ok() {
            let Some(pool) = discovered.borrow_and_update().clone() else { continue };
            let pods = self.follow(pool.pods);
            // In its place, so that gateways are not without a list meanwhile.
            unites = Task::spawn(self.models().unite(models_in.clone()));
            readings.send_replace(Some(PodReadings {
                pods,
                objectives: Arc::new(pool.objectives),
                rewrites: pool.rewrites.into(),
                models: models.clone(),
            }));
        }
        drop(unites);
    }

    fn models(&self) -> PodModels {
        let listed = |it: &RunningPod| (it.state.clone(), it.models.clone());
        PodModels::new(self.running.values().map(listed).collect())
    }

    /// Starts and stops tasks until there is one for each pod in `list`. A pod that stays keeps its
    /// connection, its reading and its state, up or down, even where its labels changed.
    fn follow(&mut self, list: Vec<Pod>) -> Arc<[ScrapedPod]> {
        let mut before = std::mem::take(&mut self.running);
        let mut pods = Vec::with_capacity(list.len());
        let mut added = 0;
        for pod in list {
            let engine = self.task.engine_for(&pod);
            // Another engine has other metrics, and another pod another cache: both are begun anew.
            let stays = |it: &RunningPod| it.engine == engine && it.origin.uid == pod.origin.uid;
            let running = before.remove(&pod.address).filter(stays);
            let running = running.unwrap_or_else(|| {
                added += 1;
                self.start(pod.clone(), engine)
            });
            let address = pod.address;
            pods.push(ScrapedPod { pod: Arc::new(pod), state: running.state.clone() });
            self.running.insert(address, running);
        }
        for address in before.keys() {
            self.task.meters.forget_pod(&self.task.pool, *address);
        }
        if added + before.len() > 0 {
            let pool = &self.task.pool;
            let left = pods.len();
            info!("pool {pool}: {left} endpoints, {added} added, {} removed", before.len());
        }
        self.is_begun = true;
        pods.into()
    }

    /// Starts a pod's tasks. The phase is drawn over one interval, so that many pods aren't all
    /// asked at one moment.
    fn start(&mut self, pod: Pod, engine: Arc<Engine>) -> RunningPod {
        let phase = self.task.pace.interval(false).mul_f64(self.rng.f64());
        let (writer, state) = watch::channel(ScrapeState::default());
        let now = Moment { at: Instant::now(), unix_ms: unix_ms(SystemTime::now()) };
        let origin = pod.origin.clone();
        let made = origin.created_ms.map(|created_ms| now.back_at(created_ms));
        let start = PodStart { phase, found: made.or_else(|| self.is_begun.then_some(now)) };
        let (models_in, models) = watch::channel([].into());
        let asks = ModelsTask { peer: self.task.serving(&pod), state: state.clone() };
        let tasks = [
            Task::spawn(self.task.clone().run(pod, start, writer)),
            Task::spawn(asks.run(models_in)),
        ];
        RunningPod { engine, origin, state, models, _tasks: tasks }
    }
}
