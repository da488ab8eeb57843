//! Keeps one pusher for each gateway that there is.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt, stream, stream::BoxStream};
use kube::runtime::watcher;
use tokio::{sync::watch, time};
use tracing::{info, warn};
use wire::kubernetes::EndpointSlice;

use crate::{
    addresses,
    client::Peer,
    envoy::{Pusher, Standing},
    kubernetes::{self, Change, Kept, Resource, Standing as Watching},
    meters::Meters,
    publisher::Round,
    settings::{EnvoyUrl, GatewayService, Gateways},
    task::Task,
    tls::Tls,
};

/// How often names are looked up again: as often as those of pods.
const NAMES_INTERVAL: Duration = Duration::from_secs(5);

/// Gateways of one scraper. A large installation has some ten replicas.
const GATEWAYS_MAX: usize = 256;

const SLICES: Resource = Resource {
    group: "discovery.k8s.io",
    version: "v1",
    kind: "EndpointSlice",
    plural: "endpointslices",
};

/// One gateway as the status pages see it.
pub(crate) type Watched = (EnvoyUrl, watch::Receiver<Standing>);

/// All of them.
pub(crate) struct Herd {
    settings: Gateways,
    /// The settings'.
    tls: Option<Arc<Tls>>,
    timeout: Duration,
    rounds: watch::Receiver<Option<Round>>,
    meters: Arc<Meters>,
    /// The addresses behind the URLs' names, kept when a later look-up fails.
    names: BTreeMap<String, Vec<SocketAddr>>,
    slices: Kept<EndpointSlice>,
    /// How many were too many, as far as it was told.
    over: usize,
    pushers: BTreeMap<EnvoyUrl, (Task, watch::Receiver<Standing>)>,
}

impl std::fmt::Debug for Herd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Herd").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Herd {
    pub(crate) fn new(
        settings: Gateways,
        timeout: Duration,
        rounds: watch::Receiver<Option<Round>>,
        meters: Arc<Meters>,
    ) -> Self {
        let (names, slices) = (BTreeMap::new(), Kept::new("EndpointSlice"));
        let pushers = BTreeMap::new();
        let tls = settings.tls.clone().map(|settings| Arc::new(Tls::new(settings)));
        Self { settings, tls, timeout, rounds, meters, names, slices, over: 0, pushers }
    }

    /// What tells of the gateways of a Service.
    ///
    /// # Errors
    /// If there is no way to an API server.
    pub(crate) async fn changes(&self) -> Result<BoxStream<'static, Change>, String> {
        let Some(service) = &self.settings.service else { return Ok(stream::pending().boxed()) };
        let GatewayService { name, namespace, kubeconfig, .. } = service;
        let client = kubernetes::connect(kubeconfig.as_deref()).await?;
        let namespace =
            namespace.as_deref().unwrap_or_else(|| client.default_namespace()).to_owned();
        let which =
            watcher::Config::default().labels(&format!("kubernetes.io/service-name={name}"));
        Ok(kubernetes::watch(&client, SLICES, Some(&namespace), which))
    }

    /// Follows the gateways until there are no more rounds; lets pushes on their way arrive.
    pub(crate) async fn run(
        mut self,
        mut changes: BoxStream<'static, Change>,
        watched: watch::Sender<Vec<Watched>>,
    ) {
        let (mut ticks, mut rounds) = (time::interval(NAMES_INTERVAL), self.rounds.clone());
        let mut watching = Watching::new("the watch of the gateways' EndpointSlices".to_owned());
        loop {
            tokio::select! {
                _ = ticks.tick() => self.look_up().await,
                Some(change) = changes.next() => if let Ok(event) = watching.judge(change) {
                    self.slices.take(event, |it| EndpointSlice::read(it).map(Some));
                },
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
        for name in self.settings.urls.iter().map(EnvoyUrl::authority) {
            if name.parse::<SocketAddr>().is_ok() {
                continue;
            }
            match addresses::look_up(name).await {
                Ok(found) => drop(self.names.insert(name.to_owned(), found)),
                Err(why) if !self.names.contains_key(name) => {
                    self.names.insert(name.to_owned(), Vec::new());
                    warn!("the gateways {name} can't be looked up: {why}");
                }
                Err(_) => (),
            }
        }
    }

    /// Every gateway once, by its address, with the name that its certificate is for.
    fn gateways(&self) -> BTreeMap<EnvoyUrl, String> {
        let mut all = BTreeMap::new();
        for url in &self.settings.urls {
            match self.names.get(url.authority()) {
                Some(addresses) => {
                    for address in addresses {
                        all.insert(url.at(*address), url.authority().to_owned());
                    }
                }
                None if url.authority().parse::<SocketAddr>().is_ok() => {
                    all.insert(url.clone(), url.authority().to_owned());
                }
                None => (),
            }
        }
        if let Some(service) = &self.settings.service {
            for (_, slice) in self.slices.iter() {
                for address in slice.addresses(service.port) {
                    let url = EnvoyUrl::new(self.settings.tls.is_some(), address);
                    all.entry(url).or_insert_with(|| address.to_string());
                }
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
        let over = new.len().saturating_sub(room);
        if over > std::mem::replace(&mut self.over, over) {
            warn!("more than {GATEWAYS_MAX} gateways: {over} get no snapshots");
        }
        for (url, host) in new.iter().take(room) {
            info!("Envoy {url} is there");
            let pusher = self.start(url, host.clone());
            self.pushers.insert(url.clone(), pusher);
        }
        !gone.is_empty() || new.len() > over
    }

    fn start(&self, url: &EnvoyUrl, host: String) -> (Task, watch::Receiver<Standing>) {
        let (standing, seen) = watch::channel(Standing::default());
        let tls = self.tls.clone().filter(|_| url.is_https());
        let peer = Peer { authority: url.authority().to_owned(), host, tls, http2: false };
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
