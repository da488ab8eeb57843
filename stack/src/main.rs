//! `build.sh run`: starts the stack, says how to try it, and stops it on Ctrl-C.

use std::{
    env, fs,
    io::{self, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    str::FromStr,
};

use anyhow::{Context, Result, anyhow};
use clap::{
    Parser,
    builder::{PossibleValuesParser, TypedValueParser},
};
use serde_json::Value;
use stack::{Destination, Hold, Pod, Programs, Stack, Way, with_way};
use tokio::signal::unix::{SignalKind, signal};
use wire::config::{ConfigDocument, PluginConfig, ScraperPace, UnknownName};

/// Runs the whole stack on loopback: Envoy with the picker, the scraper and vLLM pods.
#[derive(Debug, Parser)]
#[command(name = "llm-picker-stack", version)]
struct Args {
    /// The gateway's port; 0 is a free one.
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// Number of vLLM pods to simulate, 1 to 64.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=64))]
    endpoints: u8,
    /// Number of gateways over the same pods, 1 to 16: Envoys on ports one behind the other, with one scraper.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=16))]
    gateways: u8,
    /// Each Envoy's worker threads, 1 to 64.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=64))]
    workers: u8,
    /// The plugin's configuration, YAML or JSON: an EndpointPickerConfig, and llm-picker's own keys beside it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// vLLM servers that already run, instead of simulated ones.
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',')]
    upstream: Vec<String>,
    /// What holds a request until its body has been read.
    #[arg(long, default_value = "stopIteration", value_parser = named::<Hold>(Hold::NAMES))]
    hold: Hold,
    /// How Envoy learns the endpoint.
    #[arg(long, default_value = "header", value_parser = named::<Destination>(Destination::NAMES))]
    destination: Destination,
}

/// Returns a parser of the values with these names, which the help lists.
fn named<T: FromStr<Err = UnknownName> + Clone + Send + Sync + 'static>(
    names: impl Into<PossibleValuesParser>,
) -> impl TypedValueParser<Value = T> {
    names.into().try_map(|name| name.parse())
}

// The kernel kills the children with the thread that started them, so there is to be one thread.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(&Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "llm-picker-stack: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &Args) -> Result<()> {
    // Heard from the first moment, so that a Ctrl-C during the start leaves nothing behind either.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut child_ended = signal(SignalKind::child())?;
    let mut stack = tokio::select! {
        stack = start(args) => stack?,
        _ = interrupt.recv() => return Ok(()),
        _ = terminate.recv() => return Ok(()),
    };
    say(&welcome(&stack).await);
    loop {
        tokio::select! {
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
            _ = child_ended.recv() => {
                stack.ensure_envoy()?;
                for exit in stack.ended() {
                    say(&format!("{} ended ({}); the rest goes on\n", exit.name, exit.status));
                }
            }
        }
    }
    say("\nstopping\n");
    Ok(())
}

/// Prints a text. Nothing stops because no one reads it any more.
fn say(text: &str) {
    let mut output = io::stdout();
    let _ = output.write_all(text.as_bytes()).and_then(|()| output.flush());
}

async fn start(args: &Args) -> Result<Stack> {
    let way = Way::new(args.hold, args.destination)?;
    // Before anything is started: a wrong file is told in milliseconds.
    let plugin = args.config.as_deref().map(|file| read_plugin(file, way)).transpose()?;
    let builder = Stack::builder(Programs::built_in(&project()?)?)
        .way(way)
        .port(args.port)
        .gateways(args.gateways.into())
        .workers(args.workers.into())
        .endpoints(args.endpoints.into())
        .upstreams(resolve(&args.upstream).await?)
        .explaining();
    match plugin {
        Some(plugin) => builder.plugin(plugin).start().await,
        None => builder.start().await,
    }
}

