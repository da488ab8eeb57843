//! The objects of a pool as the watches brought them, and the pool that they amount to.

use std::collections::BTreeMap;

use kube::{api::DynamicObject, runtime::watcher::Event};
use picker_core::{MODEL_REWRITES_MAX, ModelRewrite, OBJECTIVES_MAX};
use serde_json::Value;
use tracing::warn;
use wire::{
    kubernetes::{
        self, GROUPS, InferenceModelRewrite, InferenceObjective, InferencePool, ZONE_LABEL,
    },
    snapshot::LABEL_VALUE_MAX,
};

use super::{WatchedKind, WatchedPool, groups::Groups};
use crate::{
    clock::unix_ms,
    discover::DiscoveredPool,
    kubernetes::Store,
    pool::{Pod, PodOrigin},
    settings::Objectives,
};

/// Bytes of all rewrites of a pool: a quarter of what an ingest takes of a snapshot by default, and
/// thousands of names.
const REWRITE_BYTES_MAX: usize = 1 << 20;

/// The objects of one pool.
#[derive(Debug)]
pub(super) struct PoolObjects {
    watched: WatchedPool,
    pool: Store<InferencePool>,
    /// The pool as it was last there: a deleted pool has no pods.
    last: Option<InferencePool>,
    pods: Store<kubernetes::Pod>,
    /// Zones by node; nothing where nodes are not watched.
    zones: Option<Store<String>>,
    objectives: Groups<InferenceObjective>,
    rewrites: Groups<InferenceModelRewrite>,
    /// True once no more is waited for kinds that pools can do without.
    is_impatient: bool,
    /// Number of objects of each kind that were too many, as last logged.
    too_many: BTreeMap<&'static str, usize>,
}

impl PoolObjects {
    pub(super) fn new(watched: WatchedPool, node_zones: bool) -> Self {
        let mut objects = Self {
            watched,
            pool: Store::new("InferencePool"),
            last: None,
            pods: Store::new("Pod"),
            zones: node_zones.then(|| Store::new("Node")),
            objectives: Groups::new("InferenceObjective"),
            rewrites: Groups::new("InferenceModelRewrite"),
            is_impatient: false,
            too_many: BTreeMap::new(),
        };
        if let WatchedPool::Selected(pool) = &objects.watched {
            objects.last = Some(pool.clone());
            for group in 0..GROUPS.len() {
                objects.objectives.set_empty(group);
                objects.rewrites.set_empty(group);
            }
        }
        objects
    }

    /// Returns the InferencePool's name; empty, which is no object's, for pods by their labels.
    fn name(&self) -> &str {
        match &self.watched {
            WatchedPool::Named(name) => name,
            WatchedPool::Selected(_) => "",
        }
    }

    /// Returns the pool as it is now, if it is there.
    fn current(&self) -> Option<&InferencePool> {
        match &self.watched {
            WatchedPool::Named(name) => self.pool.get(name),
            WatchedPool::Selected(pool) => Some(pool),
        }
    }

    /// Applies an event of a watch.
    pub(super) fn take(&mut self, kind: WatchedKind, event: Event<DynamicObject>) {
        match kind {
            WatchedKind::Pool => {
                self.pool.take(event, |it| InferencePool::read(it).map(Some));
                if let Some(pool) = self.current().cloned() {
                    self.last = Some(pool);
                }
            }
            WatchedKind::Pods => self.pods.take(event, |it| Ok(kubernetes::Pod::read(it))),
            WatchedKind::Nodes => {
                if let Some(zones) = &mut self.zones {
                    zones.take(event, |it| Ok(zone(it)));
                }
            }
            WatchedKind::Objectives(group) => {
                self.objectives.take(group, event, InferenceObjective::read);
            }
            WatchedKind::Rewrites(group) => {
                self.rewrites.take(group, event, InferenceModelRewrite::read);
            }
        }
    }

