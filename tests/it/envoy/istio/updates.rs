//! A new configuration and a new module, discovered while requests come.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use serde_json::{Value, json};
use stack::Stack;
use tokio::task::JoinHandle;

use super::{fixture::Kustomization, manifests, versions};
use crate::envoy::{client::chat, push, upstream, world};

/// Clients that ask one request behind the other.
const CLIENTS: usize = 4;

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

#[tokio::test]
async fn no_request_fails_while_configuration_and_module_change() {
    let pods = [upstream::answers().await, upstream::answers().await];
    for kustomization in [Kustomization::KUADRANT_1_4, Kustomization::KUADRANT_1_5] {
        // Without a snapshot requests would be refused: whether it is kept shows.
        let template = kustomization.template(&json!({"failureMode": "FailClose"}));
        let names = template.files.iter().map(|(name, _)| name);
        let picker = names.into_iter().find(|name| !name.contains("ingest")).unwrap().clone();
        let builder = versions::stack(None)
            .way(kustomization.way)
            .template(template)
            .upstreams(pods.to_vec())
            .without_scraper();
        world::tell(builder, async |stack| {
            let first = push::Push::of(stack, 1, &pods);
            assert_eq!(first.send(stack).await.status, 204);
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
            let replayed = first.send(stack).await;
            assert_eq!(replayed.status, 409, "{replayed:?}");
            push::snapshot(stack, 2, &pods).await;
        })
        .await;
    }
}
