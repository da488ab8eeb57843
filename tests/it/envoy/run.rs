//! `build.sh run`, as a user sees it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::{path::Path, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

use super::world::until;

/// What is printed comes within a second or two; on a busy machine it may take ten times as long.
const PATIENCE: Duration = Duration::from_secs(60);

/// A user's terminal.
struct Terminal {
    stack: Child,
    lines: Lines<BufReader<ChildStdout>>,
    /// All that has been read.
    seen: Vec<String>,
}

impl Terminal {
    fn run(args: &[&str]) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let program = root.join("dist/llm-picker-stack");
        assert!(program.is_file(), "{} is missing: run ./build.sh first", program.display());
        let mut stack = Command::new(program)
            .args(args)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(stack.stdout.take().unwrap()).lines();
        Self { stack, lines, seen: Vec::new() }
    }

    /// Reads on to the line that has this text.
    async fn read_to(&mut self, text: &str) -> String {
        let found = timeout(PATIENCE, async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                self.seen.push(line.clone());
                if line.contains(text) {
                    return Some(line);
                }
            }
            None
        });
        let found = found.await.ok().flatten();
        found.unwrap_or_else(|| panic!("no {text:?} in {:#?}", self.seen))
    }

    /// The pids of the table, with what they are the pids of.
    fn pids(&self) -> Vec<(String, String)> {
        let rows = self.seen.iter().filter_map(|line| line.split_once(" pid "));
        rows.map(|(name, rest)| {
            let pid = rest.split_whitespace().next().unwrap();
            (name.trim().to_owned(), pid.to_owned())
        })
        .collect()
    }

    /// Waits until nothing that it started is left.
    async fn ensure_all_gone(&mut self) {
        timeout(PATIENCE, self.stack.wait()).await.unwrap().unwrap();
        let pids = self.pids();
        assert!(pids.len() >= 3, "{pids:?}");
        for (name, pid) in pids {
            let gone = until(async || (!runs(&pid)).then_some(()));
            assert!(timeout(PATIENCE, gone).await.is_ok(), "{name} ({pid}) is left behind");
        }
    }
}

/// Whether a process is there; one that only waits to be reaped is not.
fn runs(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with('Z'))
}

async fn kill(signal: &str, pid: &str) {
    assert!(Command::new("kill").args(["-s", signal, pid]).status().await.unwrap().success());
}

#[tokio::test]
async fn the_line_to_paste_works_and_a_killed_pod_is_reported() {
    let mut terminal = Terminal::run(&["--port", "0", "--endpoints", "2"]);
    terminal.read_to("ready: http://127.0.0.1:").await;
    let first = terminal.read_to("curl ").await;
    let line = format!("{}\n{}", first, terminal.read_to("messages").await);
    let output = Command::new("bash").args(["-c", &line]).output().await.unwrap();
    let answer = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(answer.contains("x-llm-picker-decision: endpoint=127.0.0.1:"), "{line}: {answer}");
    assert!(answer.contains("\"choices\""), "{answer}");

    let (_, pod) = terminal.pids().into_iter().find(|(name, _)| name == "pod 2").unwrap();
    kill("KILL", &pod).await;
    terminal.read_to("pod 2 ended").await;
    let again = Command::new("bash").args(["-c", &line]).output().await.unwrap();
    assert!(String::from_utf8_lossy(&again.stdout).contains("\"choices\""), "{again:?}");

    let stack = terminal.stack.id().unwrap().to_string();
    kill("INT", &stack).await;
    terminal.ensure_all_gone().await;
}

#[tokio::test]
async fn several_gateways_serve_and_are_on_the_page() {
    let mut terminal = Terminal::run(&["--port", "0", "--gateways", "2", "--endpoints", "1"]);
    let page = terminal.read_to("page:  http://").await;
    terminal.read_to("ready: http://").await;
    let rows = terminal.seen.iter().filter_map(|line| line.trim().strip_prefix("envoy "));
    let serving: Vec<&str> = rows
        .map(|row| {
            let (_, address) = row.split_once("http://").unwrap();
            address.split_once(',').unwrap().0
        })
        .collect();
    assert_eq!(serving.len(), 2, "{:?}", terminal.seen);
    for gateway in serving {
        let body = r#"{"model": "x", "prompt": "hello", "max_tokens": 1}"#;
        let url = format!("http://{gateway}/v1/completions");
        let post = ["-si", &url, "-H", "content-type: application/json", "-d", body];
        let output = Command::new("curl").args(post).output().await.unwrap();
        let answer = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(answer.contains("x-llm-picker-decision: endpoint="), "{gateway}: {answer}");
    }
    let status = page.trim().strip_prefix("page:  http://").unwrap().parse().unwrap();
    let json = stack::get(status, "/api/v1/status").await.unwrap().body;
    let page: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(page["gateways"].as_array().map(Vec::len), Some(2), "{page}");
    let stack = terminal.stack.id().unwrap().to_string();
    kill("INT", &stack).await;
    terminal.ensure_all_gone().await;
}

#[tokio::test]
async fn however_it_ends_nothing_is_left_behind() {
    for signal in ["TERM", "KILL"] {
        let mut terminal = Terminal::run(&["--port", "0", "--endpoints", "1"]);
        terminal.read_to("ready: http://127.0.0.1:").await;
        let stack = terminal.stack.id().unwrap().to_string();
        kill(signal, &stack).await;
        terminal.ensure_all_gone().await;
    }
}

#[tokio::test]
async fn what_cannot_be_is_said_clearly() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        std::fs::write(dir.path().join(name), text).unwrap();
        dir.path().join(name).display().to_string()
    };
    let faulty = r#"{"plugins": [{"type": "queu-scorer"}], "decisionHeader": "yes"}"#;
    let faulty = file("faulty.json", faulty);
    let yaml = file("epp.yaml", "plugins:\n- type: queu-scorer\n");
    let (no_json, ingest) = (file("no.json", "{"), file("ingest.json", r#"{"ingest": {}}"#));
    for (args, words) in [
        (["--port", &port], "is taken"),
        (["--hold", "bufferFilter"], "allowed: property, filterState"),
        (["--endpoints", "0"], "1..=64"),
        (["--config", "no-such-file.json"], "no-such-file.json"),
        (["--upstream", "nonsense"], "allowed: HOST:PORT, http://HOST:PORT or http://HOST:PORT/v1"),
        (["--config", &faulty], "invalid plugins[0].type \"queu-scorer\": must be a known name"),
        (
            ["--config", &faulty],
            "faulty.json:1:58: invalid decisionHeader \"yes\": must be true or false",
        ),
        (["--config", &no_json], "no.json:1:1: must be JSON: "),
        (["--config", &yaml], "epp.yaml:2:9: invalid plugins[0].type \"queu-scorer\""),
        (["--config", &ingest], "invalid ingest: must be left out"),
    ] {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut program = Command::new(root.join("dist/llm-picker-stack"));
        let output = program.args(args).kill_on_drop(true).output();
        let output = timeout(PATIENCE, output).await.unwrap().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(words), "{args:?}: {said}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "", "{args:?}: nothing was started");
    }
}
