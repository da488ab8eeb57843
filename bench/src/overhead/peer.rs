//! The standalone routers that PyPI has, in Rust all three. `build.sh` installs them, each in an environment of its own.

use std::{
    fs::File,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use tokio::{
    process::{Child, Command},
    task::spawn_blocking,
    time::sleep,
};

use crate::{body::Request, connection::Connection, load::next_number};

/// Time until a router must serve: it looks at its pods before, smg for some ten seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// The start of a router.
#[derive(Debug)]
pub(super) struct Launch {
    pub(super) name: &'static str,
    /// Folder of its environment, and the program in it.
    folder: &'static str,
    program: &'static [&'static str],
    policy: &'static str,
    /// Log level: logging may cost as little as the router can be told to.
    log_level: &'static str,
}

const SGLANG: Launch = Launch {
    name: "sglang-router, cache_aware",
    folder: "sglang-router",
    program: &["python", "-m", "sglang_router.launch_router"],
    policy: "cache_aware",
    log_level: "error",
};

const SMG: Launch = Launch {
    name: "smg, cache_aware",
    folder: "smg",
    program: &["smg", "launch"],
    policy: "cache_aware",
    log_level: "error",
};

const VLLM: Launch = Launch {
    name: "vllm-router, cache_aware",
    folder: "vllm-router",
    program: &["vllm-router"],
    policy: "cache_aware",
    log_level: "error",
};

/// Routers as they come, which is the default of all three.
pub(super) const CACHE_AWARE: [Launch; 3] = [SGLANG, SMG, VLLM];

/// Routers as they come, and by the policy that costs them least.
pub(super) const ALL: [Launch; 6] = [
    SGLANG,
    SMG,
    VLLM,
    Launch { name: "sglang-router, round_robin", policy: "round_robin", ..SGLANG },
    Launch { name: "smg, round_robin", policy: "round_robin", ..SMG },
    Launch { name: "vllm-router, round_robin", policy: "round_robin", ..VLLM },
];

impl Launch {
    /// True if the router is in its environment.
    pub(super) fn is_installed(&self, folder: &Path) -> bool {
        let program = self.program.first().map(|program| self.bin(folder).join(program));
        program.is_some_and(|program| program.is_file())
    }

    fn bin(&self, folder: &Path) -> PathBuf {
        folder.join(self.folder).join("bin")
    }
}

/// A running router, which ends with this.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    pub(super) pid: u32,
    _process: Child,
}

impl Peer {
    /// Starts a router in front of the pods, and waits until it serves.
    pub(super) async fn start(
        launch: &Launch,
        folder: &Path,
        pods: &[SocketAddr],
        model: &str,
    ) -> Result<Self> {
        let address = free()?;
        let metrics = free()?;
        let (program, args) = launch.program.split_first().context("no program")?;
        let program = launch.bin(folder).join(program);
        ensure!(
            launch.is_installed(folder),
            "{} is missing: ./build.sh bench peers installs it",
            program.display()
        );
        let log = folder.join(format!("{}.log", launch.name.replace([' ', ','], "-")));
        let output = File::create(&log).with_context(|| log.display().to_string())?;
        // setpriv becomes the program, so the pid is the program's; the kernel kills it when we are gone.
        let mut process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(program)
            .args(args)
            .args([
                "--host",
                "127.0.0.1",
                "--port",
                &address.port().to_string(),
                "--policy",
                launch.policy,
            ])
            .args([
                "--prometheus-host",
                "127.0.0.1",
                "--prometheus-port",
                &metrics.port().to_string(),
            ])
            .args(["--log-level", launch.log_level, "--worker-urls"])
            .args(pods.iter().map(|pod| format!("http://{pod}")))
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .context("setpriv (of util-linux) starts the routers and could not be run")?;
        let deadline = Instant::now() + PATIENCE;
        let hello = Request::hello(model);
        loop {
            let mut hello = hello.clone();
            if spawn_blocking(move || serves(address, &mut hello)).await? {
                break;
            }
            if let Some(status) = process.try_wait()? {
                bail!("ended, {status}; what it said is in {}", log.display());
            }
            ensure!(
                Instant::now() < deadline,
                "does not serve; what it said is in {}",
                log.display()
            );
            sleep(Duration::from_millis(200)).await;
        }
        let pid = process.id().context("it ended at once")?;
        Ok(Self { address, pid, _process: process })
    }
}

/// True if a request like those to come is answered.
fn serves(address: SocketAddr, hello: &mut Request) -> bool {
    let answer = Connection::open(address)
        .and_then(|mut connection| connection.exchange(hello.numbered(next_number())));
    matches!(answer, Ok(200))
}

/// Returns a port that was free a moment ago: the routers take a number and cannot say which they
/// found.
fn free() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
