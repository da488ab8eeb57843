//! Pods.

use std::{cmp::Reverse, collections::BTreeMap, net::IpAddr};

use serde::Deserialize;
use serde_json::Value;

use crate::snapshot::{LABEL_KEY_MAX, LABEL_VALUE_MAX, LABELS_MAX};

/// Label of nodes, and of pods in newer clusters, that names the zone.
pub const ZONE_LABEL: &str = "topology.kubernetes.io/zone";

/// Beginnings of labels that are about routing.
const ROUTING: [&str; 3] = ["llm-d.ai/", "inference.networking.k8s.io/", "topology.kubernetes.io/"];

/// Annotation that restricts the target ports of a pool to those that are served, and its older
/// name.
const ACTIVE_PORTS: [&str; 2] =
    ["llm-d.ai/active-ports", "inference.networking.k8s.io/active-ports"];

/// Pod that has an address and is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Address of the pod.
    pub address: IpAddr,
    /// Name that no other pod has or had.
    pub uid: String,
    /// Time of its making, as the API server writes it.
    pub created: String,
    /// Node that the pod runs on.
    pub node: String,
    /// Labels of the pod, sorted by key: as many as an endpoint may have, less one for the zone of
    /// its node.
    pub labels: Vec<(String, String)>,
    /// Ports that the pod's annotation names, if it has one.
    active_ports: Option<Vec<u16>>,
}

impl Pod {
    /// Reads a pod; nothing while it is not ready, is going away or has no address.
    #[must_use]
    pub fn read(object: &Value) -> Option<Self> {
        let PodObject { metadata, spec, status } = PodObject::deserialize(object).ok()?;
        let is_ready = |it: &Condition| it.kind == "Ready" && it.status == "True";
        if metadata.deletion_timestamp.is_some() || !status.conditions.iter().any(is_ready) {
            return None;
        }
        let annotation = ACTIVE_PORTS.iter().find_map(|name| metadata.annotations.get(*name));
        let active_ports = annotation
            .map(|ports| ports.split(',').filter_map(|port| port.trim().parse().ok()).collect());
        Some(Self {
            address: status.pod_ip?.parse().ok()?,
            uid: metadata.uid,
            created: metadata.creation_timestamp,
            node: spec.node_name,
            labels: fitting(metadata.labels),
            active_ports,
        })
    }

    /// Returns the target ports that this pod serves: each is an endpoint.
    pub fn ports(&self, target_ports: &[u16]) -> Vec<u16> {
        let active = |port: &&u16| self.active_ports.as_ref().is_none_or(|it| it.contains(port));
        target_ports.iter().filter(active).copied().collect()
    }
}

/// Returns the labels that a snapshot takes: of too many those that are about routing stay. An API
/// server lets no longer ones pass.
fn fitting(labels: BTreeMap<String, String>) -> Vec<(String, String)> {
    let fits = |(key, value): &(String, String)| {
        key.len() <= LABEL_KEY_MAX && value.len() <= LABEL_VALUE_MAX
    };
    let mut labels: Vec<_> = labels.into_iter().filter(fits).collect();
    let routes = |key: &str| ROUTING.iter().any(|prefix| key.starts_with(prefix));
    labels.sort_by_key(|(key, _)| Reverse(routes(key)));
    labels.truncate(LABELS_MAX - 1);
    labels.sort();
    labels
}

#[derive(Deserialize)]
struct PodObject {
    metadata: PodMetadata,
    #[serde(default)]
    spec: PodSpec,
    #[serde(default)]
    status: Status,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PodMetadata {
    #[serde(default)]
    uid: String,
    #[serde(default)]
    creation_timestamp: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    deletion_timestamp: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PodSpec {
    #[serde(default)]
    node_name: String,
}

#[derive(Default, Deserialize)]
struct Status {
    #[serde(rename = "podIP")]
    pod_ip: Option<String>,
    #[serde(default)]
    conditions: Vec<Condition>,
}

#[derive(Deserialize)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object() -> Value {
        json!({
            "metadata": {"name": "a", "labels": {"app": "vllm"}},
            "spec": {"nodeName": "n1"},
            "status": {"podIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": "True"}]}
        })
    }

    #[test]
    fn only_a_pod_that_is_ready_and_stays_counts() {
        let pod = Pod::read(&object()).unwrap();
        assert_eq!((pod.address.to_string(), &*pod.node), ("10.0.0.1".to_owned(), "n1"));
        let without = |change: fn(&mut Value)| {
            let mut object = object();
            change(&mut object);
            Pod::read(&object)
        };
        let gone = [
            without(|it| it["status"]["conditions"][0]["status"] = json!("False")),
            without(|it| it["status"]["podIP"] = json!(null)),
            without(|it| it["status"]["podIP"] = json!("nowhere")),
            without(|it| it["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z")),
            without(|it| it["status"] = json!({})),
            without(|it| *it = json!(7)),
        ];
        assert_eq!(gone, [const { None }; 6]);
    }

    #[test]
    fn labels_are_held_to_what_a_snapshot_takes() {
        let mut object = object();
        let many = (0..100).map(|n| (format!("a{n:02}"), json!("x")));
        let others = [("llm-d.ai/role", "decode"), ("long", &"x".repeat(64))];
        let others = others.map(|(key, value)| (key.to_owned(), json!(value)));
        object["metadata"]["labels"] = many.chain(others).collect();
        let labels = Pod::read(&object).unwrap().labels;
        assert_eq!(labels.len(), LABELS_MAX - 1);
        assert!(labels.contains(&("llm-d.ai/role".to_owned(), "decode".to_owned())));
        assert!(labels.is_sorted() && labels.iter().all(|(key, _)| key != "long"));
    }

    #[test]
    fn an_annotation_restricts_the_ports() {
        let ports = |annotations: Value| {
            let mut object = object();
            object["metadata"]["annotations"] = annotations;
            Pod::read(&object).unwrap().ports(&[8000, 8001, 8002])
        };
        assert_eq!(ports(json!({})), [8000, 8001, 8002]);
        assert_eq!(ports(json!({"llm-d.ai/active-ports": "8002, 8000,9,x"})), [8000, 8002]);
        let old = json!({"inference.networking.k8s.io/active-ports": "8001"});
        assert_eq!(ports(old), [8001]);
        assert!(ports(json!({"llm-d.ai/active-ports": ""})).is_empty());
    }
}