    /// Records that the cluster lacks a kind, or hides one. A kind that pools can do without is not waited for. What is
    /// known of one that is hidden stays: the rules of access may be on their way.
    pub(super) fn set_absent(&mut self, kind: WatchedKind, is_hidden: bool) {
        if is_hidden && self.knows(kind) {
            return;
        }
        match kind {
            WatchedKind::Objectives(group) => self.objectives.set_empty(group),
            WatchedKind::Rewrites(group) => self.rewrites.set_empty(group),
            WatchedKind::Nodes => self.zones.iter_mut().for_each(Store::set_empty),
            WatchedKind::Pool | WatchedKind::Pods => (),
        }
    }

    fn knows(&self, kind: WatchedKind) -> bool {
        match kind {
            WatchedKind::Pool => self.pool.is_known(),
            WatchedKind::Pods => self.pods.is_known(),
            WatchedKind::Nodes => self.zones.as_ref().is_none_or(Store::is_known),
            WatchedKind::Objectives(group) => self.objectives.knows(group),
            WatchedKind::Rewrites(group) => self.rewrites.knows(group),
        }
    }

    /// True if nothing is missing but kinds that pools can do without.
    pub(super) fn lacks_trifles(&self) -> bool {
        let knows_most = self.last.is_some() && self.pods.is_known();
        knows_most && !self.is_impatient && !self.knows_trifles()
    }

    fn knows_trifles(&self) -> bool {
        self.zones.as_ref().is_none_or(Store::is_known)
            && self.objectives.is_known()
            && self.rewrites.is_known()
    }

    /// Stops to wait for kinds that pools can do without: each counts as empty until it is listed.
    pub(super) fn wait_no_more(&mut self) {
        self.is_impatient = true;
        warn!(
            "pool {} is published without zones, objectives or rewrites: the API server does not list them",
            self.name()
        );
    }

    /// Returns the labels of the pool's pods, once the pool is there.
    pub(super) fn selector(&self) -> Option<&BTreeMap<String, String>> {
        self.last.as_ref().map(|pool| &pool.selector)
    }

    /// Returns the pool, once every kind was listed that is waited for.
    pub(super) fn pool(&mut self) -> Option<DiscoveredPool> {
        let known = self.pods.is_known() && (self.is_impatient || self.knows_trifles());
        self.last.as_ref().filter(|_| known)?;
        let pods = self.current().map(|pool| self.pods(pool)).unwrap_or_default();
        Some(DiscoveredPool { pods, objectives: self.objectives(), rewrites: self.rewrites() })
    }

    fn pods(&self, pool: &InferencePool) -> Vec<Pod> {
        let mut all = Vec::new();
        for (_, pod) in self.pods.iter() {
            let labels = self.labels(pod);
            for port in pod.ports(&pool.target_ports) {
                let address = (pod.address, port).into();
                let (labels, origin) = (labels.clone(), origin(pod));
                all.push(Pod { address, labels, http2: pool.http2, origin });
            }
        }
        // Two pods have one address for a moment while one takes over the other's: that is the younger one.
        all.sort_by_key(|pod| (pod.address, std::cmp::Reverse(pod.origin.created_ms)));
        all.dedup_by_key(|pod| pod.address);
        all
    }

    /// Returns the pod's labels with its zone, for which there is always room.
    fn labels(&self, pod: &kubernetes::Pod) -> Vec<(String, String)> {
        let mut labels = pod.labels.clone();
        let zone = self.zones.as_ref().and_then(|zones| zones.get(&pod.node));
        if let Some(zone) = zone.filter(|_| labels.iter().all(|(key, _)| key != ZONE_LABEL)) {
            labels.push((ZONE_LABEL.to_owned(), zone.clone()));
            labels.sort();
        }
        labels
    }

    fn objectives(&mut self) -> Objectives {
        let all = self.objectives.merged(|it| it.is_of(self.name()));
        let over = all.len().saturating_sub(OBJECTIVES_MAX);
        let all = all.into_iter().map(|it| it.objective.clone()).take(OBJECTIVES_MAX).collect();
        self.log_over("InferenceObjectives", over);
        Objectives::new(all).unwrap_or_default()
    }

