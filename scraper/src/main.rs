//! `llm-scraper`: see `--help`.

mod args;

use std::{
    io::{self, IsTerminal, Write},
    process::ExitCode,
};

use anyhow::{Context, anyhow};
use clap::Parser;
use scraper::Scraper;
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
    let settings = args.settings().map_err(|why| anyhow!(why))?;
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
