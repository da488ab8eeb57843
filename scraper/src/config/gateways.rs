//! `gateways`: the gateways that snapshots are pushed to.

use wire::config::{At, ConfigError};

use super::{checked, object_name, port, tls};
use crate::settings::{EnvoyUrl, GatewayService, Gateways};

/// The object `gateways`.
#[derive(Debug, Default)]
pub(super) struct GatewaysConfig {
    pub(super) gateways: Gateways,
    /// True if other gateways fetch their snapshots.
    pub(super) pull: bool,
}

pub(super) fn read(at: &At<'_>) -> Result<GatewaysConfig, ConfigError> {
    let object = at.object(&["urls", "service", "tls", "pull"])?;
    let urls = object.read("urls", Vec::new(), |at| {
        at.list()?.iter().map(|at| checked(at, str::parse)).collect()
    })?;
    let tls = object.get("tls").map(|at| tls::read(&at.object(&tls::KEYS)?)).transpose()?;
    if tls.is_none() && urls.iter().any(EnvoyUrl::is_https) {
        return Err(
            object.problem("found an https:// URL without tls; allowed: with tls".to_owned())
        );
    }
    let service = object.get("service").map(|at| service(&at)).transpose()?;
    let pull = object.read("pull", false, At::flag)?;
    Ok(GatewaysConfig { gateways: Gateways { urls, service, tls }, pull })
}

fn service(at: &At<'_>) -> Result<GatewayService, ConfigError> {
    let object = at.object(&["name", "namespace", "port"])?;
    Ok(GatewayService {
        name: object_name(&object.required("name")?)?,
        namespace: object.get("namespace").map(|at| object_name(&at)).transpose()?,
        port: object.get("port").map(|at| port(&at)).transpose()?,
        kubeconfig: None,
    })
}
