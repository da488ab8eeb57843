//! The gateways of a stack: their ports and folders, and the start of one.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::{
    Programs, Template, Way,
    bootstrap::{Balancing, Bootstrap, Ports, discovered},
    envoy::{Envoy, EnvoyLaunch, SECRET_ENVS},
};

/// The place of one gateway of a stack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GatewayPlan<'a> {
    /// Folder of the stack.
    pub(crate) folder: &'a Path,
    /// Number beside the first gateway, which has 0.
    pub(crate) number: usize,
    pub(crate) ports: Ports,
}

/// Recipe by which every gateway of a stack is started.
#[derive(Debug)]
pub(crate) struct GatewayRecipe {
    pub(crate) programs: Programs,
    pub(crate) way: Way,
    /// Number of each Envoy's worker threads.
    pub(crate) workers: usize,
    /// Template that takes the place of the way's own.
    pub(crate) template: Option<Template>,
    /// Balancing of an Envoy without our filter; `None` with our filter.
    pub(crate) alone: Option<Balancing>,
    pub(crate) delivery: Delivery,
    /// Variables of Envoy's environment, the secrets among them.
    pub(crate) env: Vec<(&'static str, String)>,
    /// The plugin's whole configuration.
    pub(crate) plugin: Value,
    /// Addresses of the pods.
    pub(crate) endpoints: Vec<SocketAddr>,
}

/// The way in which Envoy gets the plugin's configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// In the bootstrap, for good.
    Bootstrap,
    /// In a file that Envoy watches.
    File,
}

impl GatewayRecipe {
    /// Starts a gateway, and waits until it accepts requests.
    pub(crate) async fn start(&self, plan: GatewayPlan<'_>) -> Result<Envoy> {
        let GatewayPlan { folder, number, ports } = plan;
        let dir = gateway_folder(folder, number);
        fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
        let yaml = self.bootstrap(&dir, ports)?;
        let name = if number == 0 { "envoy".to_owned() } else { format!("envoy {}", number + 1) };
        let (workers, env) = (self.workers, self.env.clone());
        Envoy::start(&self.programs, EnvoyLaunch { name, dir: &dir, yaml: &yaml, workers, env })
            .await
    }

    /// Writes the files that the bootstrap names, and returns the bootstrap's text.
    fn bootstrap(&self, dir: &Path, ports: Ports) -> Result<String> {
        let ingest = json!({"ingest": {"secretEnv": SECRET_ENVS}});
        let bootstrap = Bootstrap {
            way: self.way,
            template: self.template.as_ref(),
            dir,
            ports,
            wasm: &self.programs.wasm,
            plugin: &self.plugin,
            ingest: &ingest,
            endpoints: &self.endpoints,
            alone: self.alone,
        };
        for (name, text) in bootstrap.files()? {
            let file = dir.join(name);
            fs::write(&file, text).with_context(|| file.display().to_string())?;
        }
        let yaml = bootstrap.render()?;
        if self.delivery == Delivery::Bootstrap {
            return Ok(yaml);
        }
        let (bootstrap, discovered) = discovered(&yaml, dir)?;
        discovered.write(dir)?;
        Ok(bootstrap)
    }
}

/// Returns the ports of so many gateways, the first one's in front: one behind the other from `first` on, or free ones
/// for 0.
///
/// # Errors
/// For no gateway, and for a port that is taken or none.
pub(crate) fn ports(first: u16, gateways: usize) -> Result<Vec<Ports>> {
    ensure!(gateways > 0, "found no gateways; at least one is needed");
    (0..gateways)
        .map(|number| {
            let offset = if first == 0 { 0 } else { u16::try_from(number)? };
            let port = first.checked_add(offset);
            let gateway = port.context("the gateways' ports end above 65,535: lower --port")?;
            ensure_free(gateway)?;
            Ok(Ports { gateway, ingest: 0 })
        })
        .collect()
}

/// Returns the folder of a gateway's files; the first one's is the stack's own.
pub(crate) fn gateway_folder(stack: &Path, number: usize) -> PathBuf {
    if number == 0 { stack.to_owned() } else { stack.join(format!("gateway-{}", number + 1)) }
}

/// Fails if the port is taken. Envoy would share it with any other program that allows that,
/// silently.
fn ensure_free(port: u16) -> Result<()> {
    let free = TcpListener::bind(("127.0.0.1", port));
    ensure!(free.is_ok(), "port {port} is taken on 127.0.0.1: choose another with --port");
    Ok(())
}
