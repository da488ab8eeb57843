//! The cost of a fleet to the scraper: 256 fake pods, 20 times a second, one Envoy.
//!
//! `cargo bench -p scraper --profile native` runs some 25 s and prints two tables. Pods and scraper
//! share the machine, and over loopback the kernel does part of the receiving on the sender's
//! account, so the figure flatters the scraper by what a network card's interrupts would cost.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a bench may panic, and prints"
)]

#[path = "../tests/it/server.rs"]
#[allow(dead_code, reason = "the bench needs less of it")]
mod server;

#[path = "parts/program.rs"]
mod program;

use std::{
    fs,
    hint::black_box,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use program::anywhere;
use server::{Asked, Reply, Server};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::Child,
    time,
};
use wire::metrics::{Engine, Scanner};

const PODS: usize = 256;
const WARM_UP: Duration = Duration::from_secs(2);
const MEASURED: Duration = Duration::from_secs(8);
/// `/proc/<pid>/stat` counts in hundredths of a second (`getconf CLK_TCK`).
const TICKS_PER_SECOND: f64 = 100.0;

#[tokio::main]
async fn main() {
    let page = program::page();
    measure("pods that select, as vLLM does", &program::selection(&page), &page).await;
    measure("pods that do not", &page, &page).await;
}

async fn measure(what: &str, selected: &[u8], whole: &[u8]) {
    let scan = scan_time(selected);
    let mut pods = Vec::new();
    for _ in 0..PODS {
        let (selected, whole) = (selected.to_vec(), whole.to_vec());
        let answer = move |asked: Asked| {
            let selects = asked.line.contains("name%5B%5D=");
            Reply::Whole(200, if selects { selected.clone() } else { whole.clone() })
        };
        pods.push(Server::start(anywhere(), answer).await);
    }
    let latest = Arc::new(Mutex::new((Instant::now(), Vec::new())));
    let taken = Arc::clone(&latest);
    let envoy = Server::start(anywhere(), move |asked| {
        let snapshot = wire::snapshot::decode(&asked.body).unwrap();
        let ages = snapshot.endpoints.iter().flat_map(|it| &it.metrics).map(|it| it.age);
        *taken.lock().unwrap() = (Instant::now(), ages.collect());
        Reply::Whole(204, Vec::new())
    });
    let envoy = envoy.await;
    let endpoints = pods.iter().flat_map(|pod| ["--endpoint".into(), pod.address.to_string()]);
    let endpoints: Vec<String> = endpoints.collect();
    let (child, address) = program::start(&envoy, &endpoints).await;

    time::sleep(WARM_UP).await;
    let before = Sample::take(&child, address).await;
    let ages = ages_at_decisions(&latest).await;
    let after = Sample::take(&child, address).await;
    println!("{what}:");
    report(&before, &after, scan, selected.len());
    report_ages(ages);
}

/// Returns the ages of all readings at decisions a millisecond apart, each by the newest snapshot.
async fn ages_at_decisions(latest: &Mutex<(Instant, Vec<Duration>)>) -> Vec<Duration> {
    let mut ages = Vec::new();
    let began = Instant::now();
    while began.elapsed() < MEASURED {
        time::sleep(Duration::from_millis(1)).await;
        let (at, newest) = &*latest.lock().unwrap();
        ages.extend(newest.iter().map(|age| *age + at.elapsed()));
    }
    ages
}

fn report_ages(mut ages: Vec<Duration>) {
    ages.sort_unstable();
    let at = |share: usize| ages[(ages.len() - 1) * share / 1000].as_secs_f64() * 1e3;
    let [p50, p99, p999, max] = [500, 990, 999, 1000].map(at);
    println!(
        "age at a decision   p50 {p50:.0} ms, p99 {p99:.0} ms, p99.9 {p999:.0} ms, max {max:.0} ms"
    );
}

/// Returns the seconds that one page takes to be scanned, when pages of its shape were seen before.
fn scan_time(page: &[u8]) -> f64 {
    const ROUNDS: u32 = 20_000;
    let mut scanner = Scanner::new(Arc::new(Engine::vllm()));
    let began = Instant::now();
    for _ in 0..ROUNDS {
        black_box(scanner.scan(black_box(page)).unwrap());
    }
    (began.elapsed() / ROUNDS).as_secs_f64()
}

/// Totals since the scraper's start.
struct Sample {
    at: Instant,
    /// CPU time in seconds.
    user: f64,
    /// CPU time in the kernel, in seconds.
    kernel: f64,
    metrics: String,
}

impl Sample {
    async fn take(child: &Child, address: SocketAddr) -> Self {
        let stat = fs::read_to_string(format!("/proc/{}/stat", child.id().unwrap())).unwrap();
        // After the name in brackets, user and system time are the 12th and 13th field.
        let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        let seconds = |field: usize| fields[field].parse::<f64>().unwrap() / TICKS_PER_SECOND;
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut metrics = String::new();
        stream.read_to_string(&mut metrics).await.unwrap();
        Self { at: Instant::now(), user: seconds(11), kernel: seconds(12), metrics }
    }

    /// Returns the sum of the series that begin with `name` and hold `label`.
    fn sum(&self, name: &str, label: &str) -> f64 {
        let lines = self.metrics.lines().filter(|it| it.starts_with(name) && it.contains(label));
        lines.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()).sum()
    }
}

fn report(before: &Sample, after: &Sample, scan: f64, page_bytes: usize) {
    let seconds = (after.at - before.at).as_secs_f64();
    let grown = |name: &str, label: &str| after.sum(name, label) - before.sum(name, label);
    let rate = |name: &str, label: &str| grown(name, label) / seconds;
    let scrapes = rate("llm_scraper_scrapes_total", "outcome=\"ok\"");
    let failed = rate("llm_scraper_scrapes_total", "") - scrapes;
    let pushes = rate("llm_scraper_pushes_total", "outcome=\"ok\"");
    let user = (after.user - before.user) / seconds;
    let kernel = (after.kernel - before.kernel) / seconds;
    let cpu = user + kernel;
    println!("{PODS} pods, pages of {page_bytes} bytes, {seconds:.1} s");
    println!("scrapes           {scrapes:8.0} /s ({failed:.0} /s failed)");
    println!("pushes            {pushes:8.1} /s");
    println!("CPU in all        {:8.1} % of a core", cpu * 100.0);
    println!("  in the kernel   {:8.1} % of a core", kernel * 100.0);
    println!("  a scrape        {:8.1} us", cpu / scrapes * 1e6);
    println!("  scanning alone  {:8.1} us, {:.1} % of a core", scan * 1e6, scan * scrapes * 100.0);
    let ages = "llm_scraper_reading_age_seconds_bucket";
    let all = grown("llm_scraper_reading_age_seconds_count", "");
    for le in ["0.05", "0.1"] {
        let share = grown(ages, &format!("le=\"{le}\"")) / all;
        println!("aged <= {le:>4} s when a snapshot is made {:6.2} %", share * 100.0);
    }
}
