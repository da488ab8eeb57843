//! The program, for pods with pages of a real vLLM.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    process::Stdio,
};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};
use wire::metrics::Engine;

use crate::server::Server;

pub(crate) fn anywhere() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

pub(crate) fn page() -> Vec<u8> {
    fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../wire/tests/data/vllm-0.32.0.txt")).unwrap()
}

/// Returns vLLM's answer to the scraper's query.
pub(crate) fn selection(page: &[u8]) -> Vec<u8> {
    let query = Engine::vllm().selection().unwrap();
    let names: Vec<_> = query.split("name%5B%5D=").map(|name| name.trim_end_matches('&')).collect();
    let lines = str::from_utf8(page).unwrap().split_inclusive('\n').filter(|line| {
        let name = line.trim_start_matches("# HELP ").trim_start_matches("# TYPE ");
        names.contains(&name.split(['{', ' ']).next().unwrap())
    });
    lines.collect::<String>().into_bytes()
}

/// Starts the program with these endpoints for this Envoy, and returns it with the address of its
/// own pages.
pub(crate) async fn start(envoy: &Server, endpoints: &[String]) -> (Child, SocketAddr) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_llm-scraper"));
    command.args(["--envoy", &format!("http://{}", envoy.address), "--listen", "127.0.0.1:0"]);
    command.args(endpoints).env("LLM_PICKER_SECRET", "0123456789abcdef").kill_on_drop(true);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).await.unwrap();
    let address = line.trim().strip_prefix("listening: http://").unwrap().parse().unwrap();
    (child, address)
}
