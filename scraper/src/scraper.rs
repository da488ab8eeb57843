//! All tasks together, from start to stop.

use std::{
    fmt, io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{net::TcpListener, sync::watch, time};
use tracing::warn;

use crate::{
    discover::Discovery,
    envoy::{Pusher, Standing},
    fleet::Fleet,
    meters::Meters,
    pod::Orders,
    publisher::{Parcel, Publisher},
    serve,
    settings::{EnvoyUrl, Settings},
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
    /// If it can't listen, or the endpoints file is broken from the start.
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        let failed = |why| StartError::Listen(settings.listen, why);
        let listener = TcpListener::bind(settings.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let discovery =
            Discovery::load(settings.endpoints.clone(), settings.endpoints_file.clone())
                .await
                .map_err(StartError::Endpoints)?;
        Ok(spawn(settings, listener, address, discovery))
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

fn spawn(
    settings: Settings,
    listener: TcpListener,
    address: SocketAddr,
    discovery: Discovery,
) -> Scraper {
    let Settings { pool, objectives, envoys, interval, timeout, secret, .. } = settings;
    let meters = Arc::new(Meters::new(Instant::now()));
    let (pods_in, pods) = watch::channel(None);
    let (board_in, board) = watch::channel(None);
    let (parcels_in, parcels) = watch::channel(None);

    let orders = Orders { interval, timeout, meters: Arc::clone(&meters) };
    let fleet = Fleet::new(orders, fastrand::Rng::new());
    let publisher = Publisher {
        pool: pool.clone(),
        objectives,
        interval,
        secret,
        board: board.clone(),
        meters: Arc::clone(&meters),
    };
    let (pushers, envoys) = push_all(envoys, timeout, &parcels, &meters);
    let status = Arc::new(Status { pool, board, envoys, meters });
    let sources = vec![
        Task::spawn(discovery.run(pods_in)),
        Task::spawn(fleet.run(pods, board_in)),
        Task::spawn(publisher.run(parcels_in)),
        Task::spawn(serve::run(listener, status)),
    ];
    Scraper { address, timeout, sources, pushers }
}

/// One Envoy as the status pages see it.
type Watched = (EnvoyUrl, watch::Receiver<Standing>);

fn push_all(
    envoys: Vec<EnvoyUrl>,
    timeout: Duration,
    parcels: &watch::Receiver<Option<Arc<Parcel>>>,
    meters: &Arc<Meters>,
) -> (Vec<Task>, Vec<Watched>) {
    let start = |url: EnvoyUrl| {
        let (standing, seen) = watch::channel(Standing::default());
        let (parcels, meters) = (parcels.clone(), Arc::clone(meters));
        let pusher = Pusher { url: url.clone(), timeout, parcels, standing, meters };
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
