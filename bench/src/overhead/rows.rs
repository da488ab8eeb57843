//! The rows that are compared, each a server.

use std::{net::SocketAddr, path::Path};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use stack::{Balancing, Builder, Programs, Stack, Way};

use super::peer::{self, Peer};
use crate::Setting;

/// A server that is pressed, for as long as the bench lasts.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: String,
    server: Server,
}

#[derive(Debug)]
enum Server {
    Envoy(Box<Stack>),
    Peer(Peer),
    /// A pod itself.
    Pod(SocketAddr),
}

impl Row {
    /// Starts the picker as it is mostly run, after the plain Envoy. The last row shows what any
    /// picker of its design costs.
    pub(crate) async fn usual(setting: &Setting, pods: &[SocketAddr]) -> Result<Vec<Self>> {
        let Setting { programs, crossings, .. } = setting;
        let alone = programs.clone().with_wasm(crossings.clone());
        let picker = || picker(programs, pods);
        Ok(vec![
            Self::envoy(PLAIN, plain(programs, pods, Balancing::RoundRobin)).await?,
            Self::envoy("picker", picker()).await?,
            Self::envoy("picker, flow control on, gate open", picker().plugin(plugin(true)))
                .await?,
            Self::envoy(
                "picker, buffer filter, filter state",
                picker().way(Way::BUFFER_FILTER_FILTER_STATE),
            )
            .await?,
            Self::envoy(
                "the picker's host calls, no picker",
                self::picker(&alone, pods).without_scraper(),
            )
            .await?,
        ])
    }

    /// Starts the plain Envoy, a pod without any proxy, the picker as it comes, and the routers
    /// installed in `folder`.
    pub(crate) async fn peers(
        programs: &Programs,
        pods: &[SocketAddr],
        folder: &Path,
    ) -> Result<Vec<Self>> {
        let plugin = json!({"failureMode": "FailClose"});
        let mut rows = vec![
            Self::envoy(PLAIN, plain(programs, pods, Balancing::RoundRobin)).await?,
            Self::envoy("llm-picker in Envoy", envoy(programs, pods).plugin(plugin)).await?,
        ];
        let pod = pods.first().context("no pods")?;
        rows.push(Self { name: "no proxy: one pod".to_owned(), server: Server::Pod(*pod) });
        for launch in &peer::ALL {
            let peer = Peer::start(launch, folder, pods, MODEL).await.context(launch.name)?;
            rows.push(Self { name: launch.name.to_owned(), server: Server::Peer(peer) });
        }
        Ok(rows)
    }

    /// Starts Envoy by itself, the picker as it comes, and the routers that are installed, over
    /// servers of this model.
    pub(crate) async fn over_engines(setting: &Setting, model: &str) -> Result<Vec<Self>> {
        let Setting { programs, servers, peers, .. } = setting;
        let envoy = || envoy(programs, servers);
        let alone = |balancing| envoy().without_filter(balancing);
        let picker = envoy().plugin(json!({"failureMode": "FailClose", "decisionHeader": true}));
        let mut rows = vec![
            Self::envoy("Envoy, round robin", alone(Balancing::RoundRobin)).await?,
            Self::envoy("Envoy, least request", alone(Balancing::LeastRequest)).await?,
            Self::envoy("llm-picker in Envoy", picker).await?,
        ];
        for launch in peer::CACHE_AWARE.iter().filter(|launch| launch.is_installed(peers)) {
            let peer = Peer::start(launch, peers, servers, model).await.context(launch.name)?;
            rows.push(Self { name: launch.name.to_owned(), server: Server::Peer(peer) });
        }
        Ok(rows)
    }

    /// Starts an Envoy.
    pub(super) async fn envoy(name: &str, builder: Builder) -> Result<Self> {
        let stack = builder.start().await.with_context(|| name.to_owned())?;
        Ok(Self { name: name.to_owned(), server: Server::Envoy(Box::new(stack)) })
    }

    /// Returns the address for requests.
    pub(crate) fn address(&self) -> SocketAddr {
        match &self.server {
            Server::Envoy(stack) => stack.gateway,
            Server::Peer(peer) => peer.address,
            Server::Pod(address) => *address,
        }
    }

    /// Returns the proxy's process, where there is one.
    pub(crate) fn pid(&self) -> Option<u32> {
        match &self.server {
            Server::Envoy(stack) => Some(stack.pids().0),
            Server::Peer(peer) => Some(peer.pid),
            Server::Pod(_) => None,
        }
    }
}

pub(super) const PLAIN: &str = "plain Envoy";

/// Name of the model that the benches' own upstream serves.
const MODEL: &str = "tiny";

fn envoy(programs: &Programs, pods: &[SocketAddr]) -> Builder {
    Stack::builder(programs.clone()).upstreams(pods.to_vec()).workers(2)
}

/// Describes the Envoy without our filters.
pub(super) fn plain(programs: &Programs, pods: &[SocketAddr], balancing: Balancing) -> Builder {
    envoy(programs, pods).without_filter(balancing)
}

/// Describes the Envoy with a filter that looks at headers and decides nothing.
pub(super) fn headers(setting: &Setting, pods: &[SocketAddr]) -> Builder {
    let programs = setting.programs.clone().with_wasm(setting.headers.clone());
    picker(&programs, pods).without_scraper()
}

/// Describes the picker by the EPP's default, in the way that costs least.
pub(super) fn picker(programs: &Programs, pods: &[SocketAddr]) -> Builder {
    envoy(programs, pods).way(Way::STOP_ITERATION_HEADER).plugin(plugin(false))
}

/// Returns the scorers of the EPP's default, with or without flow control and its default
/// saturation detector, which idle pods never close. A request that cannot be placed fails, so that
/// passing it through is not taken for placing it.
fn plugin(flow_control: bool) -> Value {
    json!({
        "featureGates": if flow_control { vec!["flowControl"] } else { vec![] },
        "plugins": [
            {"type": "queue-scorer"}, {"type": "kv-cache-utilization-scorer"}, {"type": "prefix-cache-scorer"},
            {"type": "max-score-picker"}, {"type": "single-profile-handler"}
        ],
        "schedulingProfiles": [{"name": "default", "plugins": [
            {"pluginRef": "queue-scorer", "weight": 2},
            {"pluginRef": "kv-cache-utilization-scorer", "weight": 2},
            {"pluginRef": "prefix-cache-scorer", "weight": 3}
        ]}],
        "failureMode": "FailClose",
        "decisionHeader": true
    })
}
