//! The release's NetworkPolicies against the connections that there are: no network plugin carries them out here, so each is held to
//! what it says.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may panic")]

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use serde_json::Value;

use super::world::Cluster;

/// States of a socket in /proc/net/tcp.
const ESTABLISHED: &str = "01";
const LISTENING: &str = "0A";

/// Address of the node.
const NODE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

/// A pod as a policy sees it.
#[derive(Debug)]
struct Pod {
    namespace: String,
    labels: Value,
    address: Ipv4Addr,
}

/// A cluster's pods, namespaces and policies.
pub(super) struct Policies {
    pods: Vec<Pod>,
    /// Labels of each namespace.
    namespaces: BTreeMap<String, Value>,
    policies: Vec<Value>,
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn items(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

/// Returns whether a selector selects these labels; an empty one selects all.
fn selects(selector: &Value, labels: &Value) -> bool {
    assert!(selector.get("matchExpressions").is_none(), "not played: {selector}");
    let wanted = selector["matchLabels"].as_object().cloned().unwrap_or_default();
    wanted.iter().all(|(key, value)| labels[key] == *value)
}

impl Policies {
    /// Reads what there is.
    pub(super) fn of(cluster: &Cluster) -> Self {
        let listed = |what: &str| items(&cluster.get(&format!("{what} -A"))["items"]);
        let pod = |pod: Value| {
            let address = pod["status"]["podIP"].as_str()?.parse().ok()?;
            let meta = &pod["metadata"];
            Some(Pod {
                namespace: text(&meta["namespace"]),
                labels: meta["labels"].clone(),
                address,
            })
        };
        let namespaces = items(&cluster.get("namespaces")["items"]);
        let namespaces = namespaces.iter().map(|it| &it["metadata"]);
        let namespaces = namespaces.map(|it| (text(&it["name"]), it["labels"].clone()));
        Self {
            pods: listed("pods").into_iter().filter_map(pod).collect(),
            namespaces: namespaces.collect(),
            policies: listed("networkpolicies"),
        }
    }

    /// Returns whether a pod of this namespace with this label may connect to a port of another, by all policies.
    pub(super) fn allow(&self, from: [&str; 2], to: [&str; 2], port: u16) -> bool {
        let pod = |[namespace, label]: [&str; 2]| {
            let (key, value) = label.split_once('=').unwrap();
            let found =
                self.pods.iter().find(|it| it.namespace == namespace && it.labels[key] == value);
            found.unwrap_or_else(|| panic!("no pod of {namespace} has {label}"))
        };
        self.takes(pod(to), port, Some(pod(from)))
    }

    /// Asserts that each connection to a pod which there is now is allowed, and returns their number.
    pub(super) fn check_connections(&self, cluster: &Cluster) -> usize {
        let mut count = 0;
        for pod in &self.pods {
            for (from, port) in connections(cluster, pod.address) {
                let source = self.pods.iter().find(|it| it.address == from);
                let known = source.map_or_else(|| from.to_string(), |it| format!("{it:?}"));
                assert!(self.takes(pod, port, source), "{known} to port {port} of {pod:?}");
                count += 1;
            }
        }
        count
    }

    fn takes(&self, pod: &Pod, port: u16, from: Option<&Pod>) -> bool {
        let mut of_pod = self.policies.iter().filter(|policy| {
            policy["metadata"]["namespace"] == pod.namespace.as_str()
                && selects(&policy["spec"]["podSelector"], &pod.labels)
        });
        let Some(first) = of_pod.next() else { return true };
        std::iter::once(first).chain(of_pod).any(|policy| {
            items(&policy["spec"]["ingress"]).iter().any(|rule| {
                self.is_from(&policy["metadata"]["namespace"], &items(&rule["from"]), from)
                    && is_port(&items(&rule["ports"]), port)
            })
        })
    }

    fn is_from(&self, namespace: &Value, peers: &[Value], from: Option<&Pod>) -> bool {
        // A rule that names nobody means all, also what is outside of the cluster.
        peers.is_empty()
            || from.is_some_and(|from| {
                peers.iter().any(|peer| {
                    let of_namespace = match peer.get("namespaceSelector") {
                        Some(selector) => selects(selector, &self.namespaces[&from.namespace]),
                        None => *namespace == from.namespace.as_str(),
                    };
                    of_namespace && selects(&peer["podSelector"], &from.labels)
                })
            })
    }
}

/// Returns whether the ports, of which none means all, have this one of TCP.
fn is_port(ports: &[Value], port: u16) -> bool {
    let port = u64::from(port);
    let of_tcp = |it: &&Value| it.get("protocol").is_none_or(|protocol| protocol == "TCP");
    ports.is_empty()
        || ports.iter().filter(of_tcp).any(|it| {
            let first = it["port"].as_u64().unwrap_or_else(|| panic!("a port by name: {it}"));
            (first..=it["endPort"].as_u64().unwrap_or(first)).contains(&port)
        })
}

/// Returns who is connected to which port that the pod listens at, but for the node, which no policy keeps from its own pods.
fn connections(cluster: &Cluster, pod: Ipv4Addr) -> BTreeSet<(Ipv4Addr, u16)> {
    let [_, _, high, low] = pod.octets();
    let line = format!("ip netns exec pod-{high}-{low} cat /proc/net/tcp /proc/net/tcp6");
    // A pod that goes has none.
    let table = cluster.shell(&line).unwrap_or_default();
    let rows: Vec<Vec<&str>> =
        table.lines().map(|line| line.split_whitespace().take(4).collect()).collect();
    let in_state = |state: &'static str| rows.iter().filter(move |row| row.get(3) == Some(&state));
    let ports: BTreeSet<u16> = in_state(LISTENING).map(|row| address(row[1]).1).collect();
    let rows = in_state(ESTABLISHED).map(|row| (address(row[2]).0, address(row[1]).1));
    rows.filter(|(from, port)| {
        ports.contains(port) && !from.is_loopback() && ![pod, NODE].contains(from)
    })
    .collect()
}

/// Reads an address of /proc/net/tcp: bytes of IPv4, at the end of IPv6's where both are listened at, from the last to the first.
fn address(text: &str) -> (Ipv4Addr, u16) {
    let (address, port) = text.split_once(':').unwrap();
    let last = &address[address.len() - 8..];
    let address = u32::from_str_radix(last, 16).unwrap().swap_bytes();
    (Ipv4Addr::from(address), u16::from_str_radix(port, 16).unwrap())
}
