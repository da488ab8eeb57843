//! What a user's program sees: the official `openai` and `anthropic` clients for Python.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{path::Path, time::Duration};

use tokio::process::Command;

use serde_json::json;
use stack::{Stack, Way};

use super::{echo, push, world};

/// Where `./build.sh test` installs the client.
const PYTHON: &str = "target/clients-venv/bin/python";

/// A library takes seconds to load, and a minute on a machine that does much else.
const LONG: Duration = Duration::from_secs(240);

/// Has a client tell its stories; there are `stories` of them.
async fn tell(client: &str, stack: &Stack, stories: usize) {
    tell_with(client, stack, &[], stories).await;
}

async fn tell_with(client: &str, stack: &Stack, more: &[&str], stories: usize) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let python = root.join(PYTHON);
    assert!(python.exists(), "{PYTHON} is missing: ./build.sh test installs it");
    let told = Command::new(&python)
        .arg(root.join("tests/clients").join(client))
        .arg(format!("http://{}", stack.gateway))
        .args(more)
        .output()
        .await
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&told.stdout), String::from_utf8_lossy(&told.stderr));
    assert!(told.status.success(), "{out}{err}");
    assert_eq!(out.matches("ok ").count(), stories, "{out}");
}

#[tokio::test]
async fn the_openai_client_finds_an_openai_server() {
    // Pods that remember what they computed: the client's stories read `cached_tokens`.
    let builder = world::stack().pod_args(&["--profile", "cpu", "--speed", "50"]);
    world::tell(builder, async |stack| tell("openai_client.py", stack, 5).await).await;
}

/// The pod knows the model by another name than the client.
#[tokio::test]
async fn the_anthropic_client_finds_an_anthropic_server() {
    let pod = echo::pod().await;
    let rule = json!({"targets": [{"modelRewrite": "served"}]});
    world::tell_in_every_way(
        |stack| {
            let plugin = json!({"modelRewrites": [{"rules": [rule]}]});
            stack.upstreams(vec![pod]).without_scraper().plugin(plugin)
        },
        async |stack| {
            push::snapshot(stack, 1, &[pod]).await;
            tell("anthropic_client.py", stack, 4).await;
        },
    )
    .await;
}

/// The lines that the README shows, as a newcomer pastes them.
#[tokio::test]
async fn the_lines_of_the_readme_run() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let (_, rest) = readme.split_once("```python\n").unwrap();
    let (lines, _) = rest.split_once("```").unwrap();
    let builder = world::stack().endpoints(3);
    world::tell_within(LONG, builder, async |stack| {
        // The scraper has asked each pod for its models within a second or two.
        world::until(async || {
            let page = stack::get(stack.gateway, "/v1/models").await.unwrap();
            page.body.contains("max_model_len").then_some(())
        })
        .await;
        let lines = lines.replace("127.0.0.1:8080", &stack.gateway.to_string());
        let told = Command::new(root.join(PYTHON)).args(["-c", &lines]).output().await.unwrap();
        let (out, err) =
            (String::from_utf8_lossy(&told.stdout), String::from_utf8_lossy(&told.stderr));
        assert!(told.status.success(), "{out}{err}");
        assert!(out.contains("incomplete") && out.lines().count() >= 4, "{out}");
    })
    .await;
}

/// What a client is told that sends more than is read, whether it reads before it has sent all or not.
#[tokio::test]
async fn clients_that_send_too_much_read_why() {
    let plugin = json!({"envoy": {"maxBodyBytes": 1 << 20}});
    for way in [Way::STOP_ITERATION_HEADER, Way::BUFFER_FILTER_FILTER_STATE] {
        let builder = world::stack().way(way).plugin(plugin.clone());
        world::tell_within(LONG, builder, async |stack| {
            tell_with("large_uploads.py", stack, &["12000000"], 6).await;
        })
        .await;
    }
}

/// The table of docs/clients.md is made by this program; what is installed for the tests is served.
#[tokio::test]
async fn every_installed_client_is_served() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    world::tell_within(LONG, world::stack().endpoints(2), async |stack| {
        let told = Command::new(root.join(PYTHON))
            .arg(root.join("tests/clients/matrix.py"))
            .arg(format!("http://{}", stack.gateway))
            .output()
            .await
            .unwrap();
        let (out, err) =
            (String::from_utf8_lossy(&told.stdout), String::from_utf8_lossy(&told.stderr));
        assert!(told.status.success(), "{out}{err}");
        assert!(out.matches("as from the engine").count() >= 10, "{out}");
    })
    .await;
}
