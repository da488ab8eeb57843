//! The commands of the program.

mod args;

use std::{
    fmt::Write as _,
    fs,
    io::{self, ErrorKind, Read as _, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, anyhow, ensure};
use clap::CommandFactory as _;
use clap_mangen::Man;
use scraper::{
    CheckedFile, DebugWish, ExplainedRequest, GatewayQuestion, Migrated, Scraper, Settings,
    settings::PoolSettings,
};
use tokio::signal::unix::{SignalKind, signal};
use tracing::info;

pub(crate) use args::Args;
use args::{Command, DebugHeaderArgs, ExplainArgs, OnceSettings, Options, ReadyArgs};

/// Exit code of a check that found faults.
const FAULTY: u8 = 1;
/// Exit code of a check of what cannot be read, which is that of a wrong command line too.
const UNREADABLE: u8 = 2;

/// Does what the command line says, and returns the code to exit with.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { options, command, check, once } = args;
    let done = match command {
        Some(Command::Check { files }) => return check_files(&files),
        Some(Command::Explain(request)) => explain(options, request).await,
        Some(Command::DebugHeader(args)) => print_debug_header(&options, &args),
        Some(Command::Ready(ReadyArgs { address, timeout })) => {
            print(&scraper::ready(&address, timeout).await.map_err(|why| anyhow!(why))?)
        }
        Some(Command::Completions { shell }) => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Args::command(), "llm-scraper", &mut text);
            print(&String::from_utf8_lossy(&text))
        }
        Some(Command::Man) => {
            let mut text = Vec::new();
            Man::new(Args::command()).render(&mut text)?;
            print(&String::from_utf8_lossy(&text))
        }
        Some(Command::Migrate { files, plugin }) => migrate(&files, plugin),
        None if once => print_once(options).await,
        None if check => print_check(&options.settings().map_err(|why| anyhow!(why))?),
        None => scrape(options.settings().map_err(|why| anyhow!(why))?).await,
    };
    done.map(|()| ExitCode::SUCCESS)
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
    let answers = snapshots.iter().flat_map(|snapshot| &snapshot.endpoints);
    let is_answered = answers.clone().any(|endpoint| endpoint.metrics.is_some());
    let asked = answers.count();
    let snapshots = snapshots.iter().map(scraper::to_json).collect::<Vec<_>>();
    print(&format!("{:#}\n", serde_json::Value::from(snapshots)))?;
    // A script that waits for pods goes by the exit code.
    ensure!(is_answered, "none of {asked} endpoints could be read");
    Ok(())
}

fn print_debug_header(options: &Options, args: &DebugHeaderArgs) -> anyhow::Result<()> {
    let secret = options.shared_secret().map_err(|why| anyhow!(why))?;
    let wish = if args.explain { DebugWish::Explanation } else { DebugWish::Decision };
    let header = scraper::debug_header(&secret, wish, args.lifetime).map_err(|why| anyhow!(why))?;
    print(&format!("{}: {}\n", header.name, header.value))
}

async fn explain(options: Options, request: ExplainArgs) -> anyhow::Result<()> {
    let body = fs::read(&request.body)
        .with_context(|| format!("failed to read {}", request.body.display()))?;
    if let Some(gateway) = &request.gateway {
        let needs_ca = gateway.is_https() && request.ca.is_none() && !request.insecure_skip_verify;
        ensure!(!needs_ca, "{gateway} needs --ca FILE or --insecure-skip-verify");
        let secret = options.shared_secret().map_err(|why| anyhow!(why))?;
        let question = GatewayQuestion {
            gateway,
            headers: &request.headers,
            request: ExplainedRequest { path: &request.path, body: &body },
            secret: &secret,
            ca: request.ca,
            timeout: options.time_max(),
        };
        let text = scraper::ask_gateway(question).await.map_err(|why| anyhow!(why))?;
        return print(&text);
    }
    let (name, text) = match &request.picker {
        Some(path) => (path.display().to_string(), read_text(path)?),
        None => Default::default(),
    };
    let picker = scraper::read_plugin(&name, &text).map_err(|why| anyhow!(why))?;
    let OnceSettings { pools, timeout } = options.once_settings().map_err(|why| anyhow!(why))?;
    for snapshot in scraper::once(pools, timeout).await? {
        let request = ExplainedRequest { path: &request.path, body: &body };
        let text =
            scraper::explain(picker.clone(), request, snapshot).map_err(|why| anyhow!(why))?;
        print(&text)?;
    }
    Ok(())
}

/// Prints a text. A reader that has seen enough, as `head` has, is no failure.
fn print(text: &str) -> anyhow::Result<()> {
    let mut output = io::stdout();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Err(why) if why.kind() != ErrorKind::BrokenPipe => Err(why).context("failed to print"),
        Err(_) | Ok(()) => Ok(()),
    }
}

/// Reads a file, or standard input for "-".
fn read_text(path: &Path) -> anyhow::Result<String> {
    let read = if path == Path::new("-") {
        let mut text = String::new();
        return io::stdin()
            .read_to_string(&mut text)
            .map(|_| text)
            .context("failed to read standard input");
    } else {
        fs::read_to_string(path)
    };
    read.with_context(|| format!("failed to read {}", path.display()))
}

/// Returns the files to read, which are standard input if none is named.
fn inputs(files: &[PathBuf]) -> Vec<PathBuf> {
    if files.is_empty() { vec![PathBuf::from("-")] } else { files.to_vec() }
}

/// Prints everything that is wrong with these files.
fn check_files(files: &[PathBuf]) -> anyhow::Result<ExitCode> {
    let mut checked = Vec::new();
    for path in inputs(files) {
        match read_text(&path) {
            Ok(text) => checked.push(CheckedFile { name: path.display().to_string(), text }),
            Err(why) => {
                let _ = writeln!(io::stderr(), "llm-scraper: {why:#}");
                return Ok(UNREADABLE.into());
            }
        }
    }
    let report = scraper::check(&checked);
    print(&report.text)?;
    Ok(if report.faults == 0 { ExitCode::SUCCESS } else { FAULTY.into() })
}

/// Prints the values, or the plugin's configuration, that the manifests in these files become.
fn migrate(files: &[PathBuf], plugin: bool) -> anyhow::Result<()> {
    let mut manifests = String::new();
    for file in inputs(files) {
        // Each file begins a document.
        manifests.push_str("\n---\n");
        manifests.push_str(&read_text(&file)?);
    }
    if plugin {
        let Migrated { text, notes } =
            scraper::migrate_plugin(&manifests).map_err(|why| anyhow!(why))?;
        for note in notes {
            let _ = writeln!(io::stderr(), "llm-scraper: {note}");
        }
        return print(&text);
    }
    let values = scraper::migrate(&manifests).map_err(|why| anyhow!(why))?;
    print(&values)
}
