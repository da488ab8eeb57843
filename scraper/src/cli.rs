//! The commands of the program.

mod args;

use std::{
    fmt::Write as _,
    fs,
    io::{self, Read as _, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, anyhow};
use scraper::{ExplainedRequest, Scraper, Settings, settings::PoolSettings};
use tokio::signal::unix::{SignalKind, signal};
use tracing::info;

pub(crate) use args::Args;
use args::{Command, ExplainArgs, OnceSettings, Options};

/// Does what the command line says.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let Args { options, command, check, once } = args;
    match command {
        Some(Command::Explain(request)) => explain(options, &request).await,
        Some(Command::Migrate { files }) => migrate(&files),
        None if once => print_once(options).await,
        None if check => print_check(&options.settings().map_err(|why| anyhow!(why))?),
        None => scrape(options.settings().map_err(|why| anyhow!(why))?).await,
    }
}

async fn scrape(settings: Settings) -> anyhow::Result<()> {
    // Signals are caught before the address is printed, so that its reader can stop the scraper
    // properly.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let scraper = Scraper::start(settings).await?;
    writeln!(io::stdout(), "listening: http://{}", scraper.address())
        .context("failed to print the address")?;
    let which = tokio::select! {
        _ = interrupt.recv() => "SIGINT",
        _ = terminate.recv() => "SIGTERM",
    };
    info!("{which}: stopping");
    scraper.stop().await;
    Ok(())
}

/// Prints a summary of settings, which are known to be good by now.
fn print_check(settings: &Settings) -> anyhow::Result<()> {
    let mut text = String::from("the settings are good\n");
    for PoolSettings { name, discovery, .. } in &settings.pools {
        let _ = writeln!(text, "  pool {name}: {discovery}");
    }
    let gateways = &settings.gateways;
    let service = gateways.service.iter().map(|it| format!("Service {}", it.name));
    let envoys: Vec<_> = gateways.urls.iter().map(ToString::to_string).chain(service).collect();
    let to = if envoys.is_empty() { "none: gateways fetch".to_owned() } else { envoys.join(", ") };
    let _ = writeln!(text, "  pushes to {to}");
    let every = settings.pace.interval;
    let within = settings.pace.timeout;
    let _ = writeln!(text, "  every {every:?}, each scrape and push within {within:?}");
    let _ = writeln!(text, "  serves its pages on {}", settings.listen);
    if let Some(plugin) = &settings.plugin {
        let _ = writeln!(text, "  serves a plugin with sha256 {}", plugin.sha256());
    }
    print(&text)
}

async fn print_once(options: Options) -> anyhow::Result<()> {
    let OnceSettings { pools, timeout } = options.once_settings().map_err(|why| anyhow!(why))?;
    let snapshots = scraper::once(pools, timeout).await?;
    let snapshots = snapshots.iter().map(scraper::to_json).collect::<Vec<_>>();
    print(&format!("{:#}\n", serde_json::Value::from(snapshots)))
}

async fn explain(options: Options, request: &ExplainArgs) -> anyhow::Result<()> {
    let read =
        |path: &Path| fs::read(path).with_context(|| format!("failed to read {}", path.display()));
    let body = read(&request.body)?;
    let picker = request.picker.as_deref().map(read).transpose()?.unwrap_or_default();
    let OnceSettings { pools, timeout } = options.once_settings().map_err(|why| anyhow!(why))?;
    for snapshot in scraper::once(pools, timeout).await? {
        let request = ExplainedRequest { path: &request.path, body: &body };
        let text = scraper::explain(&picker, request, snapshot).map_err(|why| anyhow!(why))?;
        print(&text)?;
    }
    Ok(())
}

fn print(text: &str) -> anyhow::Result<()> {
    io::stdout().write_all(text.as_bytes()).context("failed to print")
}

/// Prints the values that the manifests in these files become.
fn migrate(files: &[PathBuf]) -> anyhow::Result<()> {
    let mut manifests = String::new();
    let standard_input = [PathBuf::from("-")];
    for file in if files.is_empty() { &standard_input } else { files } {
        // Each file begins a document.
        manifests.push_str("\n---\n");
        if file == Path::new("-") {
            let read = io::stdin().read_to_string(&mut manifests);
            read.context("failed to read standard input")?;
        } else {
            let text = fs::read_to_string(file)
                .with_context(|| format!("failed to read {}", file.display()))?;
            manifests.push_str(&text);
        }
    }
    let values = scraper::migrate(&manifests).map_err(|why| anyhow!(why))?;
    print(&values)
}
