//! What the watches have told so far, and the pool that it amounts to.

use std::{cmp::Reverse, collections::BTreeMap};

use engine::{MAX_MODEL_REWRITES, MAX_OBJECTIVES, ModelRewrite, Objective};
use kube::{api::DynamicObject, runtime::watcher::Event};
use serde_json::Value;
use tracing::warn;
use wire::{
    kubernetes::{InferenceModelRewrite, InferenceObjective, InferencePool, Pod, ZONE_LABEL},
    snapshot::LABELS_MAX,
};

use super::Source;
use crate::{board, discover::Found, kubernetes::Kept, objectives::Objectives};

/// One pool in a cluster.
#[derive(Debug)]
pub(super) struct Cluster {
    name: String,
    pool: Kept<InferencePool>,
    /// The pool as it was last there: if it is deleted, it has no pods.
    last: Option<InferencePool>,
    pods: Kept<Pod>,
    /// Zones by node; nothing where nodes are not watched.
    zones: Option<Kept<String>>,
    objectives: [Kept<InferenceObjective>; 2],
    rewrites: [Kept<InferenceModelRewrite>; 2],
}

impl Cluster {
    pub(super) fn new(name: &str, node_zones: bool) -> Self {
        Self {
            name: name.to_owned(),
            pool: Kept::new(),
            last: None,
            pods: Kept::new(),
            zones: node_zones.then(Kept::new),
            objectives: [Kept::new(), Kept::new()],
            rewrites: [Kept::new(), Kept::new()],
        }
    }

    pub(super) fn take(&mut self, source: Source, event: Event<DynamicObject>) {
        match source {
            Source::Pool => {
                self.pool.take(event, |it| told("InferencePool", it, InferencePool::read(it)));
                if let Some(pool) = self.pool.get(&self.name) {
                    self.last = Some(pool.clone());
                }
            }
            Source::Pods => self.pods.take(event, Pod::read),
            Source::Nodes => {
                if let Some(zones) = &mut self.zones {
                    zones.take(event, zone);
                }
            }
            Source::Objectives(index) => {
                if let Some(kept) = self.objectives.get_mut(index) {
                    let read =
                        |it: &Value| told("InferenceObjective", it, InferenceObjective::read(it));
                    kept.take(event, read);
                }
            }
            Source::Rewrites(index) => {
                if let Some(kept) = self.rewrites.get_mut(index) {
                    let read = |it: &Value| {
                        told("InferenceModelRewrite", it, InferenceModelRewrite::read(it))
                    };
                    kept.take(event, read);
                }
            }
        }
    }

    /// A watch failed. What pools can do without counts as absent where the cluster lacks it.
    pub(super) fn failed(&mut self, source: Source, absent: bool) {
        match source {
            Source::Objectives(index) if absent => {
                self.objectives.get_mut(index).into_iter().for_each(Kept::none);
            }
            Source::Rewrites(index) if absent => {
                self.rewrites.get_mut(index).into_iter().for_each(Kept::none);
            }
            Source::Nodes if absent => self.zones.iter_mut().for_each(Kept::none),
            Source::Pool
            | Source::Pods
            | Source::Nodes
            | Source::Objectives(_)
            | Source::Rewrites(_) => (),
        }
    }

    /// The labels of the pool's pods, once it is there.
    pub(super) fn selector(&self) -> Option<&BTreeMap<String, String>> {
        self.last.as_ref().map(|pool| &pool.selector)
    }

    /// The pool, once every kind was listed.
    pub(super) fn found(&self) -> Option<Found> {
        let known = self.pods.is_known()
            && self.zones.as_ref().is_none_or(Kept::is_known)
            && self.objectives.iter().all(Kept::is_known)
            && self.rewrites.iter().all(Kept::is_known);
        self.last.as_ref().filter(|_| known)?;
        let pods = self.pool.get(&self.name).map(|pool| self.pods_of(pool)).unwrap_or_default();
        Some(Found { pods, objectives: self.objectives(), rewrites: self.rewrites() })
    }

    fn pods_of(&self, pool: &InferencePool) -> Vec<board::Pod> {
        let mut all = Vec::new();
        for (_, pod) in self.pods.iter() {
            let labels = self.labels(pod);
            for port in pod.ports(&pool.target_ports) {
                let address = (pod.address, port).into();
                all.push(board::Pod { address, labels: labels.clone(), http2: pool.http2 });
            }
        }
        // Two pods have one address for a moment while one takes over the other's.
        all.sort_by_key(|pod| pod.address);
        all.dedup_by_key(|pod| pod.address);
        all
    }

    /// The pod's labels with its zone. Of too many, those that are about routing stay.
    fn labels(&self, pod: &Pod) -> Vec<(String, String)> {
        let mut labels = pod.labels.clone();
        let zone = self.zones.as_ref().and_then(|zones| zones.get(&pod.node));
        if let Some(zone) = zone {
            labels.entry(ZONE_LABEL.to_owned()).or_insert_with(|| zone.clone());
        }
        let mut labels: Vec<_> = labels.into_iter().collect();
        let routes = |key: &str| key.starts_with("llm-d.ai/") || key == ZONE_LABEL;
        labels.sort_by_key(|(key, _)| Reverse(routes(key)));
        labels.truncate(LABELS_MAX);
        labels.sort();
        labels
    }

    /// By name; the newer group's comes before the older one's.
    fn objectives(&self) -> Objectives {
        let mut all = BTreeMap::<&str, &Objective>::new();
        let of_pool = |kept: &&InferenceObjective| kept.is_of(&self.name);
        for kept in &self.objectives {
            for it in kept.iter().map(|(_, it)| it).filter(of_pool) {
                all.entry(&it.objective.name).or_insert(&it.objective);
            }
        }
        Objectives::new(all.into_values().take(MAX_OBJECTIVES).cloned().collect())
            .unwrap_or_default()
    }

    /// The oldest first; the newer group's comes before the older one's of the same name.
    fn rewrites(&self) -> Vec<ModelRewrite> {
        let mut all = BTreeMap::<&str, &InferenceModelRewrite>::new();
        let of_pool = |kept: &&InferenceModelRewrite| kept.is_of(&self.name);
        for kept in &self.rewrites {
            for it in kept.iter().map(|(_, it)| it).filter(of_pool) {
                all.entry(&it.rewrite.name).or_insert(it);
            }
        }
        let mut all: Vec<_> = all.into_values().collect();
        all.sort_by(|one, other| one.created.cmp(&other.created));
        all.truncate(MAX_MODEL_REWRITES);
        all.into_iter().map(|it| it.rewrite.clone()).collect()
    }
}

fn zone(node: &Value) -> Option<String> {
    let labels = node.pointer("/metadata/labels")?;
    Some(labels.get(ZONE_LABEL)?.as_str()?.to_owned())
}

/// What was read, or a line in the log.
fn told<T>(kind: &str, object: &Value, read: Result<T, String>) -> Option<T> {
    let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    read.inspect_err(|why| warn!("{kind} {name} is left out: {why}")).ok()
}
