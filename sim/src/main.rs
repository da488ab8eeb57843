//! `vllm-sim`: the simulated vLLM as a program.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::Parser;
use sim::{Options, Server};

fn main() -> anyhow::Result<ExitCode> {
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env()
                .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info")),
        )
        .init();
    let server = Server::start(Options::parse())?;
    let mut out = io::stdout().lock();
    writeln!(out, "listening: http://{}", server.addr)?;
    if let Some(admin) = server.admin {
        writeln!(out, "admin: http://{admin}")?;
    }
    out.flush()?;
    drop(out);
    server.wait();
    // Only a simulated death ends the server from within.
    Ok(ExitCode::FAILURE)
}
