//! What a user's program sees: the official `openai` client for Python.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;

use tokio::process::Command;

use super::world;

/// Where `./build.sh test` installs the client.
const PYTHON: &str = "target/clients-venv/bin/python";

#[tokio::test]
async fn the_openai_client_finds_an_openai_server() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let python = root.join(PYTHON);
    assert!(python.exists(), "{PYTHON} is missing: ./build.sh test installs it");
    // Pods that remember what they computed: the client's stories read `cached_tokens`.
    let builder = world::stack().pod_args(&["--profile", "cpu", "--speed", "50"]);
    world::tell(builder, async |stack| {
        let told = Command::new(&python)
            .arg(root.join("tests/clients/openai_client.py"))
            .arg(format!("http://{}", stack.gateway))
            .output()
            .await
            .unwrap();
        let (out, err) =
            (String::from_utf8_lossy(&told.stdout), String::from_utf8_lossy(&told.stderr));
        assert!(told.status.success(), "{out}{err}");
        assert_eq!(out.matches("ok ").count(), 5, "{out}");
    })
    .await;
}
