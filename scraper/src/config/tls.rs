//! Certificates, under the EPP's names (metrics-data-source).

use std::sync::Arc;

use wire::config::{At, ConfigError, Object};

use crate::settings::{ClientCertificate, TlsSettings};

pub(super) const KEYS: [&str; 5] =
    ["caCertPath", "clientCertPath", "clientKeyPath", "insecureSkipVerify", "serverName"];

/// Reads the settings, and once the files, so that a wrong file is reported at start.
pub(super) fn read(object: &Object<'_>) -> Result<Arc<TlsSettings>, ConfigError> {
    let text = |key| object.get(key).map(|at| at.text().map(str::to_owned)).transpose();
    let ca = text("caCertPath")?;
    let skip = object.read("insecureSkipVerify", false, At::flag)?;
    if ca.is_some() == skip {
        let must = "must have either caCertPath or insecureSkipVerify: true";
        return Err(object.problem(format!("invalid HTTPS: {must}")));
    }
    let client = match (text("clientCertPath")?, text("clientKeyPath")?) {
        (Some(certificate), Some(key)) => {
            Some(ClientCertificate { certificate: certificate.into(), key: key.into() })
        }
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
