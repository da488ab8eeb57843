//! An InferencePool of Kubernetes: its ready pods, and the objectives and rewrites that refer to
//! it.

mod groups;
mod objects;

use std::collections::BTreeMap;

use futures_util::{StreamExt, stream, stream::BoxStream};
use kube::{Client, runtime::watcher};
use wire::kubernetes::{GROUPS, POOL_GROUP};

use super::DiscoveredPool;
use crate::{
    kubernetes::{self, Change, Resource, WatchHealth},
    settings::InferencePool,
};
use objects::PoolObjects;

const POOLS: Resource =
    Resource { group: POOL_GROUP, version: "v1", kind: "InferencePool", plural: "inferencepools" };
const PODS: Resource = Resource { group: "", version: "v1", kind: "Pod", plural: "pods" };
const NODES: Resource = Resource { group: "", version: "v1", kind: "Node", plural: "nodes" };

/// A kind of objects that is watched. Numbers are positions in [`GROUPS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum WatchedKind {
    Pool,
    Pods,
    Nodes,
    Objectives(usize),
    Rewrites(usize),
}

/// The watches of one pool.
pub(crate) struct PoolWatch {
    client: Client,
    namespace: String,
    name: String,
    node_zones: bool,
}

impl std::fmt::Debug for PoolWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "InferencePool {}/{}", self.namespace, self.name)
    }
}

impl PoolWatch {
    /// Connects to the API server.
    ///
    /// # Errors
    /// If there is no way to an API server.
    pub(super) async fn load(pool: InferencePool) -> Result<Self, String> {
        let InferencePool { name, namespace, kubeconfig, node_zones } = pool;
        let client = kubernetes::connect(kubeconfig.as_deref()).await?;
        let namespace = namespace.unwrap_or_else(|| client.default_namespace().to_owned());
        Ok(Self { client, namespace, name, node_zones })
    }

    /// Publishes the pool whenever it may have changed, for ever.
    pub(super) async fn run(self, publish: impl Fn(DiscoveredPool)) {
        let mut objects = PoolObjects::new(&self.name, self.node_zones);
        let mut others = stream::select_all(self.others());
        // Pods are watched by the labels that the pool selects, so their watch begins, and begins
        // again, when the pool says which.
        let mut pods: BoxStream<'static, Change> = stream::pending().boxed();
        let mut selector = BTreeMap::new();
        let mut health = BTreeMap::<WatchedKind, WatchHealth>::new();
        loop {
            let (kind, change) = tokio::select! {
                Some(change) = others.next() => change,
                Some(change) = pods.next() => (WatchedKind::Pods, change),
                else => return,
            };
            let new = || WatchHealth::new(format!("the watch of {kind:?} for {self:?}"));
            let health = health.entry(kind).or_insert_with(new);
            match health.judge(change) {
                Ok(event) => objects.take(kind, event),
                Err(fault) if fault.is_absence() => objects.set_absent(kind),
                Err(_) => (),
            }
            if let Some(wanted) = objects.selector().filter(|wanted| **wanted != selector) {
                selector.clone_from(wanted);
                pods = self.pods(&selector);
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
        let named = all().fields(&format!("metadata.name={}", self.name));
        let mut streams = vec![tagged(WatchedKind::Pool, POOLS, ours, named)];
        for (index, group) in GROUPS.into_iter().enumerate() {
            let resource = |kind, plural| Resource { group, version: "v1alpha2", kind, plural };
            let objectives = resource("InferenceObjective", "inferenceobjectives");
            let rewrites = resource("InferenceModelRewrite", "inferencemodelrewrites");
            streams.push(tagged(WatchedKind::Objectives(index), objectives, ours, all()));
            streams.push(tagged(WatchedKind::Rewrites(index), rewrites, ours, all()));
        }
        if self.node_zones {
            streams.push(tagged(WatchedKind::Nodes, NODES, None, all()));
        }
        streams
    }
}
