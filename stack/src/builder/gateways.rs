//! The gateways of a stack: their ports and folders, and the start of one.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::Builder;
use crate::{
    bootstrap::Ports,
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

impl Builder {
    /// Returns the ports of every gateway, the first one's in front.
    ///
    /// # Errors
    /// For no gateway, and for a port that is taken or none.
    pub(super) fn ports(&self) -> Result<Vec<Ports>> {
        ensure!(self.gateways > 0, "found no gateways; at least one is needed");
        (0..self.gateways)
            .map(|number| {
                let offset = if self.port == 0 { 0 } else { u16::try_from(number)? };
                let port = self.port.checked_add(offset);
                let gateway = port.context("the gateways' ports end above 65,535: lower --port")?;
                ensure_free(gateway)?;
                Ok(Ports { gateway, ingest: 0 })
            })
            .collect()
    }

    /// Starts a gateway in front of these endpoints, with this configuration of the plugin and the secret of the pushes.
    pub(crate) async fn gateway(
        &self,
        plan: GatewayPlan<'_>,
        endpoints: &[SocketAddr],
        plugin: &Value,
        secret: &str,
    ) -> Result<Envoy> {
        let GatewayPlan { folder, number, ports } = plan;
        let dir = gateway_folder(folder, number);
        fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
        let yaml = self.bootstrap(&dir, ports, endpoints, plugin)?;
        let mut env = self.envoy_env.clone();
        let secrets = [Some(secret), self.next_secret.as_deref()].into_iter().flatten();
        env.extend(SECRET_ENVS.into_iter().zip(secrets.map(str::to_owned)));
        let name = if number == 0 { "envoy".to_owned() } else { format!("envoy {}", number + 1) };
        let launch = EnvoyLaunch { name, dir: &dir, yaml: &yaml, workers: self.workers, env };
        Envoy::start(&self.programs, launch).await
    }
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
