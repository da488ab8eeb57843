//! Gateways that snapshots are pushed to.

use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr, sync::Arc};

use hyper::Uri;

use super::tls::TlsSettings;

/// Gateways that snapshots are pushed to: by URL, by Service, or both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gateways {
    /// URLs of ingest listeners. A name in one stands for all its addresses.
    pub urls: Vec<EnvoyUrl>,
    /// Kubernetes Service over the pods of a gateway.
    pub service: Option<GatewayService>,
    /// TLS, for URLs that begin with https:// and for the Service.
    pub tls: Option<Arc<TlsSettings>>,
}

/// A headless Service over the pods of a gateway, which are found by its EndpointSlices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayService {
    /// Name of the Service.
    pub name: String,
    /// Namespace of the Service; that of the connection if none is given.
    pub namespace: Option<String>,
    /// Port of the ingest listener; the Service's first port if none is given.
    pub port: Option<u16>,
    /// File that says how to reach the API server; else `KUBECONFIG`, else as a pod of the cluster.
    pub kubeconfig: Option<PathBuf>,
}

/// The ingest listener of one Envoy: `http://HOST[:PORT]` or `https://HOST[:PORT]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EnvoyUrl {
    https: bool,
    authority: String,
}

impl EnvoyUrl {
    pub(crate) fn new(https: bool, address: SocketAddr) -> Self {
        Self { https, authority: address.to_string() }
    }

    /// Returns the URL with the host's name replaced by one of its addresses.
    pub(crate) fn at(&self, address: SocketAddr) -> Self {
        Self::new(self.https, address)
    }

    /// True if the listener speaks TLS.
    #[must_use]
    pub const fn is_https(&self) -> bool {
        self.https
    }

    /// Returns `HOST:PORT`.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }
}

impl FromStr for EnvoyUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fail = |why: &str| format!("invalid gateway URL {text:?}: {why}");
        let uri: Uri = text.parse().map_err(|why| fail(&format!("{why}")))?;
        let https = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            Some(_) | None => return Err(fail("must start with http:// or https://")),
        };
        let authority = uri.authority().ok_or_else(|| fail("must have a host"))?;
        if authority.as_str().contains('@') {
            return Err(fail("must not name a user"));
        }
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(fail("must end with its host and port, without a path"));
        }
        let names_port = authority.as_str().len() > authority.host().len();
        let port = match authority.port_u16().filter(|port| *port > 0) {
            Some(port) => port,
            None if names_port => return Err(fail("must have a port from 1 to 65535, or none")),
            None if https => 443,
            None => 80,
        };
        Ok(Self { https, authority: format!("{}:{port}", authority.host()) })
    }
}

impl fmt::Display for EnvoyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.https { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.authority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envoy_is_a_scheme_a_host_and_a_port() {
        let read = |text: &str| match text.parse::<EnvoyUrl>() {
            Ok(url) => url.to_string(),
            Err(why) => why,
        };
        let texts = [
            "http://127.0.0.1:9901",
            "http://gateway/",
            "http://[::1]:9901",
            "https://gateway:443",
            "gateway:9901",
            "http://gateway/v1/snapshot",
            "http://me@gateway",
            "http://gateway:99999",
            "https://gateway:0",
            "http://[::1]:",
            "",
        ];
        insta::assert_snapshot!(texts.map(read).join("\n"), @r#"
        http://127.0.0.1:9901
        http://gateway:80
        http://[::1]:9901
        https://gateway:443
        invalid gateway URL "gateway:9901": must start with http:// or https://
        invalid gateway URL "http://gateway/v1/snapshot": must end with its host and port, without a path
        invalid gateway URL "http://me@gateway": must not name a user
        invalid gateway URL "http://gateway:99999": must have a port from 1 to 65535, or none
        invalid gateway URL "https://gateway:0": must have a port from 1 to 65535, or none
        invalid gateway URL "http://[::1]:": must have a port from 1 to 65535, or none
        invalid gateway URL "": empty string
        "#);
    }
}
