//! A pod that runs on the node.

use std::{
    net::Ipv4Addr,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::{
    address::PodNetwork,
    container::{Container, Launch},
    items, text,
    volumes::Source,
};
use crate::{api::Api, control_plane::HOST, programs::Programs};

/// Time that a pod without a word about it has to end, as is Kubernetes' default.
const GRACE: u64 = 30;

/// A pod's containers in its network.
#[derive(Debug)]
pub(super) struct RunningPod {
    path: String,
    network: PodNetwork,
    containers: Vec<Container>,
    /// The status that the API server was told last.
    told: Value,
    leaving: Option<Leaving>,
}

/// Progress of a pod's end.
#[derive(Debug)]
enum Leaving {
    /// Told to end; killed at that time.
    Until(Instant),
    Gone,
}

/// Parts of the node that a look at a pod needs.
#[derive(Clone, Copy)]
pub(super) struct OnNode<'a> {
    pub(super) api: &'a Api,
    pub(super) programs: &'a Programs,
    pub(super) hosts: &'a str,
}

impl RunningPod {
    /// Makes the pod's network; its containers are started at the first look. Files and logs are below `folder`.
    pub(super) async fn create(pod: &Value, address: Ipv4Addr, folder: &Path) -> Result<Self> {
        ensure!(items(pod, "/spec/initContainers").is_empty(), "init containers are not played");
        // Two namespaces may have pods of one name.
        let (namespace, name) = (text(pod, "/metadata/namespace"), text(pod, "/metadata/name"));
        let containers = items(pod, "/spec/containers").iter().map(|container| {
            let container = text(container, "/name");
            let log = folder.join("logs").join(format!("{name}-{container}.{namespace}.log"));
            let files = folder.join("pods").join(namespace).join(name).join(container);
            Container::new(container, files, log)
        });
        Ok(Self {
            path: path(pod),
            containers: containers.collect(),
            network: PodNetwork::create(address).await?,
            told: Value::Null,
            leaving: None,
        })
    }

    /// Returns whether nothing of the pod is left.
    pub(super) const fn is_gone(&self) -> bool {
        matches!(self.leaving, Some(Leaving::Gone))
    }

    /// Writes the names of Services to where the containers read them.
    pub(super) fn write_hosts(&self, hosts: &str) {
        self.containers.iter().for_each(|container| container.write_hosts(hosts));
    }

    /// Does what the pod's object says now, and tells the API server what came of it.
    pub(super) async fn look(&mut self, node: OnNode<'_>, pod: &Value) -> Result<()> {
        if pod.pointer("/metadata/deletionTimestamp").is_some() {
            return self.leave(node.api, pod).await;
        }
        let launch = Launch {
            programs: node.programs,
            source: Source {
                api: node.api,
                namespace: text(pod, "/metadata/namespace"),
                address: self.network.address.to_string(),
            },
            network: &self.network,
            pod,
            hosts: node.hosts,
        };
        for container in &mut self.containers {
            container.look(&launch).await;
        }
        let status = self.status(pod);
        if status != self.told {
            let body = json!({"status": status});
            node.api.merge(&format!("{}/status", self.path), &body).await?;
            self.told = status;
        }
        Ok(())
    }

    /// Kills what runs, at once: for a pod without an object.
    pub(super) async fn kill(&mut self) -> Result<()> {
        for container in &mut self.containers {
            container.signal("KILL").await;
        }
        self.network.remove().await
    }

    async fn leave(&mut self, api: &Api, pod: &Value) -> Result<()> {
        let Some(Leaving::Until(killed_at)) = self.leaving else {
            let grace = pod.pointer("/metadata/deletionGracePeriodSeconds").and_then(Value::as_u64);
            let grace = Duration::from_secs(grace.unwrap_or(GRACE));
            for container in &mut self.containers {
                container.signal("TERM").await;
            }
            self.leaving = Some(Leaving::Until(Instant::now() + grace));
            return Ok(());
        };
        let mut runs = false;
        for container in &mut self.containers {
            runs |= container.runs();
            if killed_at <= Instant::now() {
                container.signal("KILL").await;
            }
        }
        if !runs {
            self.network.remove().await?;
            let options = json!({
                "gracePeriodSeconds": 0, "preconditions": {"uid": text(pod, "/metadata/uid")},
            });
            api.delete(&self.path, &options).await?;
            self.leaving = Some(Leaving::Gone);
        }
        Ok(())
    }

    fn status(&self, pod: &Value) -> Value {
        let images = items(pod, "/spec/containers").iter().map(|it| text(it, "/image"));
        let all = self.containers.iter().zip(images);
        let containers: Vec<Value> =
            all.map(|(container, image)| container.status(image)).collect();
        let ends: Option<Vec<i32>> = self.containers.iter().map(Container::ended).collect();
        let has_begun = text(&self.told, "/phase") == "Running";
        let phase = match ends {
            Some(codes) if codes.iter().all(|code| *code == 0) => "Succeeded",
            Some(_) => "Failed",
            None if has_begun || containers.iter().all(|it| it["started"] == true) => "Running",
            None => "Pending",
        };
        let is_ready = phase == "Running" && self.containers.iter().all(Container::is_ready);
        let condition = |kind: &str, holds: bool| json!({"type": kind, "status": if holds { "True" } else { "False" }});
        let address = self.network.address.to_string();
        json!({
            "phase": phase, "hostIP": HOST, "podIP": address, "podIPs": [{"ip": address}],
            "containerStatuses": containers,
            "conditions": [
                condition("PodScheduled", true),
                condition("Initialized", true),
                condition("ContainersReady", is_ready),
                condition("Ready", is_ready),
            ],
        })
    }
}

/// Returns the pod's path at the API server.
pub(super) fn path(pod: &Value) -> String {
    let namespace = text(pod, "/metadata/namespace");
    format!("/api/v1/namespaces/{namespace}/pods/{}", text(pod, "/metadata/name"))
}
