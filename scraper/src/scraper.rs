//! All tasks together, from start to stop.

use std::{
    fmt, io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tokio::{net::TcpListener, sync::watch, time};
use tracing::warn;

use crate::{
    board::View,
    discover::Discovery,
    envoy::{Pusher, Standing},
    fleet::Fleet,
    history::History,
    meters::Meters,
    pod::Orders,
    publisher::{Publisher, Round},
    pulls::Pulls,
    sampler::Sampler,
    serve,
    settings::{EnvoyUrl, PoolSettings, Settings},
    status::Status,
    task::Task,
};

/// A scraper at work. Dropped, it ends at once; [`Scraper::stop`] lets pushes arrive first.
#[derive(Debug)]
pub struct Scraper {
    address: SocketAddr,
    timeout: Duration,
    /// Discovery, fleet, publisher and server.
    sources: Vec<Task>,
    /// One per Envoy. They end by themselves once the publisher has.
    pushers: Vec<Task>,
}

/// Why a scraper did not start.
#[derive(Debug)]
pub enum StartError {
    /// The address for its own pages can't be listened on.
    Listen(SocketAddr, io::Error),
    /// The endpoints file can't be read or understood.
    Endpoints(String),
}

impl Scraper {
    /// Starts all tasks on the current tokio runtime.
    ///
    /// # Errors
    /// If it can't listen, or an endpoints file is broken from the start.
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        let failed = |why| StartError::Listen(settings.listen, why);
        let listener = TcpListener::bind(settings.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let Settings { pools, envoys, interval, timeout, secret, plugin, .. } = settings;
        let started = Instant::now();
        let meters = Arc::new(Meters::new(started));
        let (mut sources, mut views) = (Vec::new(), Vec::new());
        for pool in pools {
            let (tasks, view) = follow(pool, interval, timeout, &meters).await?;
            sources.extend(tasks);
            views.push(view);
        }
        let (rounds_in, rounds) = watch::channel(None);
        let (pushers, envoys) = push_all(envoys, timeout, &rounds, &meters);
        let publisher =
            Publisher { pools: views.clone(), interval, secret, meters: Arc::clone(&meters) };
        let history = Arc::new(Mutex::new(History::default()));
        let sampler =
            Sampler { pools: views.clone(), envoys: envoys.clone(), history: Arc::clone(&history) };
        let pulls = Pulls::new(views.iter().map(|view| Arc::clone(&view.pool)).collect(), rounds);
        let status = Status { pools: views, envoys, pulls, meters, history, started, interval };
        sources.push(Task::spawn(publisher.run(rounds_in)));
        sources.push(Task::spawn(sampler.run()));
        sources.push(Task::spawn(serve::run(listener, Arc::new(status), plugin)));
        Ok(Self { address, timeout, sources, pushers })
    }

    /// Where its pages are served.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Makes no more snapshots, lets those on their way arrive, and ends.
    pub async fn stop(mut self) {
        self.sources.clear();
        let arrived = async {
            for pusher in &mut self.pushers {
                // A pusher that panicked has nothing on its way either.
                let _ = pusher.join().await;
            }
        };
        if time::timeout(self.timeout, arrived).await.is_err() {
            warn!("a push was still on its way after {:?}", self.timeout);
        }
    }
}

/// Discovers and scrapes one pool, as long as the tasks live.
pub(crate) async fn follow(
    settings: PoolSettings,
    interval: Duration,
    timeout: Duration,
    meters: &Arc<Meters>,
) -> Result<([Task; 2], View), StartError> {
    let PoolSettings { name, discovery, objectives } = settings;
    let discovery = Discovery::load(discovery).await.map_err(StartError::Endpoints)?;
    let pool: Arc<str> = name.into();
    let orders = Orders { pool: Arc::clone(&pool), interval, timeout, meters: Arc::clone(meters) };
    let fleet = Fleet::new(orders, fastrand::Rng::new());
    let (found_in, found) = watch::channel(None);
    let (board_in, board) = watch::channel(None);
    let tasks =
        [Task::spawn(discovery.run(objectives, found_in)), Task::spawn(fleet.run(found, board_in))];
    Ok((tasks, View { pool, board }))
}

/// One Envoy as the status pages see it.
type Watched = (EnvoyUrl, watch::Receiver<Standing>);

fn push_all(
    envoys: Vec<EnvoyUrl>,
    timeout: Duration,
    rounds: &watch::Receiver<Option<Round>>,
    meters: &Arc<Meters>,
) -> (Vec<Task>, Vec<Watched>) {
    let start = |url: EnvoyUrl| {
        let (standing, seen) = watch::channel(Standing::default());
        let (rounds, meters) = (rounds.clone(), Arc::clone(meters));
        let pusher = Pusher { url: url.clone(), timeout, rounds, standing, meters };
        (Task::spawn(pusher.run()), (url, seen))
    };
    envoys.into_iter().map(start).unzip()
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen(address, why) => write!(f, "can't listen on {address}: {why}"),
            Self::Endpoints(why) => write!(f, "{why}"),
        }
    }
}

impl std::error::Error for StartError {}
