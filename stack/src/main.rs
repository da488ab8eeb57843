//! `build.sh run`: starts the stack, says how to try it, and stops it on Ctrl-C.

use std::{
    env, fs,
    io::{self, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    str::FromStr,
    time::Duration,
};

use anyhow::{Context, Result, anyhow, ensure};
use clap::{
    CommandFactory as _, Parser, Subcommand,
    builder::{PossibleValuesParser, TypedValueParser},
};
use clap_complete::Shell;
use clap_mangen::Man;
use serde_json::Value;
use stack::{Destination, Hold, Pod, Programs, Stack, Way, with_way};
use tokio::signal::unix::{SignalKind, signal};
use wire::config::{ConfigDocument, PluginConfig, ScraperPace, UnknownName};

/// Time that a server has to name its model: it may be far away, and is not busy yet.
const PATIENCE: Duration = Duration::from_secs(2);

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

    #[command(subcommand)]
    command: Option<Command>,
}

/// Commands that start nothing.
#[derive(Debug, Subcommand)]
enum Command {
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page, as man reads it
    Man,
}

/// Prints what was asked for.
fn print(command: &Command) -> Result<()> {
    let mut text = Vec::new();
    match command {
        Command::Completions { shell } => {
            clap_complete::generate(*shell, &mut Args::command(), "llm-picker-stack", &mut text);
        }
        Command::Man => Man::new(Args::command()).render(&mut text)?,
    }
    say(&String::from_utf8_lossy(&text));
    Ok(())
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
    if let Some(command) = &args.command {
        return print(command);
    }
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
    let upstreams = resolve(&args.upstream).await?;
    let programs = Programs::beside(&folder()?)?;
    let pods = if upstreams.is_empty() {
        ensure!(
            programs.simulates(),
            "vllm-sim is missing beside this program: name servers with --upstream"
        );
        format!("{} simulated vLLM pods", args.endpoints)
    } else {
        format!("{} servers", upstreams.len())
    };
    let _ = writeln!(io::stderr(), "starting {} Envoy, a scraper and {pods}", args.gateways);
    let builder = Stack::builder(programs)
        .way(way)
        .port(args.port)
        .gateways(args.gateways.into())
        .workers(args.workers.into())
        .endpoints(args.endpoints.into())
        .upstreams(upstreams)
        .explaining();
    match plugin {
        Some(plugin) => builder.plugin(plugin).start().await,
        None => builder.start().await,
    }
}

/// Returns the folder that this program lies in, with all others beside it.
fn folder() -> Result<PathBuf> {
    let program = env::current_exe()?;
    Ok(program.parent().context("this program lies in no folder")?.to_owned())
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
        let named = |what: &str| {
            format!(
                "invalid --upstream {upstream:?}: {what}; allowed: HOST:PORT, http://HOST:PORT or \
                 http://HOST:PORT/v1"
            )
        };
        let host = host_of(upstream).map_err(|what| anyhow!(named(what)))?;
        let mut found =
            tokio::net::lookup_host(host).await.with_context(|| named("found no such host"))?;
        let address = found.next();
        addresses.push(address.with_context(|| named("found no address of it"))?);
    }
    Ok(addresses)
}

/// Returns host and port of a server, which may be named by the base URL that clients take.
///
/// # Errors
/// If it is named otherwise: what is wrong with it.
fn host_of(upstream: &str) -> Result<&str, &'static str> {
    if upstream.starts_with("https://") {
        return Err("TLS to servers is not spoken here");
    }
    let host = upstream.strip_prefix("http://").unwrap_or(upstream).trim_end_matches('/');
    let host = host.strip_suffix("/v1").unwrap_or(host);
    match host.rsplit_once(':') {
        _ if host.contains('/') => Err("found a path"),
        Some((_, port)) if port.parse::<u16>().is_ok() => Ok(host),
        _ => Err("found no port"),
    }
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
    let mut model = None;
    for (index, pod) in stack.pods.iter().enumerate() {
        let name = format!("pod {}", index + 1);
        let served = served_model(pod.addr).await;
        let trouble = served.as_ref().err().map(|why| format!(", does not answer: {why}"));
        text += &row(
            &name,
            Pod::pid(pod),
            &format!("http://{}{}", pod.addr, trouble.unwrap_or_default()),
        );
        model = model.or_else(|| served.ok());
    }
    let model = model.unwrap_or_else(|| "MODEL".to_owned());
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
    text += "The answer's x-llm-picker-decision header says where it went and why. Open the page, kill a pod by its pid, and try again.\n";
    let secret = stack.secret_file();
    text += &format!(
        "Before it is sent: llm-scraper --secret-file {} explain --gateway {gateway} body.json\n",
        secret.display()
    );
    text
}

fn row(name: &str, pid: Option<u32>, address: &str) -> String {
    let pid = pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string());
    format!("  {name:<10} pid {pid:<8} {address}\n")
}

/// Returns a server's name for its model.
async fn served_model(server: SocketAddr) -> Result<String> {
    let answer = tokio::time::timeout(PATIENCE, stack::get(server, "/v1/models")).await;
    let answer = answer.map_err(|_| anyhow!("nothing came within {PATIENCE:?}"))??;
    ensure!(answer.status == 200, "status {} to /v1/models", answer.status);
    let models: Value = serde_json::from_str(&answer.body).context("no JSON from /v1/models")?;
    let name = models.pointer("/data/0/id").and_then(Value::as_str);
    Ok(name.context("no model in /v1/models")?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_named_as_clients_name_them() {
        for named in ["10.0.0.5:8000", "http://10.0.0.5:8000", "http://10.0.0.5:8000/v1/"] {
            assert_eq!(host_of(named), Ok("10.0.0.5:8000"));
        }
        assert_eq!(host_of("[::1]:80"), Ok("[::1]:80"));
        for (named, what) in [
            ("https://a:1", "TLS to servers is not spoken here"),
            ("http://a:1/v1/models", "found a path"),
            ("a", "found no port"),
            ("http://a:b", "found no port"),
        ] {
            assert_eq!(host_of(named), Err(what), "{named}");
        }
    }
}
