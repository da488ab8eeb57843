//! `llm-scraper`: see `--help`.

mod args;

use std::{
    fmt::Write as _,
    fs,
    io::{self, IsTerminal, Read as _, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, anyhow};
use args::Command;
use clap::Parser;
use scraper::{Scraper, Settings, settings::PoolSettings};
use tokio::signal::unix::{SignalKind, signal};
use tracing::info;
use tracing_subscriber::EnvFilter;

/// One thread: 256 pods at 20 Hz need a part of one core, and tasks that never change threads need
/// the least of it.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args = args::Args::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let colours = io::stderr().is_terminal();
    let log = tracing_subscriber::fmt().with_writer(io::stderr).with_ansi(colours);
    log.with_env_filter(filter).with_target(false).init();
    match run(args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            let _ = writeln!(io::stderr(), "llm-scraper: {why:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: args::Args) -> anyhow::Result<()> {
    let args::Args { options, command, check, once } = args;
    match command {
        Some(Command::Explain { body, picker, path }) => {
            explain(options, (&path, &body), picker.as_deref()).await
        }
        Some(Command::Migrate { files }) => migrate(&files),
        None if once => print_once(options).await,
        None if check => print_check(options.settings().map_err(|why| anyhow!(why))?),
        None => scrape(options.settings().map_err(|why| anyhow!(why))?).await,
    }
}

async fn scrape(settings: Settings) -> anyhow::Result<()> {
    // Before the address is told, so that whoever reads it can stop us properly.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let scraper = Scraper::start(settings).await?;
    writeln!(io::stdout(), "listening: http://{}", scraper.address())
        .context("can't print the address")?;
    let which = tokio::select! {
        _ = interrupt.recv() => "SIGINT",
        _ = terminate.recv() => "SIGTERM",
    };
    info!("{which}: stopping");
    scraper.stop().await;
    Ok(())
}

/// Says what the settings come to; that they are good is known by now.
fn print_check(settings: Settings) -> anyhow::Result<()> {
    let mut text = String::from("the settings are good\n");
    for PoolSettings { name, discovery, .. } in &settings.pools {
        let _ = writeln!(text, "  pool {name}: {discovery}");
    }
    let gateways = &settings.gateways;
    let service = gateways.service.iter().map(|it| format!("Service {}", it.name));
    let envoys: Vec<_> = gateways.urls.iter().map(ToString::to_string).chain(service).collect();
    let to =
        if envoys.is_empty() { "nobody: gateways fetch".to_owned() } else { envoys.join(", ") };
    let _ = writeln!(text, "  pushes to {to}");
    let (every, within) = (settings.pace.interval, settings.pace.timeout);
    let _ = writeln!(text, "  every {every:?}, each scrape and push within {within:?}");
    let _ = writeln!(text, "  serves its pages on {}", settings.listen);
    if let Some(plugin) = &settings.plugin {
        let _ = writeln!(text, "  serves a plugin with sha256 {}", plugin.sha256());
    }
    print(&text)
}

async fn print_once(options: args::Options) -> anyhow::Result<()> {
    let (pools, timeout) = options.pools().map_err(|why| anyhow!(why))?;
    let snapshots = scraper::once(pools, timeout).await?;
    let snapshots = snapshots.iter().map(scraper::to_json).collect::<Vec<_>>();
    print(&format!("{:#}\n", serde_json::Value::from(snapshots)))
}

async fn explain(
    options: args::Options,
    (path, body): (&str, &Path),
    picker: Option<&Path>,
) -> anyhow::Result<()> {
    let read = |path: &Path| fs::read(path).with_context(|| path.display().to_string());
    let (body, picker) = (read(body)?, picker.map(read).transpose()?.unwrap_or_default());
    let (pools, timeout) = options.pools().map_err(|why| anyhow!(why))?;
    for snapshot in scraper::once(pools, timeout).await? {
        print(&scraper::explain(&picker, (path, &body), snapshot).map_err(|why| anyhow!(why))?)?;
    }
    Ok(())
}

fn print(text: &str) -> anyhow::Result<()> {
    io::stdout().write_all(text.as_bytes()).context("can't print")
}

/// Prints what the manifests in these files become.
fn migrate(files: &[PathBuf]) -> anyhow::Result<()> {
    let mut manifests = String::new();
    let standard_input = [PathBuf::from("-")];
    for file in if files.is_empty() { &standard_input } else { files } {
        // Each file begins a document.
        manifests.push_str("\n---\n");
        if file == Path::new("-") {
            io::stdin().read_to_string(&mut manifests).context("standard input")?;
        } else {
            let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
            manifests.push_str(&text);
        }
    }
    let values = scraper::migrate(&manifests).map_err(|why| anyhow!(why))?;
    print(&values)
}
