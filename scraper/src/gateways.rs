//! Keeps one pusher for each gateway that there is.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use tokio::{net, sync::watch, time};
use tracing::{info, warn};

use crate::{
    client::Peer,
    envoy::{Pusher, Standing},
    meters::Meters,
    publisher::Round,
    settings::EnvoyUrl,
    task::Task,
};

/// How often names are looked up again: as often as those of pods.
const NAMES_INTERVAL: Duration = Duration::from_secs(5);

/// Gateways of one scraper. A large installation has some ten replicas.
const GATEWAYS_MAX: usize = 256;

/// One gateway as the status pages see it.
pub(crate) type Watched = (EnvoyUrl, watch::Receiver<Standing>);

/// All of them.
#[derive(Debug)]
pub(crate) struct Herd {
    urls: Vec<EnvoyUrl>,
    timeout: Duration,
    rounds: watch::Receiver<Option<Round>>,
    meters: Arc<Meters>,
    /// The addresses behind the URLs' names, kept when a later look-up fails.
    names: BTreeMap<String, Vec<SocketAddr>>,
    pushers: BTreeMap<EnvoyUrl, (Task, watch::Receiver<Standing>)>,
}

impl Herd {
    pub(crate) fn new(
        urls: Vec<EnvoyUrl>,
        timeout: Duration,
        rounds: watch::Receiver<Option<Round>>,
        meters: Arc<Meters>,
    ) -> Self {
        let (names, pushers) = (BTreeMap::new(), BTreeMap::new());
        Self { urls, timeout, rounds, meters, names, pushers }
    }

    /// Follows the gateways until there are no more rounds; lets pushes on their way arrive.
    pub(crate) async fn run(mut self, watched: watch::Sender<Vec<Watched>>) {
        let (mut ticks, mut rounds) = (time::interval(NAMES_INTERVAL), self.rounds.clone());
        loop {
            tokio::select! {
                _ = ticks.tick() => self.look_up().await,
                () = ended(&mut rounds) => break,
            }
            if self.follow() {
                let all = self.pushers.iter().map(|(url, (_, seen))| (url.clone(), seen.clone()));
                watched.send_replace(all.collect());
            }
        }
        for (pusher, _) in self.pushers.values_mut() {
            // A pusher that panicked has nothing on its way either.
            let _ = pusher.join().await;
        }
    }

    async fn look_up(&mut self) {
        for name in self.urls.iter().map(EnvoyUrl::authority) {
            if name.parse::<SocketAddr>().is_ok() {
                continue;
            }
            match net::lookup_host(name).await {
                Ok(found) => drop(self.names.insert(name.to_owned(), one_family(found.collect()))),
                Err(why) if !self.names.contains_key(name) => {
                    self.names.insert(name.to_owned(), Vec::new());
                    warn!("the gateways {name} can't be looked up: {why}");
                }
                Err(_) => (),
            }
        }
    }

    /// Every gateway once, by its address, with the name that it is known by.
    fn gateways(&self) -> BTreeMap<EnvoyUrl, String> {
        let mut all = BTreeMap::new();
        for url in &self.urls {
            match self.names.get(url.authority()) {
                Some(addresses) => {
                    for address in addresses {
                        all.insert(EnvoyUrl::at(*address), url.authority().to_owned());
                    }
                }
                None if url.authority().parse::<SocketAddr>().is_ok() => {
                    all.insert(url.clone(), url.authority().to_owned());
                }
                None => (),
            }
        }
        all
    }

    /// Starts and ends pushers; whether there was anything to do.
    fn follow(&mut self) -> bool {
        let wanted = self.gateways();
        let before: BTreeSet<_> = self.pushers.keys().cloned().collect();
        let gone = before.iter().filter(|url| !wanted.contains_key(url));
        let new = wanted.iter().filter(|(url, _)| !before.contains(url));
        let gone: Vec<_> = gone.cloned().collect();
        let new: Vec<_> = new.map(|(url, host)| (url.clone(), host.clone())).collect();
        for url in &gone {
            info!("Envoy {url} is gone");
            self.pushers.remove(url);
            self.meters.forget_envoy(url);
        }
        let room = GATEWAYS_MAX.saturating_sub(self.pushers.len());
        if new.len() > room {
            warn!("more than {GATEWAYS_MAX} gateways: {} get no snapshots", new.len() - room);
        }
        for (url, host) in new.iter().take(room) {
            info!("Envoy {url} is there");
            let pusher = self.start(url, host.clone());
            self.pushers.insert(url.clone(), pusher);
        }
        !gone.is_empty() || !new.is_empty()
    }

    fn start(&self, url: &EnvoyUrl, host: String) -> (Task, watch::Receiver<Standing>) {
        let (standing, seen) = watch::channel(Standing::default());
        let peer = Peer { authority: url.authority().to_owned(), host };
        let pusher = Pusher {
            url: url.clone(),
            peer,
            timeout: self.timeout,
            rounds: self.rounds.clone(),
            standing,
            meters: Arc::clone(&self.meters),
        };
        (Task::spawn(pusher.run()), seen)
    }
}

/// There are no more rounds.
async fn ended(rounds: &mut watch::Receiver<Option<Round>>) {
    let _ = rounds.wait_for(|_| false).await.map(drop);
}

/// A pod of a dual-stack cluster has an address in both families, and needs one push.
fn one_family(mut addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    if addresses.iter().any(SocketAddr::is_ipv4) {
        addresses.retain(SocketAddr::is_ipv4);
    }
    addresses
}
