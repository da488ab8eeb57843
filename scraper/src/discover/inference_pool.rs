//! An InferencePool of Kubernetes: its ready pods, and the objectives and rewrites that refer to
//! it. Or pods by their labels, for a cluster that has no InferencePools.

mod groups;
mod objects;

use std::{collections::BTreeMap, future, time::Duration};

use futures_util::{FutureExt, StreamExt, stream, stream::BoxStream};
use kube::{Client, runtime::watcher};
use tokio::time;
use wire::kubernetes::{GROUPS, POOL_GROUP};

use super::DiscoveredPool;
use crate::{
    kubernetes::{self, Change, Resource, WatchHealth},
    settings::{InferencePool, SelectedPods},
};
use objects::PoolObjects;

const POOLS: Resource =
    Resource { group: POOL_GROUP, version: "v1", kind: "InferencePool", plural: "inferencepools" };
const PODS: Resource = Resource { group: "", version: "v1", kind: "Pod", plural: "pods" };
const NODES: Resource = Resource { group: "", version: "v1", kind: "Node", plural: "nodes" };

/// Changes that are taken in before the pool is published: those of some 10 ms, for which scrapes and pushes wait.
const CHANGES_MAX: usize = 256;

/// Time for which a pool with its pods waits for kinds that it can do without. They are listed together, within a second;
/// an API that is served by another, or converted by a webhook, may fail for ever.
const TRIFLES_MAX: Duration = Duration::from_secs(5);

/// A kind of objects that is watched. Numbers are positions in [`GROUPS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum WatchedKind {
    Pool,
    Pods,
    Nodes,
    Objectives(usize),
    Rewrites(usize),
}

/// A pool that is watched.
#[derive(Clone, Debug)]
enum WatchedPool {
    /// An InferencePool by its name.
    Named(String),
    /// Pods by their labels, which nothing else refers to.
    Selected(wire::kubernetes::InferencePool),
}

/// The watches of one pool.
pub(crate) struct PoolWatch {
    client: Client,
    namespace: String,
    pool: WatchedPool,
    node_zones: bool,
}

impl std::fmt::Debug for PoolWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.pool {
            WatchedPool::Named(name) => write!(f, "InferencePool {}/{name}", self.namespace),
            WatchedPool::Selected(pool) => {
                write!(f, "pods of {} with {:?}", self.namespace, pool.selector)
            }
        }
    }
}

impl PoolWatch {
    /// Connects to the API server, for an InferencePool.
    ///
    /// # Errors
    /// If there is no way to an API server.
    pub(super) async fn of_pool(pool: InferencePool) -> Result<Self, String> {
        let InferencePool { name, namespace, kubeconfig, node_zones } = pool;
        let client = kubernetes::connect(kubeconfig.as_deref()).await?;
        let namespace = namespace.unwrap_or_else(|| client.default_namespace().to_owned());
        Ok(Self { client, namespace, pool: WatchedPool::Named(name), node_zones })
    }

    /// Connects to the API server, for pods by their labels.
    ///
    /// # Errors
    /// If there is no way to an API server.
    pub(super) async fn of_pods(pods: SelectedPods) -> Result<Self, String> {
        let SelectedPods { labels, port, namespace, kubeconfig, node_zones } = pods;
        let client = kubernetes::connect(kubeconfig.as_deref()).await?;
        let namespace = namespace.unwrap_or_else(|| client.default_namespace().to_owned());
        let pool = wire::kubernetes::InferencePool {
            selector: labels,
            target_ports: vec![port],
            http2: false,
        };
        Ok(Self { client, namespace, pool: WatchedPool::Selected(pool), node_zones })
    }

    /// Publishes the pool whenever it may have changed, for ever.
    pub(super) async fn run(self, publish: impl Fn(DiscoveredPool)) {
        let mut objects = PoolObjects::new(self.pool.clone(), self.node_zones);
        let mut others = stream::select_all(self.others());
        // Pods are watched by the labels that the pool selects, so their watch begins, and begins
        // again, when the pool says which.
        let mut pods: BoxStream<'static, Change> = stream::pending().boxed();
        let mut selector = BTreeMap::new();
        let mut health = BTreeMap::<WatchedKind, WatchHealth>::new();
        let mut impatient_at = None;
        loop {
            let new = || time::Instant::now() + TRIFLES_MAX;
            impatient_at = objects.lacks_trifles().then(|| *impatient_at.get_or_insert_with(new));
            let impatient = async {
                match impatient_at {
                    Some(at) => time::sleep_until(at).await,
                    None => future::pending().await,
                }
            };
            if let Some(wanted) = objects.selector().filter(|wanted| **wanted != selector) {
                selector.clone_from(wanted);
                pods = self.pods(&selector);
            }
            let first = tokio::select! {
                Some(change) = others.next() => Some(change),
                Some(change) = pods.next() => Some((WatchedKind::Pods, change)),
                () = impatient => {
                    objects.wait_no_more();
                    None
                }
            };
            // What is there already is taken in before the pool is made anew, which costs as much as hundreds of changes.
            let more = std::iter::from_fn(|| {
                let pod = pods.next().now_or_never().flatten();
                pod.map(|change| (WatchedKind::Pods, change))
                    .or_else(|| others.next().now_or_never().flatten())
            });
            for (kind, change) in first.into_iter().chain(more).take(CHANGES_MAX) {
                let new = || WatchHealth::new(format!("the watch of {kind:?} for {self:?}"));
                let health = health.entry(kind).or_insert_with(new);
                match health.judge(change) {
                    Ok(event) => objects.take(kind, event),
                    Err(fault) if fault.is_absence() => objects.set_absent(kind, fault.is_hidden()),
                    Err(_) => (),
                }
            }
            if let Some(pool) = objects.pool() {
                publish(pool);
            }
        }
    }

    fn pods(&self, selector: &BTreeMap<String, String>) -> BoxStream<'static, Change> {
        let labels: Vec<_> = selector.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let which = watcher::Config::default().labels(&labels.join(","));
        kubernetes::watch(&self.client, PODS, Some(&self.namespace), which)
    }

    /// Begins the watches of all kinds but pods.
    fn others(&self) -> Vec<BoxStream<'static, (WatchedKind, Change)>> {
        let tagged = |kind, resource, namespace, which| {
            let changes = kubernetes::watch(&self.client, resource, namespace, which);
            changes.map(move |change| (kind, change)).boxed()
        };
        let ours = Some(self.namespace.as_str());
        let all = watcher::Config::default;
        let mut streams = Vec::new();
        if self.node_zones {
            streams.push(tagged(WatchedKind::Nodes, NODES, None, all()));
        }
        let WatchedPool::Named(name) = &self.pool else { return streams };
        let named = all().fields(&format!("metadata.name={name}"));
        streams.push(tagged(WatchedKind::Pool, POOLS, ours, named));
        for (index, group) in GROUPS.into_iter().enumerate() {
            let resource = |kind, plural| Resource { group, version: "v1alpha2", kind, plural };
            let objectives = resource("InferenceObjective", "inferenceobjectives");
            let rewrites = resource("InferenceModelRewrite", "inferencemodelrewrites");
            streams.push(tagged(WatchedKind::Objectives(index), objectives, ours, all()));
            streams.push(tagged(WatchedKind::Rewrites(index), rewrites, ours, all()));
        }
        streams
    }
}
