//! Processes that the cluster starts, each with a log of its own.

use std::{collections::BTreeMap, ffi::OsStr, fs::File, path::Path, process::Stdio};

use anyhow::{Context, Result};
use tokio::process::{Child, Command};

/// Starts a program with its output in a file. Whatever the program starts ends with the namespace that it is in.
pub(crate) fn start<S: AsRef<OsStr>>(log: &Path, program: &Path, args: &[S]) -> Result<Child> {
    let mut command = Command::new(program);
    command.args(args);
    spawn(log, command)
}

/// Starts a program as [`start`] does, with this environment and nothing of our own.
pub(crate) fn start_clean<S: AsRef<OsStr>>(
    log: &Path,
    program: &str,
    args: &[S],
    environment: BTreeMap<String, String>,
) -> Result<Child> {
    let mut command = Command::new(program);
    command.args(args).env_clear().envs(environment);
    spawn(log, command)
}

fn spawn(log: &Path, mut command: Command) -> Result<Child> {
    let output = File::options().create(true).append(true).open(log);
    let output = output.with_context(|| log.display().to_string())?;
    let errors = output.try_clone()?;
    command.stdin(Stdio::null()).stdout(output).stderr(errors).kill_on_drop(true);
    command.spawn().with_context(|| format!("failed to start {command:?}"))
}

/// Runs a program to its end and returns what it printed.
///
/// # Errors
/// If it fails, with what it said.
pub(crate) async fn run(command: &mut Command) -> Result<String> {
    let output =
        command.stdin(Stdio::null()).output().await.with_context(|| format!("{command:?}"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{command:?}: {}: {errors}", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
