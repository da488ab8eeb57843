//! All tasks together, from start to stop.

use std::{
    fmt, io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime},
};

use tokio::{net::TcpListener, sync::watch, time};
use tracing::warn;

use crate::{
    clock::unix_ms,
    discover::DiscoveryTask,
    exchange::{Epochs, Exchanges},
    meters::Meters,
    page::{self, History, Sampler, Status},
    peer::TlsClient,
    pool::{PoolView, WaitingGateways},
    push::{GatewaySet, Publisher, PullState, ReplyTaker, SecretFile},
    scrape::{Fleet, PodTask, ScrapePermits},
    settings::{Pace, PoolSettings, Secret, SecretSource, Settings},
    tallies::Tallies,
    task::Task,
};

/// A scraper at work. Dropped, it ends at once; [`Scraper::stop`] lets pushes arrive first.
#[derive(Debug)]
pub struct Scraper {
    address: SocketAddr,
    timeout: Duration,
    /// Discoveries, fleets, publisher, sampler and pages.
    sources: Vec<Task>,
    /// Task of the gateways, which ends by itself once the publisher has.
    gateways: Task,
}

/// Reason why a scraper did not start.
#[derive(Debug)]
pub enum StartError {
    /// The address for the scraper's own pages can't be listened on.
    Listen(SocketAddr, io::Error),
    /// An endpoints file can't be read or understood, or there is no way to the API server.
    Endpoints(String),
    /// There is no way to the gateways.
    Gateways(String),
}

/// The resources that all pools share.
#[derive(Clone, Debug)]
pub(crate) struct SharedResources {
    pace: Pace,
    permits: ScrapePermits,
    meters: Arc<Meters>,
}

/// A pool at work: it is discovered and scraped as long as the tasks live.
#[derive(Debug)]
pub(crate) struct FollowedPool {
    pub(crate) tasks: [Task; 2],
    pub(crate) view: PoolView,
}

impl SharedResources {
    pub(crate) fn new(pace: Pace, meters: Arc<Meters>) -> Self {
        Self { pace, permits: ScrapePermits::new(pace.scrapes), meters }
    }
}

impl Scraper {
    /// Starts all tasks on the current tokio runtime.
    ///
    /// # Errors
    /// If the address can't be listened on, or a source of endpoints or gateways is broken from the
    /// start.
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        let failed = |why| StartError::Listen(settings.listen, why);
        let listener = TcpListener::bind(settings.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let Settings { pools, gateways, pace, secret, plugin, .. } = settings;
        let started = Instant::now();
        let meters = Arc::new(Meters::new(started));
        let shared = SharedResources::new(pace, Arc::clone(&meters));
        let mut sources = Vec::new();
        let mut views = Vec::new();
        for pool in pools {
            let FollowedPool { tasks, view } = follow(pool, shared.clone()).await?;
            sources.extend(tasks);
            views.push(view);
        }
        let (rounds_in, rounds) = watch::channel(None);
        let (watched_in, watched) = watch::channel(Vec::new());
        let tallies = Arc::new(Tallies::default());
        let (secret, follows) = follow_secret(secret);
        sources.extend(follows);
        let epochs = Epochs::new(unix_ms(SystemTime::now()), fastrand::u64(..));
        let exchanges = Arc::new(Exchanges::new(started, epochs, pace.interval));
        let replies = replies(&secret, &tallies, &exchanges);
        let gateways = GatewaySet::new(
            gateways,
            pace.timeout,
            rounds.clone(),
            Arc::clone(&meters),
            replies.clone(),
        );
        let changes = gateways.changes().await.map_err(StartError::Gateways)?;
        let gateways = Task::spawn(gateways.run(changes, watched_in));
        let publisher = Publisher {
            pools: views.clone(),
            interval: pace.interval,
            secret,
            meters: Arc::clone(&meters),
            tallies: Arc::clone(&tallies),
            exchanges: Arc::clone(&exchanges),
        };
        let history = Arc::new(Mutex::new(History::default()));
        let pool_names = views.iter().map(|view| Arc::clone(&view.pool)).collect();
        let pulls = PullState::new(pool_names, rounds, replies);
        let sampler = Sampler {
            pools: views.clone(),
            gateways: watched.clone(),
            pulls: pulls.clone(),
            tallies: Arc::clone(&tallies),
            history: Arc::clone(&history),
        };
        let status = Status {
            pools: views,
            gateways: watched,
            pulls,
            meters,
            tallies,
            exchanges,
            history,
            started,
            epoch: format!("{:016x}", fastrand::u64(..)),
            interval: pace.interval,
        };
        sources.push(Task::spawn(publisher.run(rounds_in)));
        sources.push(Task::spawn(sampler.run()));
        sources.push(Task::spawn(page::serve(listener, Arc::new(status), plugin)));
        Ok(Self { address, timeout: pace.timeout, sources, gateways })
    }

    /// Returns the address of the scraper's own pages.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Makes no more snapshots, lets those on their way arrive, and ends.
    pub async fn stop(mut self) {
        // The publisher goes with the sources, and the gateways end when there are no more rounds.
        self.sources.clear();
        if time::timeout(self.timeout, self.gateways.join()).await.is_err() {
            warn!("failed to wait for a push on its way: no answer within {:?}", self.timeout);
        }
    }
}

fn replies(
    secret: &watch::Receiver<Secret>,
    tallies: &Arc<Tallies>,
    exchanges: &Arc<Exchanges>,
) -> ReplyTaker {
    let (tallies, exchanges) = (Arc::clone(tallies), Arc::clone(exchanges));
    ReplyTaker { secret: secret.clone(), tallies, exchanges }
}

/// Returns the secret that signs at the moment, and the task that follows it if it may change.
fn follow_secret(source: SecretSource) -> (watch::Receiver<Secret>, Option<Task>) {
    match source {
        SecretSource::Fixed(secret) => (watch::channel(secret).1, None),
        SecretSource::File { path, first } => {
            let (new, secret) = watch::channel(first);
            (secret, Some(Task::spawn(SecretFile::new(path).run(new))))
        }
    }
}

/// Begins to discover and scrape one pool.
pub(crate) async fn follow(
    settings: PoolSettings,
    shared: SharedResources,
) -> Result<FollowedPool, StartError> {
    let PoolSettings { name, discovery, objectives, engines, source } = settings;
    let discovery = DiscoveryTask::load(discovery).await.map_err(StartError::Endpoints)?;
    let pool: Arc<str> = name.into();
    let SharedResources { pace, permits, meters } = shared;
    let waiting = WaitingGateways::new();
    let task = PodTask {
        pool: Arc::clone(&pool),
        pace,
        tls: source.tls.clone().map(|settings| Arc::new(TlsClient::new(settings))),
        source,
        engines: Arc::new(engines),
        permits,
        waiting: waiting.subscribe(),
        meters,
    };
    let fleet = Fleet::new(task, fastrand::Rng::new());
    let (discovered_in, discovered) = watch::channel(None);
    let (readings_in, readings) = watch::channel(None);
    let tasks = [
        Task::spawn(discovery.run(objectives, discovered_in)),
        Task::spawn(fleet.run(discovered, readings_in)),
    ];
    Ok(FollowedPool { tasks, view: PoolView { pool, readings, waiting } })
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen(address, why) => write!(f, "failed to listen on {address}: {why}"),
            Self::Endpoints(why) | Self::Gateways(why) => write!(f, "{why}"),
        }
    }
}

impl std::error::Error for StartError {}
