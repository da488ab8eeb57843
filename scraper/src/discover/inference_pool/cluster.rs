//! What the watches have told so far, and the pool that it amounts to.

use std::collections::BTreeMap;

use kube::{api::DynamicObject, runtime::watcher::Event};
use picker_core::{MODEL_REWRITES_MAX, ModelRewrite, OBJECTIVES_MAX};
use serde_json::Value;
use tracing::warn;
use wire::{
    kubernetes::{InferenceModelRewrite, InferenceObjective, InferencePool, Pod, ZONE_LABEL},
    snapshot::LABEL_VALUE_MAX,
};

use super::{Source, groups::Groups};
use crate::{board, discover::Found, kubernetes::Kept, objectives::Objectives};

/// Bytes of all rewrites of a pool: a quarter of what an ingest takes of a snapshot by default, and
/// thousands of names.
const REWRITE_BYTES_MAX: usize = 1 << 20;

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
    objectives: Groups<InferenceObjective>,
    rewrites: Groups<InferenceModelRewrite>,
    /// How many of each kind were too many, as far as it was told.
    too_many: BTreeMap<&'static str, usize>,
}

impl Cluster {
    pub(super) fn new(name: &str, node_zones: bool) -> Self {
        Self {
            name: name.to_owned(),
            pool: Kept::new("InferencePool"),
            last: None,
            pods: Kept::new("Pod"),
            zones: node_zones.then(|| Kept::new("Node")),
            objectives: Groups::new("InferenceObjective"),
            rewrites: Groups::new("InferenceModelRewrite"),
            too_many: BTreeMap::new(),
        }
    }

    pub(super) fn take(&mut self, source: Source, event: Event<DynamicObject>) {
        match source {
            Source::Pool => {
                self.pool.take(event, |it| InferencePool::read(it).map(Some));
                if let Some(pool) = self.pool.get(&self.name) {
                    self.last = Some(pool.clone());
                }
            }
            Source::Pods => self.pods.take(event, |it| Ok(Pod::read(it))),
            Source::Nodes => {
                if let Some(zones) = &mut self.zones {
                    zones.take(event, |it| Ok(zone(it)));
                }
            }
            Source::Objectives(group) => {
                self.objectives.take(group, event, InferenceObjective::read);
            }
            Source::Rewrites(group) => {
                self.rewrites.take(group, event, InferenceModelRewrite::read);
            }
        }
    }

    /// The cluster lacks what is watched, or hides it: what pools can do without is not waited for.
    pub(super) fn lacks(&mut self, source: Source) {
        match source {
            Source::Objectives(group) => self.objectives.none(group),
            Source::Rewrites(group) => self.rewrites.none(group),
            Source::Nodes => self.zones.iter_mut().for_each(Kept::none),
            Source::Pool | Source::Pods => (),
        }
    }

    /// The labels of the pool's pods, once it is there.
    pub(super) fn selector(&self) -> Option<&BTreeMap<String, String>> {
        self.last.as_ref().map(|pool| &pool.selector)
    }

    /// The pool, once every kind was listed.
    pub(super) fn found(&mut self) -> Option<Found> {
        let known = self.pods.is_known()
            && self.zones.as_ref().is_none_or(Kept::is_known)
            && self.objectives.is_known()
            && self.rewrites.is_known();
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

    /// The pod's labels with its zone, for which there is always room.
    fn labels(&self, pod: &Pod) -> Vec<(String, String)> {
        let mut labels = pod.labels.clone();
        let zone = self.zones.as_ref().and_then(|zones| zones.get(&pod.node));
        if let Some(zone) = zone.filter(|_| labels.iter().all(|(key, _)| key != ZONE_LABEL)) {
            labels.push((ZONE_LABEL.to_owned(), zone.clone()));
            labels.sort();
        }
        labels
    }

    fn objectives(&mut self) -> Objectives {
        let all = self.objectives.merged(|it| it.is_of(&self.name));
        let over = all.len().saturating_sub(OBJECTIVES_MAX);
        let all = all.into_iter().map(|it| it.objective.clone()).take(OBJECTIVES_MAX).collect();
        self.tell_over("InferenceObjectives", over);
        Objectives::new(all).unwrap_or_default()
    }

    /// The oldest first, as many as there is room for.
    fn rewrites(&mut self) -> Vec<ModelRewrite> {
        let mut all = self.rewrites.merged(|it| it.is_of(&self.name));
        all.sort_by(|one, other| one.created.cmp(&other.created));
        let mut bytes = 0;
        let fits = |it: &&&InferenceModelRewrite| {
            bytes += size(&it.rewrite);
            bytes <= REWRITE_BYTES_MAX
        };
        let fitting = all.iter().take(MODEL_REWRITES_MAX).take_while(fits);
        let rewrites: Vec<_> = fitting.map(|it| it.rewrite.clone()).collect();
        let over = all.len() - rewrites.len();
        self.tell_over("InferenceModelRewrites", over);
        rewrites
    }

    fn tell_over(&mut self, kind: &'static str, over: usize) {
        let before = self.too_many.insert(kind, over).unwrap_or(0);
        if over > before {
            warn!("pool {} has too many {kind}: {over} are left out", self.name);
        }
    }
}

/// Bytes of all names.
fn size(rewrite: &ModelRewrite) -> usize {
    let names = rewrite
        .rules
        .iter()
        .flat_map(|rule| rule.models.iter().chain(rule.targets.iter().map(|target| &target.model)));
    names.chain([&rewrite.name]).map(String::len).sum()
}

fn zone(node: &Value) -> Option<String> {
    let zone = node.pointer("/metadata/labels")?.get(ZONE_LABEL)?.as_str()?;
    (zone.len() <= LABEL_VALUE_MAX).then(|| zone.to_owned())
}
