//! The scraper's memory and connections over time: 256 fake pods, 20 times a second, of
//! which eight are replaced every second, four hang and four send nonsense. A line a minute.
//!
//! `cargo bench -p scraper --profile native --bench soak -- 30` runs 30 minutes.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a bench may panic, and prints"
)]

#[path = "../tests/it/server.rs"]
#[allow(dead_code, reason = "the soak needs less of it")]
mod server;

#[path = "parts/program.rs"]
mod program;

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use program::anywhere;
use server::{Asked, Reply, Server};
use tokio::{process::Child, time};

const PODS: usize = 256;
/// Pods that are replaced every second.
const REPLACED: usize = 8;
/// Default length of the run.
const MINUTES: u64 = 1;

#[tokio::main]
async fn main() {
    let minutes = std::env::args().find_map(|it| it.parse().ok()).unwrap_or(MINUTES);
    let whole = program::page();
    let page = program::selection(&whole);
    let mut pods = Vec::new();
    for number in 0..PODS {
        pods.push(pod(number, &page, &whole).await);
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("endpoints");
    list(&file, &pods);
    let envoy = Server::start(anywhere(), |_| Reply::Whole(204, Vec::new())).await;
    let endpoints = ["--endpoints-file".to_owned(), file.to_str().unwrap().to_owned()];
    let (child, _) = program::start(&envoy, &endpoints).await;

    println!("minute  memory, kB  file descriptors");
    let began = Instant::now();
    let mut next = 0;
    for second in 0..=minutes * 60 {
        time::sleep_until((began + Duration::from_secs(second)).into()).await;
        if second % 60 == 0 || second == 10 {
            report(second, &child);
        }
        for _ in 0..REPLACED {
            pods[next] = pod(next, &page, &whole).await;
            next = (next + 1) % PODS;
        }
        list(&file, &pods);
    }
}

async fn pod(number: usize, page: &[u8], whole: &[u8]) -> Server {
    let (page, whole) = (page.to_vec(), whole.to_vec());
    let answer = move |asked: Asked| match number % 64 {
        0 => Reply::Never,
        1 => Reply::Whole(200, b"<html>".to_vec()),
        2 => Reply::Last(page.clone()),
        _ if asked.line.contains("name%5B%5D=") => Reply::Whole(200, page.clone()),
        _ => Reply::Whole(200, whole.clone()),
    };
    Server::start(anywhere(), answer).await
}

fn list(file: &Path, pods: &[Server]) {
    let lines = pods.iter().map(|pod| format!("{}\n", pod.address)).collect::<String>();
    fs::write(file, lines).unwrap();
}

fn report(second: u64, child: &Child) {
    let process = format!("/proc/{}", child.id().unwrap());
    let status = fs::read_to_string(format!("{process}/status")).unwrap();
    let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let files = fs::read_dir(format!("{process}/fd")).unwrap().count();
    let memory = memory.trim().trim_end_matches(" kB");
    println!("{:6.1}  {memory:>10}  {files:16}", second as f64 / 60.0);
}
