//! `build.sh bench`: measures llm-picker in a real Envoy, side by side with its peers.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "what it prints is what it is for")]

// The benches.
mod age;
mod dispatch;
mod exchange;
mod flow_control;
mod idle;
mod micro;
mod overhead;
mod real_vllm;
mod soak;
// The clients.
mod body;
mod chat;
mod connection;
mod load;
// The servers.
mod upstream;
mod valve;
// The machine under them.
mod cpu;
mod machine;
mod memory;
// The results.
mod report;
mod summary;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use overhead::Sweep;
use report::{Report, Table};
use stack::Programs;

/// Benches over a real Envoy on this machine. Without a name it lists them.
#[derive(Debug, Parser)]
#[command(name = "llm-picker-bench", version)]
struct Args {
    /// Name of the bench.
    #[arg(value_enum)]
    name: Option<Bench>,
    /// Run one short round, which shows that it works and not what it costs.
    #[arg(long)]
    quick: bool,
    /// Seconds that each load of flow-control lasts, 5 to 600.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(5..=600))]
    seconds: u64,
    /// A published trace for replay: Mooncake's JSON lines or Azure's CSV, in place of the one that comes along.
    #[arg(long)]
    trace: Option<PathBuf>,
    /// Loads of replay, by parts of their names, or scenarios of adaptive, by their names; all if none is named.
    #[arg(long, value_delimiter = '|')]
    loads: Vec<String>,
    /// Policies of replay, by their names; all if none is named.
    #[arg(long, value_delimiter = '|')]
    policies: Vec<String>,
    /// Replays of each load or scenario, each with chance of its own, 1 to 20: the tables have their means.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=20))]
    seeds: u64,
    /// The engines of real-vllm, which must run already and serve the same model: HOST:PORT,HOST:PORT,...
    #[arg(long, value_delimiter = ',')]
    servers: Vec<SocketAddr>,
}

/// File of `filter/examples/crossings.rs`, as build.sh builds it.
const CROSSINGS: &str = "target/wasm32-wasip1/release/examples/crossings.wasm";

/// File of `filter/examples/headers.rs`, as build.sh builds it.
const HEADERS: &str = "target/wasm32-wasip1/release/examples/headers.wasm";

/// File of the program of `bench/micro/`, as build.sh builds it.
const MICRO: &str = "target/micro/release/llm-picker-micro";

/// A bench.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Bench {
    /// The cost of the picker in the same Envoy: latency, throughput, CPU per request. 5 minutes.
    Overhead,
    /// The cost of the picker for bodies of 1 to 450 KB, with and without escapes. 5 minutes.
    OverheadSizes,
    /// The cost of the picker for 1 to 150 clients that press without pause. 4 minutes.
    OverheadClients,
    /// The cost of the picker for 1, 2 and 4 workers of Envoy. 5 minutes.
    OverheadWorkers,
    /// The cost of the picker for every way into Envoy. 5 minutes.
    OverheadWays,
    /// The cost of the picker beside an Envoy that balances by itself: least request, consistent hashing with bounded loads. 3 minutes.
    OverheadBalancing,
    /// The cost of the picker for what it does not read, beside a filter that looks at headers. 2 minutes.
    OverheadUnread,
    /// The standalone routers of PyPI (sglang-router, smg, vllm-router) beside the picker. 10 minutes.
    Peers,
    /// Two priorities beyond the capacity, with the gate on and off: success and TTFT by class. 4 minutes.
    FlowControl,
    /// A queue of 5,000 drained, overshoot, fairness, the cost of the ledger. 2 minutes.
    Dispatch,
    /// The cost of the picker in an Envoy that is idle. 1 minute.
    Idle,
    /// Real engines, which run at --servers, behind the picker, behind Envoy alone and behind the other routers; overload. 20 minutes.
    RealVllm,
    /// The age of a pod's numbers at a decision, over 256 pods. 1 minute.
    Age,
    /// The price of the exchange between 2, 4 and 8 gateways over 256 pods: bytes and CPU. 5 minutes.
    Exchange,
    /// Published traffic over simulated pods, placed by us and by the formulas of our peers. 3 minutes.
    Replay,
    /// Gates beside each other over simulated pods that get more than they hold: none, thresholds, adaptive-detector. 10 minutes.
    Adaptive,
    /// Faults of all kinds at an Envoy under load: no request lost, no limit passed, nothing left behind. 20 minutes.
    Soak,
    /// Small parts by themselves: the prefix index beside those of SMG and Dynamo, the ledger under contention. 3 minutes.
    Micro,
}

