//! Who gets snapshots.

use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr, sync::Arc};

use hyper::Uri;

use crate::tls::TlsSettings;

/// Who gets snapshots: at least one of the two.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gateways {
    /// By URL, a name standing for all its addresses.
    pub urls: Vec<EnvoyUrl>,
    /// Behind a Service of Kubernetes.
    pub service: Option<GatewayService>,
    /// TLS, for URLs that begin with https:// and for the Service.
    pub tls: Option<Arc<TlsSettings>>,
}

/// A headless Service over the pods of a gateway, by its EndpointSlices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayService {
    /// Its name.
    pub name: String,
    /// If not that of the connection.
    pub namespace: Option<String>,
    /// The ingest listener's port, if not the first of the Service.
    pub port: Option<u16>,
    /// How to reach the API server, if not by `KUBECONFIG` or as a pod of the cluster.
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

    /// The same at one of the addresses of its name.
    pub(crate) fn at(&self, address: SocketAddr) -> Self {
        Self::new(self.https, address)
    }

    /// Whether TLS is spoken there.
    #[must_use]
    pub const fn is_https(&self) -> bool {
        self.https
    }

    /// `HOST:PORT`.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }
}

impl FromStr for EnvoyUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fail = |why: &str| format!("{text:?} is no Envoy: {why}");
        let uri: Uri = text.parse().map_err(|why| fail(&format!("{why}")))?;
        let https = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            Some(_) | None => return Err(fail("it must begin with http:// or https://")),
        };
        let authority = uri.authority().ok_or_else(|| fail("there is no host"))?;
        if authority.as_str().contains('@') {
            return Err(fail("leave out the user: pushes are signed with the secret"));
        }
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(fail("leave out the path: it is always /v1/snapshot"));
        }
        let port = authority.port_u16().unwrap_or(if https { 443 } else { 80 });
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
            "",
        ];
        insta::assert_snapshot!(texts.map(read).join("\n"), @r#"
        http://127.0.0.1:9901
        http://gateway:80
        http://[::1]:9901
        https://gateway:443
        "gateway:9901" is no Envoy: it must begin with http:// or https://
        "http://gateway/v1/snapshot" is no Envoy: leave out the path: it is always /v1/snapshot
        "http://me@gateway" is no Envoy: leave out the user: pushes are signed with the secret
        "" is no Envoy: empty string
        "#);
    }
}
