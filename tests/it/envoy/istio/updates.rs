//! A new configuration and a new module, discovered while requests come.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::{
    cell::RefCell,
    fs,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use serde_json::{Value, json};
use stack::Stack;
use tokio::{sync::mpsc::Sender, task::JoinHandle};

use super::{fixture::Kustomization, manifests, versions};
use crate::envoy::{
    client::{Reply, chat},
    push, upstream, world,
};

/// Clients that ask one request behind the other.
const CLIENTS: usize = 4;

/// Requests whose answers last over all updates.
const LASTING: u32 = 3;

/// Requests that must have been served before and after an update.
const ENOUGH: u64 = 50;

/// Clients that ask until they are told to stop.
struct Load {
    served: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    /// Starts it. Every answer must be one of a pod, chosen by the picker.
    fn start(stack: &Stack) -> Self {
        let (served, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let client = |number: usize| {
            let (served, stop, gateway) = (served.clone(), stop.clone(), stack.gateway);
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let reply = chat(gateway, &format!("client {number}")).await;
                    assert_eq!(reply.status, 200, "{reply:?}");
                    assert!(reply.decision("endpoint").is_some(), "{reply:?}");
                    served.fetch_add(1, Ordering::Relaxed);
                }
            })
        };
        Self { clients: (0..CLIENTS).map(client).collect(), served, stop }
    }

    /// Waits for some more, or for the first failure.
    async fn go_on(&self) {
        let goal = self.served.load(Ordering::Relaxed) + ENOUGH;
        world::until(async || {
            let failed = self.clients.iter().any(JoinHandle::is_finished);
            (failed || self.served.load(Ordering::Relaxed) >= goal).then_some(())
        })
        .await;
    }

    async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.await.unwrap();
        }
    }
}

/// Changes a discovered extension as an agent does: the new file takes the old one's name in one step.
fn change(stack: &Stack, extension: &str, edit: impl Fn(&mut Value)) {
    let file = stack.dir().join(extension);
    let mut response = manifests::objects(&fs::read_to_string(&file).unwrap()).remove(0);
    edit(&mut response["resources"][0]["typed_config"]["config"]);
    let new = file.with_extension("new");
    fs::write(&new, response.to_string()).unwrap();
    fs::rename(new, file).unwrap();
}

/// How many configurations Envoy has taken of the extensions that it discovers.
async fn reloads(stack: &Stack) -> u64 {
    let stats = stack.stats("extension_config_discovery.*config_reload$").await.unwrap();
    stats.lines().map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

async fn until_reloaded(stack: &Stack, count: u64) {
    world::until(async || (reloads(stack).await >= count).then_some(())).await;
}

/// The same module in other bytes: to Envoy it is another one.
fn another_module(folder: &Path) -> String {
    let mut module = fs::read(manifests::installed("dist/llm-picker.wasm")).unwrap();
    // A custom section of the name "x" that says nothing.
    module.extend([0, 2, 1, b'x']);
    let file = folder.join("another.wasm");
    fs::write(&file, module).unwrap();
    file.display().to_string()
}

/// Requests whose answers have begun before everything changes, and end after it.
struct Lasting {
    tokens: Sender<&'static str>,
    requests: Vec<JoinHandle<Reply>>,
}

impl Lasting {
    /// Sends them while their pod is the only one, and leaves it out of the choice from then on.
    async fn start(stack: &Stack, pod: SocketAddr, tokens: Sender<&'static str>) -> Self {
        push::snapshot(stack, 1, &[pod]).await;
        let gateway = stack.gateway;
        let ask = |_| tokio::spawn(async move { chat(gateway, "a long story").await });
        let requests = (0..LASTING).map(ask).collect();
        until_in_flight(stack, 2, (&[], pod), LASTING).await;
        Self { tokens, requests }
    }

    /// All are answered to their end.
    async fn end(self) {
        drop(self.tokens);
        for request in self.requests {
            let reply = request.await.unwrap();
            assert!(reply.status == 200 && reply.body.contains("begin"), "{reply:?}");
        }
    }
}

/// What the ledger says that a pod has, by the answer to a push of `up` and, as down, that pod.
async fn in_flight(stack: &Stack, sequence: u64, (up, pod): (&[SocketAddr], SocketAddr)) -> u32 {
    let report = push::Push::beside(stack, sequence, up, &[pod]).send_for_report(stack).await;
    report.in_flight.iter().find(|it| it.endpoint == pod).map_or(0, |it| it.requests)
}

async fn until_in_flight(
    stack: &Stack,
    sequence: u64,
    pods: (&[SocketAddr], SocketAddr),
    count: u32,
) {
    world::until(async || (in_flight(stack, sequence, pods).await == count).then_some(())).await;
}

#[tokio::test]
async fn no_request_fails_while_configuration_and_module_change() {
    let pods = [upstream::answers().await, upstream::answers().await];
    for kustomization in [Kustomization::KUADRANT_1_4, Kustomization::KUADRANT_1_5] {
        // Without a snapshot requests would be refused: whether it is kept shows.
        let template = kustomization.template(&json!({"failureMode": "FailClose"}));
        let names = template.files.iter().map(|(name, _)| name);
        let picker = names.into_iter().find(|name| !name.contains("ingest")).unwrap().clone();
        let (slow, tokens) = upstream::streams_on_command().await;
        let tokens = RefCell::new(Some(tokens));
        let builder = versions::stack(None)
            .way(kustomization.way)
            .template(template)
            .upstreams([&pods[..], &[slow]].concat())
            .without_scraper();
        world::tell(builder, async |stack| {
            let lasting = Lasting::start(stack, slow, tokens.take().unwrap()).await;
            let last = push::Push::beside(stack, 3, &pods, &[slow]);
            assert_eq!(last.send(stack).await.status, 204);
            let load = Load::start(stack);
            load.go_on().await;
            let before = reloads(stack).await;
            change(stack, &picker, |config| {
                let text = config["configuration"]["value"].as_str().unwrap();
                let mut plugin: Value = serde_json::from_str(text).unwrap();
                plugin["objectives"] = json!([{"name": "new", "priority": 1}]);
                config["configuration"]["value"] = json!(plugin.to_string());
            });
            until_reloaded(stack, before + 1).await;
            load.go_on().await;
            let module = another_module(&stack.dir());
            for extension in [&*picker, "llm-picker-ingest.yaml"] {
                change(stack, extension, |config| {
                    config["vm_config"]["code"]["local"]["filename"] = json!(module);
                });
            }
            until_reloaded(stack, before + 3).await;
            load.go_on().await;
            load.end().await;
            // The new ingest knows what was pushed before: the same again is refused as that.
            let replayed = last.send(stack).await;
            assert_eq!(replayed.status, 409, "{replayed:?}");
            // And what was in flight before is still counted, until its end.
            assert_eq!(in_flight(stack, 4, (&pods, slow)).await, LASTING);
            lasting.end().await;
            until_in_flight(stack, 5, (&pods, slow), 0).await;
        })
        .await;
    }
}
