//! docs/envoy.md, followed to the letter.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use super::upstream;

/// The commands of the document's `steps`, as they would be pasted.
fn pasted(text: &str, steps: std::ops::RangeInclusive<usize>) -> String {
    let (_, own) = text.split_once("## Your own Envoy").unwrap();
    let step = |number: usize| {
        let (_, rest) = own.split_once(&format!("\n{number}. ")).unwrap();
        rest.split(&format!("\n{}. ", number + 1)).next().unwrap().to_owned()
    };
    let lines: Vec<String> = steps
        .map(step)
        .flat_map(|step| {
            step.lines()
                .filter_map(|line| line.strip_prefix("       "))
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .collect();
    lines.join("\n")
}

/// Envoy takes the bootstrap that the commands make.
#[tokio::test]
async fn the_commands_make_a_bootstrap_that_envoy_takes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let text = fs::read_to_string(root.join("docs/envoy.md")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let bootstrap = folder.path().join("envoy.yaml");
    let pods = format!("{} {}", upstream::answers().await, upstream::answers().await);
    let commands = pasted(&text, 1..=2)
        .replace("10.0.0.5:8000 10.0.0.6:8000", &pods)
        .replace("> envoy.yaml", &format!("> {}", bootstrap.display()));
    assert!(commands.contains(&pods) && commands.contains("sed "), "{commands}");
    let mut bash = Command::new("bash");
    let made = bash.args(["-euc", &commands]).current_dir(root).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let envoy = stack::Programs::built_in(root).unwrap();
    let checked = Command::new(envoy.envoy())
        .args(["--mode", "validate", "--config-path"])
        .arg(&bootstrap)
        .env("LLM_PICKER_SECRET", "0123456789abcdef")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success(), "{said}");
    assert!(!said.contains("failed to configure plugin"), "{said}");
}