    /// Returns the rewrites, the oldest first, as many as there is room for.
    fn rewrites(&mut self) -> Vec<ModelRewrite> {
        let mut all = self.rewrites.merged(|it| it.is_of(self.name()));
        all.sort_by(|one, other| one.created.cmp(&other.created));
        let mut bytes = 0;
        let fits = |it: &&&InferenceModelRewrite| {
            bytes += size(&it.rewrite);
            bytes <= REWRITE_BYTES_MAX
        };
        let fitting = all.iter().take(MODEL_REWRITES_MAX).take_while(fits);
        let rewrites: Vec<_> = fitting.map(|it| it.rewrite.clone()).collect();
        let over = all.len() - rewrites.len();
        self.log_over("InferenceModelRewrites", over);
        rewrites
    }

    /// Logs the number of objects that are too many, when it grows.
    fn log_over(&mut self, kind: &'static str, over: usize) {
        let before = self.too_many.insert(kind, over).unwrap_or(0);
        if over > before {
            warn!("pool {} has too many {kind}: {over} are left out", self.name());
        }
    }
}

/// Returns the bytes of all names.
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

fn origin(pod: &kubernetes::Pod) -> PodOrigin {
    let created = humantime::parse_rfc3339(&pod.created).ok();
    PodOrigin { uid: pod.uid.clone(), created_ms: created.map(unix_ms) }
}

#[cfg(test)]
mod tests {
    use kube::runtime::watcher::Event;
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> DynamicObject {
        serde_json::from_value(value).unwrap()
    }

    fn listed(objects: &mut PoolObjects, kind: WatchedKind, object: DynamicObject) {
        for event in [Event::Init, Event::InitApply(object), Event::InitDone] {
            objects.take(kind, event);
        }
    }

    /// A pool that is known with its pod, and nothing else.
    fn objects() -> PoolObjects {
        let mut objects = PoolObjects::new(WatchedPool::Named("qwen".to_owned()), true);
        let pool = object(json!({
            "metadata": {"name": "qwen"},
            "spec": {"selector": {"matchLabels": {"app": "qwen"}}, "targetPorts": [{"number": 8000}]},
        }));
        let pod = object(json!({
            "metadata": {"name": "a"},
            "spec": {"nodeName": "n1"},
            "status": {"podIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": "True"}]},
        }));
        assert!(!objects.lacks_trifles(), "it lacks more");
        listed(&mut objects, WatchedKind::Pool, pool);
        listed(&mut objects, WatchedKind::Pods, pod);
        objects
    }

    fn objective() -> DynamicObject {
        object(json!({
            "metadata": {"name": "high"},
            "spec": {"priority": 7, "poolRef": {"name": "qwen"}},
        }))
    }

    #[test]
    fn a_kind_that_is_never_listed_keeps_no_pool_back() {
        let mut objects = objects();
        assert!(objects.pool().is_none() && objects.lacks_trifles());
        objects.wait_no_more();
        let pool = objects.pool().unwrap();
        assert!(pool.pods.len() == 1 && pool.objectives == Objectives::default());
        assert!(!objects.lacks_trifles(), "it is told of once");
        listed(&mut objects, WatchedKind::Objectives(0), objective());
        assert_ne!(objects.pool().unwrap().objectives, Objectives::default(), "listed at last");
    }

    #[test]
    fn what_is_hidden_for_a_moment_stays_and_what_the_cluster_lacks_goes() {
        let mut objects = objects();
        objects.wait_no_more();
        let kind = WatchedKind::Objectives(0);
        listed(&mut objects, kind, objective());
        objects.set_absent(kind, true);
        assert_ne!(objects.pool().unwrap().objectives, Objectives::default());
        objects.set_absent(kind, false);
        assert_eq!(objects.pool().unwrap().objectives, Objectives::default());
    }
}
