//! What a user's program sees: the official `openai` and `anthropic` clients for Python.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;

use tokio::process::Command;

use serde_json::json;
use stack::Stack;

use super::{echo, push, world};

/// Where `./build.sh test` installs the client.
const PYTHON: &str = "target/clients-venv/bin/python";

/// Has a client tell its stories; there are `stories` of them.
async fn tell(client: &str, stack: &Stack, stories: usize) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let python = root.join(PYTHON);
    assert!(python.exists(), "{PYTHON} is missing: ./build.sh test installs it");
    let told = Command::new(&python)
        .arg(root.join("tests/clients").join(client))
        .arg(format!("http://{}", stack.gateway))
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
