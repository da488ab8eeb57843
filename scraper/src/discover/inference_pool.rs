//! An InferencePool of Kubernetes: its ready pods, and the objectives and rewrites that refer to it.

mod cluster;
mod groups;

use std::collections::BTreeMap;

use futures_util::{StreamExt, stream, stream::BoxStream};
use kube::{Client, runtime::watcher};
use wire::kubernetes::{GROUPS, POOL_GROUP};

use super::Found;
use crate::{
    kubernetes::{self, Change, Resource, Standing},
    settings,
};
use cluster::Cluster;

const POOLS: Resource =
    Resource { group: POOL_GROUP, version: "v1", kind: "InferencePool", plural: "inferencepools" };
const PODS: Resource = Resource { group: "", version: "v1", kind: "Pod", plural: "pods" };
const NODES: Resource = Resource { group: "", version: "v1", kind: "Node", plural: "nodes" };

/// What is watched. Numbers are positions in [`GROUPS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    Pool,
    Pods,
    Nodes,
    Objectives(usize),
    Rewrites(usize),
}

/// The watches of one pool.
pub(crate) struct InferencePool {
    client: Client,
    namespace: String,
    name: String,
    node_zones: bool,
}

impl std::fmt::Debug for InferencePool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "InferencePool {}/{}", self.namespace, self.name)
    }
}

impl InferencePool {
    /// # Errors
    /// If there is no way to an API server.
    pub(super) async fn load(pool: settings::InferencePool) -> Result<Self, String> {
        let settings::InferencePool { name, namespace, kubeconfig, node_zones } = pool;
        let client = kubernetes::connect(kubeconfig.as_deref()).await?;
        let namespace = namespace.unwrap_or_else(|| client.default_namespace().to_owned());
        Ok(Self { client, namespace, name, node_zones })
    }

    /// Publishes what there is whenever it may have changed, for ever.
    pub(super) async fn run(self, publish: impl Fn(Found)) {
        let mut cluster = Cluster::new(&self.name, self.node_zones);
        let mut others = stream::select_all(self.others());
        let mut pods: BoxStream<'static, Change> = stream::pending().boxed();
        let mut selector = BTreeMap::new();
        let mut standings = BTreeMap::<Source, Standing>::new();
        loop {
            let (source, change) = tokio::select! {
                Some(change) = others.next() => change,
                Some(change) = pods.next() => (Source::Pods, change),
                else => return,
            };
            let new = || Standing::new(format!("the watch of {source:?} for {self:?}"));
            let standing = standings.entry(source).or_insert_with(new);
            match standing.judge(change) {
                Ok(event) => cluster.take(source, event),
                Err(fault) if fault.is_absence() => cluster.lacks(source),
                Err(_) => (),
            }
            if let Some(wanted) = cluster.selector().filter(|wanted| **wanted != selector) {
                selector.clone_from(wanted);
                pods = self.pods(&selector);
            }
            if let Some(found) = cluster.found() {
                publish(found);
            }
        }
    }

    fn pods(&self, selector: &BTreeMap<String, String>) -> BoxStream<'static, Change> {
        let labels: Vec<_> = selector.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let which = watcher::Config::default().labels(&labels.join(","));
        kubernetes::watch(&self.client, PODS, Some(&self.namespace), which)
    }

    fn others(&self) -> Vec<BoxStream<'static, (Source, Change)>> {
        let tagged = |source, resource, namespace, which| {
            let changes = kubernetes::watch(&self.client, resource, namespace, which);
            changes.map(move |change| (source, change)).boxed()
        };
        let ours = Some(self.namespace.as_str());
        let all = watcher::Config::default;
        let named = all().fields(&format!("metadata.name={}", self.name));
        let mut streams = vec![tagged(Source::Pool, POOLS, ours, named)];
        for (index, group) in GROUPS.into_iter().enumerate() {
            let kind = |kind, plural| Resource { group, version: "v1alpha2", kind, plural };
            let objectives = kind("InferenceObjective", "inferenceobjectives");
            let rewrites = kind("InferenceModelRewrite", "inferencemodelrewrites");
            streams.push(tagged(Source::Objectives(index), objectives, ours, all()));
            streams.push(tagged(Source::Rewrites(index), rewrites, ours, all()));
        }
        if self.node_zones {
            streams.push(tagged(Source::Nodes, NODES, None, all()));
        }
        streams
    }
}
