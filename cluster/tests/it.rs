//! What the program says where it cannot begin.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::process::Command;

/// `build.sh` builds all that a cluster is made of before: without it the program says what is missing, and how it comes.
#[test]
fn without_its_parts_it_says_which_is_missing() {
    let empty = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_llm-picker-cluster"));
    let folder = empty.path();
    let output = command.arg("--root").arg(folder).arg("--folder").arg(folder).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    assert!(said.contains("envoy is missing: run ./build.sh cluster"), "{said}");
}
