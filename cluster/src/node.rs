//! The node: scheduler and kubelet in one, with processes in the place of containers.
//!
//! A look at all pods, several times a second, compares them with the processes that run. That takes the place of watches:
//! a cluster of a test has a dozen pods.

mod address;
mod container;
mod environment;
mod files;
mod hosts;
mod pod;
mod probe;
mod volumes;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    path::PathBuf,
    time::Duration,
};

use anyhow::Result;
use serde_json::{Value, json};
use tokio::{sync::watch, time::sleep};

use crate::{api::Api, programs::Programs, say};
use address::Addresses;
use pod::{OnNode, RunningPod};

/// Time between two looks at all pods.
const LOOK: Duration = Duration::from_millis(200);

/// Name of the only node.
pub(crate) const NAME: &str = "node";

/// Name of a node that is none: pods that name it are objects only, and said to be ready at an address that nothing has. So a
/// cluster has thousands.
const PAPER: &str = "paper";

/// Network of such pods.
const PAPER_NETWORK: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 0);

/// The only node of a cluster, with the pods that run on it by their uid.
pub(crate) struct Node {
    api: Api,
    programs: Programs,
    folder: PathBuf,
    addresses: Addresses,
    pods: BTreeMap<String, RunningPod>,
    /// Names of Services, as the pods' hosts files have them.
    hosts: String,
    /// Addresses given to pods that are objects only.
    paper: u32,
}

impl Node {
    /// A node without pods, which writes their files and logs below `folder`.
    pub(crate) fn new(api: Api, programs: Programs, folder: PathBuf) -> Self {
        let (addresses, pods) = (Addresses::default(), BTreeMap::new());
        Self { api, programs, folder, addresses, pods, hosts: String::new(), paper: 0 }
    }

    /// Carries out what the API server says, for ever.
    pub(crate) async fn run(mut self) {
        // By itself: clients from outside follow a gateway's pods by it, while a look may start programs for seconds.
        let (sender, mut hosts) = watch::channel(String::new());
        tokio::spawn(hosts::follow(self.api.clone(), self.folder.join("hosts"), sender));
        loop {
            if hosts.has_changed().unwrap_or(false) {
                self.hosts.clone_from(&hosts.borrow_and_update());
                self.pods.values().for_each(|pod| pod.write_hosts(&self.hosts));
            }
            if let Err(error) = self.look().await {
                say(&format!("the node failed to look at its pods: {error:#}"));
            }
            sleep(LOOK).await;
        }
    }

    async fn look(&mut self) -> Result<()> {
        let nodes = "/api/v1/nodes";
        if self.pods.is_empty() && self.api.get(&format!("{nodes}/{NAME}")).await?.is_none() {
            let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NAME}});
            self.api.create(nodes, &node).await?;
        }
        let listed = self.api.list("/api/v1/pods").await?;
        let mut seen = BTreeSet::new();
        for pod in &listed {
            let uid = text(pod, "/metadata/uid").to_owned();
            if let Err(error) = self.look_at(&uid, pod).await {
                say(&format!("pod {}: {error:#}", text(pod, "/metadata/name")));
            }
            seen.insert(uid);
        }
        let lost: Vec<String> =
            self.pods.keys().filter(|uid| !seen.contains(*uid)).cloned().collect();
        for uid in lost {
            if let Some(mut pod) = self.pods.remove(&uid) {
                pod.kill().await?;
            }
        }
        Ok(())
    }

    async fn look_at(&mut self, uid: &str, pod: &Value) -> Result<()> {
        let is_leaving = pod.pointer("/metadata/deletionTimestamp").is_some();
        let node = OnNode { api: &self.api, programs: &self.programs, hosts: &self.hosts };
        if let Some(running) = self.pods.get_mut(uid) {
            running.look(node, pod).await?;
            if running.is_gone() {
                self.pods.remove(uid);
            }
            return Ok(());
        }
        if is_leaving {
            let options = json!({"gracePeriodSeconds": 0});
            self.api.delete(&pod::path(pod), &options).await?;
            return Ok(());
        }
        if matches!(text(pod, "/status/phase"), "Succeeded" | "Failed") {
            return Ok(());
        }
        if text(pod, "/spec/nodeName") == PAPER {
            return self.say_ready(pod).await;
        }
        if text(pod, "/spec/nodeName").is_empty() {
            return self.bind(pod).await;
        }
        let address = self.addresses.next()?;
        let mut running = RunningPod::create(pod, address, &self.folder).await?;
        running.look(node, pod).await?;
        self.pods.insert(uid.to_owned(), running);
        Ok(())
    }

    /// Says of a pod that is an object only what a node would say.
    async fn say_ready(&mut self, pod: &Value) -> Result<()> {
        if !text(pod, "/status/podIP").is_empty() {
            return Ok(());
        }
        self.paper += 1;
        let address = Ipv4Addr::from(u32::from(PAPER_NETWORK) + self.paper).to_string();
        let status = json!({
            "phase": "Running", "podIP": address, "podIPs": [{"ip": address}],
            "conditions": [{"type": "Ready", "status": "True"}],
        });
        self.api.merge(&format!("{}/status", pod::path(pod)), &json!({"status": status})).await?;
        Ok(())
    }

    async fn bind(&self, pod: &Value) -> Result<()> {
        let name = text(pod, "/metadata/name");
        let binding = json!({
            "apiVersion": "v1", "kind": "Binding", "metadata": {"name": name},
            "target": {"apiVersion": "v1", "kind": "Node", "name": NAME},
        });
        self.api.create(&format!("{}/binding", pod::path(pod)), &binding).await?;
        Ok(())
    }
}

/// Returns the text at a JSON pointer, empty where there is none.
fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Returns the items at a JSON pointer, none where there is no list.
fn items<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}
