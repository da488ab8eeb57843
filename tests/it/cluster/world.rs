//! A cluster that runs, as `./build.sh test cluster` starts it: questions to it, and what is done to it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may panic")]

use std::{
    env,
    fmt::Debug,
    fs,
    io::{self, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::runtime;

/// Time that a change may take until it shows: a gateway's pod that starts anew takes some 10 s and its predecessor as long to
/// leave, and many times as long on a machine that does something else.
const LONG: Duration = Duration::from_secs(240);

/// Time between two looks, each of which starts a program.
const AGAIN: Duration = Duration::from_millis(250);

/// The cluster that this test runs in.
#[derive(Clone, Debug)]
pub(super) struct Cluster {
    root: PathBuf,
    folder: PathBuf,
}

impl Cluster {
    /// Finds it by the environment.
    pub(super) fn here() -> Self {
        let folder = env::var_os("LLM_PICKER_CLUSTER");
        let folder = folder.unwrap_or_else(|| panic!("no cluster: run ./build.sh test cluster"));
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        Self { root: root.to_owned(), folder: folder.into() }
    }

    /// Runs kubectl and returns what it printed.
    pub(super) fn kubectl(&self, arguments: &str) -> String {
        self.run("kubectl", &arguments.split_whitespace().collect::<Vec<_>>()).unwrap()
    }

    /// Runs helm with words as they are; what it says is the error where it fails.
    pub(super) fn helm(&self, arguments: &[&str]) -> Result<String, String> {
        self.run("helm", arguments)
    }

    /// Applies a file of `objects/`.
    pub(super) fn apply(&self, name: &str) {
        self.try_apply(name).unwrap();
    }

    /// Applies as much of a file of `objects/` as can be; what cannot be is the error.
    pub(super) fn try_apply(&self, name: &str) -> Result<String, String> {
        let file = self.root.join("tests/it/cluster/objects").join(name);
        self.run("kubectl", &["apply", "--server-side", "-f", file.to_str().unwrap()])
    }

    /// Returns the object in JSON.
    pub(super) fn get(&self, what: &str) -> Value {
        serde_json::from_str(&self.kubectl(&format!("get {what} -o json"))).unwrap()
    }

    /// Returns the chart's folder.
    pub(super) fn chart(&self) -> String {
        self.root.join("envoy/chart").display().to_string()
    }

    /// Returns a folder of definitions, by its name below target/cluster/parts.
    pub(super) fn part(&self, name: &str) -> String {
        self.root.join("target/cluster/parts").join(name).display().to_string()
    }

    /// Returns the folder of the control plane's certificates and keys.
    pub(super) fn keys(&self) -> String {
        self.folder.join("keys").display().to_string()
    }

    /// Returns a new folder, which goes with the cluster.
    pub(super) fn scratch(&self, name: &str) -> PathBuf {
        let folder = self.folder.join(name);
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    /// Returns the ids of the processes in the cluster whose command line has this in it.
    pub(super) fn processes(&self, part: &str) -> Vec<u32> {
        let all = fs::read_dir("/proc")
            .unwrap()
            .filter_map(|it| it.unwrap().file_name().to_str()?.parse().ok());
        let has = |pid: &u32| {
            // One that ends meanwhile has none.
            let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.split('\0').any(|word| word.ends_with(part))
        };
        all.filter(has).collect()
    }

    /// Returns the plugin, which the scraper's image brings along.
    pub(super) fn plugin(&self) -> Vec<u8> {
        fs::read(self.root.join("dist/llm-picker.wasm")).unwrap()
    }

    /// Returns what the pods printed whose names begin so.
    pub(super) fn log(&self, beginning: &str) -> String {
        let files = fs::read_dir(self.folder.join("logs")).unwrap();
        let files = files.map(|file| file.unwrap().path());
        let begins =
            |file: &PathBuf| file.file_name().unwrap().to_str().unwrap().starts_with(beginning);
        files.filter(begins).map(|file| fs::read_to_string(file).unwrap()).collect()
    }

    /// Returns the body of an answer of a pod.
    pub(super) fn page(&self, service: &str, port: u16, path: &str) -> String {
        let address = self.address(service, port).unwrap();
        let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(stack::get(address, path)).unwrap().body
    }

    /// Returns the address of a ready pod of the Service `NAME.NAMESPACE`, if there is one.
    pub(super) fn address(&self, service: &str, port: u16) -> Option<SocketAddr> {
        let hosts = fs::read_to_string(self.folder.join("hosts")).ok()?;
        let of_service = |line: &&str| line.split(' ').nth(1) == Some(service);
        let address = hosts.lines().find(of_service)?.split(' ').next()?;
        Some(SocketAddr::new(address.parse().ok()?, port))
    }

    /// Runs a line of a shell, in the project's folder and with the placeholder of the documents filled in.
    pub(super) fn shell(&self, line: &str) -> Result<String, String> {
        self.shell_in(&self.root, line)
    }

    /// Runs a line of a shell in this folder. OpenShift's client is Kubernetes' here.
    pub(super) fn shell_in(&self, folder: &Path, line: &str) -> Result<String, String> {
        let line = line.replace("REGISTRY/", "registry.example/");
        let line = format!("oc() {{ kubectl \"$@\"; }}\n{line}");
        self.run_in(folder, "bash", &["-o", "pipefail", "-euc", &line])
    }

    fn run(&self, tool: &str, arguments: &[&str]) -> Result<String, String> {
        self.run_in(&self.root, tool, arguments)
    }

    fn run_in(&self, folder: &Path, tool: &str, arguments: &[&str]) -> Result<String, String> {
        let path = env::var("PATH").unwrap();
        let [tools, dist] = ["target/kube", "dist"].map(|it| self.root.join(it));
        let path = format!("{}:{}:{path}", tools.display(), dist.display());
        let mut command = Command::new(tool);
        command.args(arguments).current_dir(folder);
        let output = command.env("PATH", path).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(format!("{tool} {}: {said}", arguments.join(" ")))
    }
}

/// Returns the SHA-256 of a module, as values have it.
pub(super) fn checksum(module: &[u8]) -> String {
    use sha2::Digest as _;
    sha2::Sha256::digest(module).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Prints a figure, which `target/logs/test-cluster.log` has.
pub(super) fn say(line: &str) {
    io::stdout().write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// Tries until it is so, and says what it was that did not come, and what was there instead.
pub(super) fn until<T, E: Debug>(what: &str, mut attempt: impl FnMut() -> Result<T, E>) -> T {
    let begun = Instant::now();
    loop {
        match attempt() {
            Ok(found) => return found,
            Err(other) => {
                assert!(
                    begun.elapsed() < LONG,
                    "after {LONG:?} still not: {what}; found {other:?}"
                );
            }
        }
        sleep(AGAIN);
    }
}
