//! All tasks together, from start to stop.

use std::{
    fmt, io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
    time,
};
use tracing::warn;

use crate::{
    board::View,
    discover::Discovery,
    fleet::Fleet,
    gateways::Herd,
    history::History,
    meters::Meters,
    pod::Orders,
    publisher::Publisher,
    pulls::Pulls,
    sampler::Sampler,
    serve,
    settings::{Pace, PoolSettings, Settings},
    status::Status,
    task::Task,
    tls::Tls,
    waiting::Waiting,
};

/// A scraper at work. Dropped, it ends at once; [`Scraper::stop`] lets pushes arrive first.
#[derive(Debug)]
pub struct Scraper {
    address: SocketAddr,
    timeout: Duration,
    /// Discoveries, fleets, publisher and server.
    sources: Vec<Task>,
    /// Ends by itself once the publisher has.
    gateways: Task,
}

/// Why a scraper did not start.
#[derive(Debug)]
pub enum StartError {
    /// The address for its own pages can't be listened on.
    Listen(SocketAddr, io::Error),
    /// An endpoints file can't be read or understood.
    Endpoints(String),
    /// There is no way to the gateways.
    Gateways(String),
}

/// What all pools share.
#[derive(Clone, Debug)]
pub(crate) struct Common {
    pace: Pace,
    turns: Arc<Semaphore>,
    meters: Arc<Meters>,
}

impl Common {
    pub(crate) fn new(pace: Pace, meters: Arc<Meters>) -> Self {
        Self { pace, turns: Arc::new(Semaphore::new(pace.scrapes)), meters }
    }
}

impl Scraper {
    /// Starts all tasks on the current tokio runtime.
    ///
    /// # Errors
    /// If it can't listen, or what tells of endpoints or gateways is broken from the start.
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        let failed = |why| StartError::Listen(settings.listen, why);
        let listener = TcpListener::bind(settings.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let Settings { pools, gateways, pace, secret, plugin, .. } = settings;
        let started = Instant::now();
        let meters = Arc::new(Meters::new(started));
        let common = Common::new(pace, Arc::clone(&meters));
        let (mut sources, mut views) = (Vec::new(), Vec::new());
        for pool in pools {
            let (tasks, view) = follow(pool, common.clone()).await?;
            sources.extend(tasks);
            views.push(view);
        }
        let (rounds_in, rounds) = watch::channel(None);
        let (watched_in, watched) = watch::channel(Vec::new());
        let herd = Herd::new(gateways, pace.timeout, rounds.clone(), Arc::clone(&meters));
        let changes = herd.changes().await.map_err(StartError::Gateways)?;
        let gateways = Task::spawn(herd.run(changes, watched_in));
        let interval = pace.interval;
        let publisher =
            Publisher { pools: views.clone(), interval, secret, meters: Arc::clone(&meters) };
        let history = Arc::new(Mutex::new(History::default()));
        let sampler = Sampler {
            pools: views.clone(),
            envoys: watched.clone(),
            history: Arc::clone(&history),
        };
        let pulls = Pulls::new(views.iter().map(|view| Arc::clone(&view.pool)).collect(), rounds);
        let epoch = format!("{:016x}", fastrand::u64(..));
        let status = Status {
            pools: views,
            envoys: watched,
            pulls,
            meters,
            history,
            started,
            epoch,
            interval,
        };
        sources.push(Task::spawn(publisher.run(rounds_in)));
        sources.push(Task::spawn(sampler.run()));
        sources.push(Task::spawn(serve::run(listener, Arc::new(status), plugin)));
        Ok(Self { address, timeout: pace.timeout, sources, gateways })
    }

    /// Where its pages are served.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Makes no more snapshots, lets those on their way arrive, and ends.
    pub async fn stop(mut self) {
        self.sources.clear();
        if time::timeout(self.timeout, self.gateways.join()).await.is_err() {
            warn!("a push was still on its way after {:?}", self.timeout);
        }
    }
}

/// Discovers and scrapes one pool, as long as the tasks live.
pub(crate) async fn follow(
    settings: PoolSettings,
    common: Common,
) -> Result<([Task; 2], View), StartError> {
    let PoolSettings { name, discovery, objectives, engines, source } = settings;
    let discovery = Discovery::load(discovery).await.map_err(StartError::Endpoints)?;
    let pool: Arc<str> = name.into();
    let Common { pace, turns, meters } = common;
    let waiting = Waiting::new();
    let orders = Orders {
        pool: Arc::clone(&pool),
        pace,
        tls: source.tls.clone().map(|settings| Arc::new(Tls::new(settings))),
        source,
        engines: Arc::new(engines),
        turns,
        waited: waiting.watch(),
        meters,
    };
    let fleet = Fleet::new(orders, fastrand::Rng::new());
    let (found_in, found) = watch::channel(None);
    let (board_in, board) = watch::channel(None);
    let tasks =
        [Task::spawn(discovery.run(objectives, found_in)), Task::spawn(fleet.run(found, board_in))];
    Ok((tasks, View { pool, board, waiting }))
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen(address, why) => write!(f, "can't listen on {address}: {why}"),
            Self::Endpoints(why) | Self::Gateways(why) => write!(f, "{why}"),
        }
    }
}

impl std::error::Error for StartError {}
