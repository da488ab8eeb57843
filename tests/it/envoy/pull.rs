//! Snapshots that the gateway fetches, where nothing may connect to it.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    net::{Ipv4Addr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::json;
use stack::{Stack, Template};

use super::{client::chat, world};

/// The bootstrap for plain Envoy, with a cluster for the scraper, and the secret for the picker's VM.
pub(super) fn template(scraper: u16) -> Template {
    let (vm_id, clusters) = ("                  vm_id: llm-picker\n", "  clusters:\n");
    let secret = "                  environment_variables: {host_env_keys: [LLM_PICKER_SECRET]}\n";
    let address = json!({"socket_address": {"address": "127.0.0.1", "port_value": scraper}});
    let endpoints = json!([{"lb_endpoints": [{"endpoint": {"address": address}}]}]);
    let cluster = json!({
        "name": "scraper",
        "type": "STATIC",
        "connect_timeout": "0.5s",
        "load_assignment": {"cluster_name": "scraper", "endpoints": endpoints},
    });
    // The picker's VM comes before the ingest's.
    let bootstrap = include_str!("../../../envoy/local/stop-iteration-header.yaml")
        .replacen(vm_id, &format!("{vm_id}{secret}"), 1)
        .replacen(clusters, &format!("{clusters}  - {cluster}\n"), 1);
    Template { bootstrap, files: Vec::new() }
}

/// A scraper that pushes to nobody; killed when dropped.
pub(super) struct Scraper(Child);

impl Scraper {
    fn start(stack: &Stack, port: u16) -> Self {
        Self::of_pool("default", stack, port)
    }

    /// All of the stack's pods as a pool of this name.
    pub(super) fn of_pool(pool: &str, stack: &Stack, port: u16) -> Self {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dist/llm-scraper");
        let mut command = Command::new(program);
        command.args(["--pool", pool, "--pull", "--listen", &format!("127.0.0.1:{port}")]);
        for pod in &stack.pods {
            command.args(["--endpoint", &pod.addr.to_string()]);
        }
        command.env("LLM_PICKER_SECRET", &stack.secret).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }
}

impl Drop for Scraper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A port that nobody has just now.
pub(super) fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

async fn stored(stack: &Stack) -> u64 {
    let stats = stack.stats("llm_picker_envoy_snapshots_stored_total").await.unwrap();
    stats.trim().rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_gateway_fetches_what_nobody_may_push() {
    let port = free_port();
    let plugin = json!({"failureMode": "FailClose", "pull": {"cluster": "scraper"}});
    let builder =
        world::stack().endpoints(2).plugin(plugin).without_scraper().template(template(port));
    world::tell(builder, async |stack| {
        let before = chat(stack.gateway, "is anybody there?").await;
        assert_eq!(before.status, 503, "nothing is known yet: {before:?}");
        let scraper = Scraper::start(stack, port);
        world::until(async || (chat(stack.gateway, "now?").await.status == 200).then_some(()))
            .await;
        let some = stored(stack).await;
        world::until(async || (stored(stack).await >= some + 3).then_some(())).await;

        drop(scraper);
        assert_eq!(chat(stack.gateway, "still?").await.status, 200, "it goes on with what it has");
        let _another = Scraper::start(stack, port);
        let some = stored(stack).await;
        world::until(async || (stored(stack).await > some).then_some(())).await;
    })
    .await;
}
