//! The README's ten things to try, done as they stand there.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{path::Path, time::Duration};

use tokio::{process::Command, time::timeout};

/// Five stacks start one after the other, and some blocks wait for counts. A busy machine takes minutes.
const LONG: Duration = Duration::from_secs(300);

#[tokio::test]
async fn a_stranger_does_all_that_the_readme_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut python = Command::new("python3");
    python.arg(root.join("tools/stranger.py")).kill_on_drop(true);
    let done = timeout(LONG, python.output()).await.unwrap().unwrap();
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{out}{err}");
    assert_eq!(out.lines().count(), 10, "{out}");
}
