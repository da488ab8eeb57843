//! Certificates, under the EPP's names (metrics-data-source).

use std::sync::Arc;

use wire::config::{At, ConfigError, Object};

use crate::tls::TlsSettings;

pub(super) const KEYS: [&str; 5] =
    ["caCertPath", "clientCertPath", "clientKeyPath", "insecureSkipVerify", "serverName"];

/// The files are read once here, so that a wrong one is told of at start.
pub(super) fn read(object: &Object<'_>) -> Result<Arc<TlsSettings>, ConfigError> {
    let text = |key| object.get(key).map(|at| at.text().map(str::to_owned)).transpose();
    let ca = text("caCertPath")?;
    let skip = object.read("insecureSkipVerify", false, At::flag)?;
    if ca.is_some() == skip {
        let allowed = "caCertPath or insecureSkipVerify: true, and not both";
        return Err(object.problem(format!("HTTPS needs {allowed}")));
    }
    let client = match (text("clientCertPath")?, text("clientKeyPath")?) {
        (Some(certificate), Some(key)) => Some((certificate.into(), key.into())),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => {
            let allowed = "both of clientCertPath and clientKeyPath, or neither";
            return Err(object.problem(format!("found one of two; allowed: {allowed}")));
        }
    };
    let tls = TlsSettings { ca: ca.map(Into::into), client, server_name: text("serverName")? };
    tls.load().map_err(|why| object.problem(why))?;
    Ok(Arc::new(tls))
}
