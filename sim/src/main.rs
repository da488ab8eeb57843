//! `vllm-sim`: the simulated vLLM as a program.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::Parser;
use sim::{Options, Server};
use tracing_subscriber::EnvFilter;

fn main() -> io::Result<ExitCode> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_writer(io::stderr).with_env_filter(filter).init();
    let server = match Server::start(Options::parse()) {
        Ok(server) => server,
        Err(error) => {
            writeln!(io::stderr(), "vllm-sim: {error}")?;
            return Ok(ExitCode::from(2));
        }
    };
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
