//! `build.sh cluster`: a Kubernetes control plane with Istio on one machine, without containers.
//!
//! etcd, the API server, the controller manager and istiod are the real ones; the chart's and Istio's own Deployments run
//! in them. The node is played: it gives each pod an address in a network namespace of its own and starts the
//! pod's program as a process there. `tools/cluster/inside.sh` starts this program in namespaces that end with it.

mod api;
mod control_plane;
mod istio;
mod node;
mod pki;
mod process;
mod programs;

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Context, Result};
use clap::Parser;
use tokio::process::Command;

use api::Api;
use node::Node;
use programs::Programs;

/// Brings a cluster up, and runs a command over it or waits for Ctrl-C.
#[derive(Debug, Parser)]
#[command(name = "llm-picker-cluster", version)]
struct Args {
    /// The project's folder, with all that `./build.sh cluster` builds.
    #[arg(long, default_value = ".")]
    root: PathBuf,
    /// An empty folder for certificates, logs and the pods' files.
    #[arg(long)]
    folder: PathBuf,
    /// A command to run once the cluster is there, with KUBECONFIG set; the cluster ends with it.
    #[arg(last = true)]
    command: Vec<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Args::parse()).await {
        Ok(code) => code,
        Err(error) => {
            say(&format!("llm-picker-cluster: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &Args) -> Result<ExitCode> {
    let folder = args.folder.canonicalize().context(args.folder.display().to_string())?;
    let programs = Programs::found_in(&args.root.canonicalize()?)?;
    let plane = control_plane::start(&programs, &folder).await?;
    let api = Api::connect(&plane.kubeconfig).await?;
    tokio::spawn(Node::new(api.clone(), programs.clone(), folder.clone()).run());
    istio::install(&programs, &api, &plane).await?;
    say(&format!("the cluster is there; KUBECONFIG={}", plane.kubeconfig.display()));
    let Some((program, arguments)) = args.command.split_first() else {
        // The namespaces end with the script that made them, and all processes in them.
        return std::future::pending().await;
    };
    let mut command = Command::new(program);
    command.args(arguments).envs(plane.environment());
    let status = command.status().await.with_context(|| program.clone())?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}
