//! `llm-scraper`: see `--help`.

mod cli;

use std::{
    io::{self, IsTerminal, Write},
    process::ExitCode,
};

use clap::Parser;
use tracing_subscriber::EnvFilter;

/// Runs the program on one thread: 256 pods at 20 Hz need a part of one core, and tasks that never
/// change threads need the least of it.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    scraper::abort_on_panic();
    let args = cli::Args::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let colours = io::stderr().is_terminal();
    let log = tracing_subscriber::fmt().with_writer(io::stderr).with_ansi(colours);
    log.with_env_filter(filter).with_target(false).init();
    match cli::run(args).await {
        Ok(code) => code,
        Err(why) => {
            let _ = writeln!(io::stderr(), "llm-scraper: {why:#}");
            ExitCode::FAILURE
        }
    }
}
