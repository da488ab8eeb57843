//! `gateways`: who gets snapshots.

use wire::config::{At, ConfigError};

use super::{checked, port, tls};
use crate::settings::{EnvoyUrl, GatewayService, Gateways};

/// They, and whether others come and fetch.
pub(super) fn read(at: &At<'_>) -> Result<(Gateways, bool), ConfigError> {
    let object = at.object(&["urls", "service", "tls", "pull"])?;
    let urls = object.read("urls", Vec::new(), |at| {
        at.list()?.iter().map(|at| checked(at, str::parse)).collect()
    })?;
    let tls = object.get("tls").map(|at| tls::read(&at.object(&tls::KEYS)?)).transpose()?;
    if tls.is_none() && urls.iter().any(EnvoyUrl::is_https) {
        return Err(object.problem("found an https:// URL; allowed: with tls".to_owned()));
    }
    let service = object.get("service").map(|at| service(&at)).transpose()?;
    Ok((Gateways { urls, service, tls }, object.read("pull", false, At::flag)?))
}

fn service(at: &At<'_>) -> Result<GatewayService, ConfigError> {
    let object = at.object(&["name", "namespace", "port"])?;
    let text = |at: At<'_>| at.text().map(str::to_owned);
    Ok(GatewayService {
        name: object.required("name")?.text()?.to_owned(),
        namespace: object.get("namespace").map(text).transpose()?,
        port: object.get("port").map(|at| port(&at)).transpose()?,
        kubeconfig: None,
    })
}
