//! The gateways that are pushed to, each with a pusher of its own.

use std::{
    collections::{BTreeMap, BTreeSet},
    future,
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream, stream::BoxStream};
use kube::runtime::watcher;
use tokio::{sync::watch, time};
use tracing::{info, warn};
use wire::kubernetes::EndpointSlice;

use super::{
    pusher::{EnvoyStatus, Pusher},
    reader::ReplyTaker,
    signed_snapshot::Round,
};
use crate::{
    kubernetes::{self, Change, Resource, Store, WatchHealth},
    meters::Meters,
    peer::{self, FoundName, Peer, TlsClient},
    settings::{EnvoyUrl, GatewayService, Gateways},
    task::Task,
};

/// Time after which names are looked up again: as often as those of pods.
const NAMES_INTERVAL: Duration = Duration::from_secs(5);

/// Gateways of one scraper. A large installation has some ten replicas.
const GATEWAYS_MAX: usize = 256;

const SLICES: Resource = Resource {
    group: "discovery.k8s.io",
    version: "v1",
    kind: "EndpointSlice",
    plural: "endpointslices",
};

/// A gateway as the status pages see it.
#[derive(Clone, Debug)]
pub(crate) struct WatchedGateway {
    pub(crate) url: EnvoyUrl,
    pub(crate) status: watch::Receiver<EnvoyStatus>,
}

/// The gateways that are pushed to.
pub(crate) struct GatewaySet {
    settings: Gateways,
    /// TLS of the settings, with the files read.
    tls: Option<Arc<TlsClient>>,
    timeout: Duration,
    rounds: watch::Receiver<Option<Round>>,
    meters: Arc<Meters>,
    replies: ReplyTaker,
    /// Addresses behind the URLs' names, kept when a later look-up fails.
    names: BTreeMap<String, Vec<SocketAddr>>,
    slices: Store<EndpointSlice>,
    /// Number of gateways that were too many, as last logged.
    over: usize,
    pushers: BTreeMap<EnvoyUrl, RunningPusher>,
}

struct RunningPusher {
    task: Task,
    status: watch::Receiver<EnvoyStatus>,
}

impl std::fmt::Debug for GatewaySet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GatewaySet").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl GatewaySet {
    pub(crate) fn new(
        settings: Gateways,
        timeout: Duration,
        rounds: watch::Receiver<Option<Round>>,
        meters: Arc<Meters>,
        replies: ReplyTaker,
    ) -> Self {
        let tls = settings.tls.clone().map(|settings| Arc::new(TlsClient::new(settings)));
        Self {
            settings,
            tls,
            timeout,
            rounds,
            meters,
            replies,
            names: BTreeMap::new(),
            slices: Store::new("EndpointSlice"),
            over: 0,
            pushers: BTreeMap::new(),
        }
    }

    /// Begins to watch the gateways of a Service, if the settings name one.
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

    /// Follows the gateways until there are no more rounds, then lets pushes on their way arrive.
    pub(crate) async fn run(
        mut self,
        mut changes: BoxStream<'static, Change>,
        watched: watch::Sender<Vec<WatchedGateway>>,
    ) {
        let mut ticks = time::interval(NAMES_INTERVAL);
        let mut rounds = self.rounds.clone();
        let mut health = WatchHealth::new("the watch of the gateways' EndpointSlices".to_owned());
        // Beside the rest: a resolver that has no answer keeps no gateway of a Service waiting.
        let mut lookups: BoxFuture<'static, Vec<FoundName>> = future::pending().boxed();
        loop {
            tokio::select! {
                _ = ticks.tick() => lookups = peer::look_up_all(self.wanted_names()).boxed(),
                found = &mut lookups => {
                    lookups = future::pending().boxed();
                    self.take_names(found);
                }
                Some(change) = changes.next() => if let Ok(event) = health.judge(change) {
                    self.slices.take(event, |it| EndpointSlice::read(it).map(Some));
                },
                () = ended(&mut rounds) => break,
            }
            if self.follow() {
                watched.send_replace(self.watched());
            }
        }
        for pusher in self.pushers.values_mut() {
            // A pusher that panicked has nothing on its way either.
            let _ = pusher.task.join().await;
        }
    }

    fn watched(&self) -> Vec<WatchedGateway> {
        let pushers = self.pushers.iter();
        pushers
            .map(|(url, pusher)| WatchedGateway { url: url.clone(), status: pusher.status.clone() })
            .collect()
    }

    /// Returns the names that gateways are behind.
    fn wanted_names(&self) -> Vec<String> {
        let names = self.settings.urls.iter().map(EnvoyUrl::authority);
        names.filter(|name| name.parse::<SocketAddr>().is_err()).map(str::to_owned).collect()
    }

    fn take_names(&mut self, found: Vec<FoundName>) {
        for (name, found) in found {
            match found {
                Ok(found) => drop(self.names.insert(name, found)),
                Err(why) if !self.names.contains_key(&name) => {
                    warn!("failed to look up the gateways {name}: {why}");
                    self.names.insert(name, Vec::new());
                }
                Err(_) => (),
            }
        }
    }

    /// Returns every gateway once, by its address, with the name that its certificate is for.
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
            // A Service of two families has slices of both, of the same gateways.
            let slices = self.slices.iter().flat_map(|(_, slice)| slice.addresses(service.port));
            for address in peer::one_family(slices.collect()) {
                let url = EnvoyUrl::new(self.settings.tls.is_some(), address);
                all.entry(url).or_insert_with(|| address.to_string());
            }
        }
        all
    }

    /// Starts and ends pushers; true if there was anything to do.
    fn follow(&mut self) -> bool {
        let wanted = self.gateways();
        let before: BTreeSet<_> = self.pushers.keys().cloned().collect();
        let gone = before.iter().filter(|url| !wanted.contains_key(url));
        let new = wanted.iter().filter(|(url, _)| !before.contains(url));
        let gone: Vec<_> = gone.cloned().collect();
        let new: Vec<_> = new.map(|(url, host)| (url.clone(), host.clone())).collect();
        // Those that are gone make room first.
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
        self.replies.exchanges.reach(self.pushers.len());
        !gone.is_empty() || new.len() > over
    }

    fn start(&self, url: &EnvoyUrl, host: String) -> RunningPusher {
        let (writer, status) = watch::channel(EnvoyStatus::default());
        let tls = self.tls.clone().filter(|_| url.is_https());
        let peer = Peer { authority: url.authority().to_owned(), host, tls, http2: false };
        let pusher = Pusher {
            url: url.clone(),
            peer,
            timeout: self.timeout,
            rounds: self.rounds.clone(),
            status: writer,
            meters: Arc::clone(&self.meters),
            replies: self.replies.clone(),
        };
        RunningPusher { task: Task::spawn(pusher.run()), status }
    }
}

/// Waits until there are no more rounds.
async fn ended(rounds: &mut watch::Receiver<Option<Round>>) {
    let _ = rounds.wait_for(|_| false).await.map(drop);
}