/// Settings that every bench is given.
#[derive(Debug)]
struct Setting {
    programs: Programs,
    /// File of the filter that makes the picker's host calls and nothing else.
    crossings: PathBuf,
    /// File of the filter that looks at headers and does nothing else.
    headers: PathBuf,
    /// Folder in which the other routers are installed.
    peers: PathBuf,
    /// Addresses of engines that run already.
    servers: Vec<SocketAddr>,
    quick: bool,
    seconds: u64,
}

// The kernel kills the stack's programs with the thread that started them, so that is this one.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let run = async { run(&Args::parse()).await };
    let interrupted = tokio::signal::ctrl_c();
    let ended = tokio::select! {
        ended = run => ended,
        _ = interrupted => Err(anyhow::anyhow!("interrupted")),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("llm-picker-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &Args) -> Result<()> {
    let Some(bench) = args.name else {
        print!("{}", list());
        return Ok(());
    };
    let root = project()?;
    let results = root.join("target/bench");
    let setting = || {
        let programs = Programs::built_in(&root)?;
        let quick = args.quick;
        let seconds = args.seconds;
        let (crossings, headers) = (root.join(CROSSINGS), root.join(HEADERS));
        let peers = root.join("target/peers");
        let servers = args.servers.clone();
        anyhow::Ok(Setting { programs, crossings, headers, peers, servers, quick, seconds })
    };
    let report = match bench {
        Bench::Overhead => overhead::run(&setting()?).await?,
        Bench::OverheadSizes => Sweep::Sizes.run(&setting()?).await?,
        Bench::OverheadClients => Sweep::Clients.run(&setting()?).await?,
        Bench::OverheadWorkers => Sweep::Workers.run(&setting()?).await?,
        Bench::OverheadWays => Sweep::Ways.run(&setting()?).await?,
        Bench::OverheadBalancing => Sweep::Balancing.run(&setting()?).await?,
        Bench::OverheadUnread => Sweep::Unread.run(&setting()?).await?,
        Bench::Peers => overhead::peers(&setting()?).await?,
        Bench::FlowControl => flow_control::run(&setting()?).await?,
        Bench::Dispatch => dispatch::run(&setting()?).await?,
        Bench::Idle => idle::run(&setting()?).await?,
        Bench::RealVllm => real_vllm::run(&setting()?).await?,
        Bench::Exchange => exchange::run(&setting()?).await?,
        Bench::Age => age::run(&setting()?).await?,
        Bench::Soak => soak::run(&setting()?).await?,
        Bench::Replay => replayed(args, &results)?,
        Bench::Adaptive => adaptive(args),
        Bench::Micro => micro::run(&root.join(MICRO), args.quick)?,
    };
    println!("{}", report.markdown());
    let file = report.save(&results)?;
    eprintln!("raw results: {}", file.display());
    Ok(())
}

/// Compares gates: in virtual time, without an Envoy.
fn adaptive(args: &Args) -> Report {
    let mut report = Report::begin("adaptive");
    let (parts, raw) = replay::adaptive::compare(&replay::adaptive::GateOptions {
        quick: args.quick,
        scenarios: args.loads.clone(),
        seeds: args.seeds,
    });
    show(&mut report, parts);
    report.raw(raw);
    report
}

/// Runs the replay: in virtual time, without an Envoy.
fn replayed(args: &Args, results: &Path) -> Result<Report> {
    let mut report = Report::begin("replay");
    let (parts, raw) = replay::run(&replay::Options {
        trace: args.trace.clone(),
        quick: args.quick,
        results: results.to_owned(),
        loads: args.loads.clone(),
        policies: args.policies.clone(),
        seeds: args.seeds,
    })?;
    show(&mut report, parts);
    report.raw(raw);
    Ok(report)
}

fn show(report: &mut Report, parts: Vec<replay::Part>) {
    for part in parts {
        match part {
            replay::Part::Text(text) => report.say(text),
            replay::Part::Table { columns, rows } => {
                let mut table = Table::new(&columns);
                rows.iter().for_each(|row| table.row(row));
                report.show(table);
            }
        }
    }
}

/// Returns a line for each bench.
fn list() -> String {
    let mut text = String::new();
    for bench in Bench::value_variants() {
        let Some(value) = bench.to_possible_value() else { continue };
        let help = value.get_help().map(ToString::to_string).unwrap_or_default();
        text += &format!("{:<18} {help}\n", value.get_name());
    }
    text
}

/// Returns the project's folder: the program is built where it runs, so its sources are in the
/// project.
fn project() -> Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    Ok(root.context("bench/ lies in the project")?.to_owned())
}