/// Returns the project's folder: this program lies in its dist/.
fn project() -> Result<PathBuf> {
    let program = env::current_exe()?;
    let root = program.parent().and_then(Path::parent);
    Ok(root.context("this program must lie in the project's dist/")?.to_owned())
}

/// Reads a configuration by the plugin's own reader, and prints what may surprise about it.
fn read_plugin(file: &Path, way: Way) -> Result<Value> {
    let name = file.display().to_string();
    let text = fs::read_to_string(file).with_context(|| format!("failed to read {name}"))?;
    let document = ConfigDocument::read(&text).map_err(|why| anyhow!(why.refusal(&name)))?;
    let noted = document.parse();
    let config = noted.read.map_err(|why| anyhow!(document.refusal(&name, &why)))?;
    // The way is this program's own option, so it is part of what is judged.
    let plugin = with_way(document.value().clone(), way)?;
    if let PluginConfig::Picker(picker) = config {
        for warning in picker.warnings(&plugin, ScraperPace::default()) {
            let _ = writeln!(io::stderr(), "{name}:{}", document.warning(&warning));
        }
    }
    for note in noted.notes {
        let _ = writeln!(io::stderr(), "{name}:{}", document.note(&note));
    }
    Ok(document.value().clone())
}

async fn resolve(upstreams: &[String]) -> Result<Vec<SocketAddr>> {
    let mut addresses = Vec::new();
    for upstream in upstreams {
        let mut found = tokio::net::lookup_host(upstream)
            .await
            .with_context(|| format!("--upstream {upstream}: expected HOST:PORT"))?;
        let address = found.next();
        addresses.push(address.with_context(|| format!("--upstream {upstream}: no address"))?);
    }
    Ok(addresses)
}

async fn welcome(stack: &Stack) -> String {
    let (_, scraper) = stack.pids();
    let mut text = format!("{}, {} workers\n\n", stack.way, stack.workers);
    let gateways = stack.gateways();
    for (number, ((pid, admin), gateway)) in (1..).zip(stack.admins().into_iter().zip(&gateways)) {
        let (name, serves) = match gateways.len() {
            1 => ("envoy".to_owned(), String::new()),
            _ => (format!("envoy {number}"), format!("http://{gateway}, ")),
        };
        text += &row(&name, Some(pid), &format!("{serves}http://{admin} (admin)"));
    }
    if let Some(status) = stack.status {
        text += &row("scraper", scraper, &format!("http://{status} (status page)"));
    }
    for (index, pod) in stack.pods.iter().enumerate() {
        let name = format!("pod {}", index + 1);
        text += &row(&name, Pod::pid(pod), &format!("http://{}", pod.addr));
    }
    let model = model(stack).await;
    let gateway = format!("http://{}", stack.gateway);
    text += &format!("\nlogs:  {}\n", stack.dir().display());
    if let Some(status) = stack.status {
        text += &format!("page:  http://{status}\n");
    }
    text += &format!("ready: {gateway}\n\n");
    text += &format!(
        "curl -i {gateway}/v1/chat/completions -H 'content-type: application/json' \\\n  -d '{{\"model\": \
         \"{model}\", \"max_tokens\": 16, \"messages\": [{{\"role\": \"user\", \"content\": \"Where does this \
         go?\"}}]}}'\n\n"
    );
    text + "The answer's x-llm-picker-decision header says where it went and why. Open the page, kill a pod by its pid, and try again.\n"
}

fn row(name: &str, pid: Option<u32>, address: &str) -> String {
    let pid = pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string());
    format!("  {name:<10} pid {pid:<8} {address}\n")
}

/// Returns the first pod's name for its model.
async fn model(stack: &Stack) -> String {
    let models = stack.ask_pod("/v1/models").await.map(|answer| answer.body).unwrap_or_default();
    let models: Value = serde_json::from_str(&models).unwrap_or_default();
    models.pointer("/data/0/id").and_then(Value::as_str).unwrap_or("MODEL").to_owned()
}
