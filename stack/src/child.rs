//! A program that the stack started, and that ends with it.

use std::{
    ffi::OsString,
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail, ensure};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child as Process, ChildStdout, Command},
    time::timeout,
};

/// Time that a program may take until it serves. Envoy compiles the filter first, on a busy machine
/// for seconds.
pub(crate) const STARTUP: Duration = Duration::from_secs(30);

/// Time between two questions to a program that cannot tell us when it is ready.
pub(crate) const POLL: Duration = Duration::from_millis(20);

/// Number of a log's lines that an error quotes.
const TAIL: usize = 15;

/// A program that ended.
#[derive(Debug)]
pub struct Exit {
    /// Name of the program, as the table of the stack has it.
    pub name: String,
    /// Exit status of the program.
    pub status: ExitStatus,
}

/// A program to start.
#[derive(Debug)]
pub(crate) struct Program<'a> {
    /// Name for the table and the log.
    pub(crate) name: String,
    pub(crate) file: &'a Path,
    pub(crate) args: Vec<OsString>,
    pub(crate) env: Vec<(&'static str, String)>,
}

/// A running program. Dropping it kills the program, and so does the end of this process, however
/// it comes.
#[derive(Debug)]
pub(crate) struct Child {
    name: String,
    pid: u32,
    process: Process,
    log: PathBuf,
}

impl Program<'_> {
    /// Starts the program with its log in `dir`.
    pub(crate) fn start(self, dir: &Path) -> Result<Child> {
        let log = dir.join(format!("{}.log", self.name.replace(' ', "-")));
        let stderr = File::create(&log).with_context(|| log.display().to_string())?;
        // setpriv becomes the program, so the pid is the program's; the kernel kills it when we are gone.
        let process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(self.file)
            .args(self.args)
            .envs(self.env)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            // A group of its own: Ctrl-C in the terminal is ours to hear, and we stop them in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .context("setpriv (of util-linux) starts the programs and could not be run")?;
        let pid = process.id().with_context(|| format!("{} ended at once", self.name))?;
        Ok(Child { name: self.name, pid, process, log })
    }
}

impl Child {
    pub(crate) const fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits for the program's line `listening: http://IP:PORT`.
    pub(crate) async fn listening(&mut self) -> Result<SocketAddr> {
        let stdout = self.process.stdout.take().context("its output is already read")?;
        let found = timeout(STARTUP, first_address(stdout)).await;
        match found {
            Ok(Some(address)) => Ok(address),
            Ok(None) => Err(self.failure("ended before it was listening")),
            Err(_) => Err(self.failure("did not say where it listens")),
        }
    }

    /// Returns the exit, if the program has ended.
    pub(crate) fn exit(&mut self) -> Option<Exit> {
        let status = self.process.try_wait().ok().flatten()?;
        Some(Exit { name: self.name.clone(), status })
    }

    /// Fails if the program has ended.
    pub(crate) fn ensure_alive(&mut self) -> Result<()> {
        match self.exit() {
            Some(exit) => Err(self.failure(&format!("ended: {}", exit.status))),
            None => Ok(()),
        }
    }

    /// Kills the program and waits until it is gone.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        self.process.kill().await.with_context(|| format!("killing {}", self.name))
    }

    /// Sends the program a signal by name, as kill(1) does.
    pub(crate) async fn signal(&mut self, signal: &str) -> Result<()> {
        if self.exit().is_some() {
            bail!("{} has ended", self.name);
        }
        let pid = self.pid.to_string();
        let status = Command::new("kill").args(["-s", signal, &pid]).status().await?;
        ensure!(status.success(), "kill -s {signal} {pid}: {status}");
        Ok(())
    }

    /// Returns an error that quotes the end of the log.
    pub(crate) fn failure(&self, what: &str) -> anyhow::Error {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines.get(lines.len().saturating_sub(TAIL)..).unwrap_or_default().join("\n  ");
        anyhow!("{} {what}; the end of its log:\n  {tail}", self.name)
    }
}

/// Returns the address in the first line that names one; the rest of the output is thrown away, so
/// that its pipe never fills.
async fn first_address(stdout: ChildStdout) -> Option<SocketAddr> {
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let address = line.strip_prefix("listening: http://").and_then(|rest| rest.parse().ok());
        if address.is_some() {
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return address;
        }
    }
    None
}
