//! What a scraper is told at start, already checked.

use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr, sync::Arc, time::Duration};

use hyper::Uri;
use wire::{
    config::parse_duration,
    metrics::Engines,
    push,
    snapshot::{POOL_NAME_MAX, is_object_name},
};

use crate::{objectives::Objectives, plugin::Plugin, targets::Listed, tls::TlsSettings};

/// The shortest secret taken: 128 bits, below which a signature could be guessed.
pub const SECRET_BYTES_MIN: usize = 16;

/// Everything that [`crate::Scraper::start`] needs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What is scraped.
    pub pools: Vec<PoolSettings>,
    /// Who gets snapshots.
    pub gateways: Gateways,
    /// How often scrapes and pushes are made.
    pub pace: Pace,
    /// Where the scraper's own pages are served; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Signs the pushes.
    pub secret: Secret,
    /// Served beside the pages, if there is one.
    pub plugin: Option<Plugin>,
}

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

/// One pool.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolSettings {
    /// Its name, as in the plugin's configuration.
    pub name: String,
    /// Where its endpoints come from.
    pub discovery: Discovery,
    /// Objectives given once and for all. They come before discovered ones of the same name.
    pub objectives: Objectives,
    /// Which engines its pods may run.
    pub engines: Engines,
    /// Where each pod's page is.
    pub source: MetricsSource,
}

/// How often scrapes and pushes are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Between two scrapes of a pod, and between two pushes.
    pub interval: Duration,
    /// Between two scrapes of a pod that has no requests.
    pub idle_interval: Duration,
    /// For one scrape or push, connecting included.
    pub timeout: Duration,
    /// Scrapes at once, over all pools.
    pub scrapes: usize,
}

impl Pace {
    /// Between two scrapes of a pod.
    #[must_use]
    pub fn interval(&self, idle: bool) -> Duration {
        if idle { self.idle_interval.max(self.interval) } else { self.interval }
    }
}

/// Where each pod's page is (EPP: metrics-data-source).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetricsSource {
    /// If not where the engine has it.
    pub path: Option<String>,
    /// If not on the port that serves requests.
    pub port: Option<u16>,
    /// With TLS, if it is HTTPS.
    pub tls: Option<Arc<TlsSettings>>,
}

/// An InferencePool of Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InferencePool {
    /// Its name.
    pub name: String,
    /// If not that of the connection: in a cluster, the scraper's own.
    pub namespace: Option<String>,
    /// How to reach the API server, if not by `KUBECONFIG` or as a pod of the cluster.
    pub kubeconfig: Option<PathBuf>,
    /// Whether zones are read off the nodes, for clusters whose pods don't have the label.
    pub node_zones: bool,
}

/// Where the endpoints of a pool come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Discovery {
    /// An operator lists them.
    Listed(Listed),
    /// A Kubernetes cluster has them.
    InferencePool(InferencePool),
}

impl InferencePool {
    /// Reads `[NAMESPACE/]NAME`.
    ///
    /// # Errors
    /// If the name is none of a Kubernetes object.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (namespace, name) = match text.split_once('/') {
            Some((namespace, name)) => (Some(namespace), name),
            None => (None, text),
        };
        if !is_object_name(name) || namespace.is_some_and(|name| !is_object_name(name)) {
            return Err(format!("found {text:?}; allowed: [NAMESPACE/]NAME of a-z 0-9 - ."));
        }
        let (name, namespace) = (name.to_owned(), namespace.map(str::to_owned));
        Ok(Self { name, namespace, kubeconfig: None, node_zones: false })
    }
}

impl fmt::Display for Discovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listed(Listed { endpoints, file }) => {
                let names: Vec<_> = endpoints.iter().map(|it| it.authority.as_str()).collect();
                let file = file.iter().map(|file| format!("the file {}", file.display()));
                let sources = names.into_iter().map(str::to_owned).chain(file);
                f.write_str(&sources.collect::<Vec<_>>().join(", "))
            }
            Self::InferencePool(InferencePool { name, namespace, .. }) => match namespace {
                Some(namespace) => write!(f, "InferencePool {namespace}/{name}"),
                None => write!(f, "InferencePool {name}"),
            },
        }
    }
}

/// The name of a pool, which is also a part of keys in Envoy's shared data.
///
/// # Errors
/// If it is too long or has other characters than the plugin's configuration takes.
pub fn pool_name(name: &str) -> Result<String, String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if (1..=POOL_NAME_MAX).contains(&name.len()) && name.bytes().all(allowed) {
        return Ok(name.to_owned());
    }
    Err(format!("found {name:?}; allowed: 1 to {POOL_NAME_MAX} of A-Z a-z 0-9 . _ -"))
}

/// A duration from a millisecond, which is as fine as tokio's timer, to an hour.
///
/// # Errors
/// If it is none, or too short or too long.
pub fn duration(text: &str) -> Result<Duration, String> {
    let bounds = Duration::from_millis(1)..=Duration::from_secs(3600);
    parse_duration(text).filter(|it| bounds.contains(it)).ok_or_else(|| {
        format!("found {text:?}; allowed: a number with a unit, as in 50ms or 1s, from 1ms to 1h")
    })
}

/// The secret that scraper and Envoys share. Its `Debug` form does not show it.
#[derive(Clone)]
pub struct Secret(push::Secret);

impl Secret {
    /// # Errors
    /// If it has fewer than [`SECRET_BYTES_MIN`] bytes.
    pub fn new(bytes: &[u8]) -> Result<Self, String> {
        match push::Secret::new(bytes) {
            Some(key) if bytes.len() >= SECRET_BYTES_MIN => Ok(Self(key)),
            Some(_) | None => Err(format!(
                "it has {} bytes, and must have {SECRET_BYTES_MIN} or more",
                bytes.len()
            )),
        }
    }

    pub(crate) const fn key(&self) -> &push::Secret {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
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

    #[test]
    fn durations_have_units_and_bounds() {
        assert_eq!(duration("50ms"), Ok(Duration::from_millis(50)));
        assert_eq!(duration("1m30s"), Ok(Duration::from_secs(90)));
        for wrong in ["50", "0s", "999us", "2h", "-1s", "fast"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_short_secret_is_refused_and_a_long_one_not_shown() {
        assert!(Secret::new(&[b'x'; SECRET_BYTES_MIN - 1]).is_err());
        let secret = Secret::new(&[b'x'; SECRET_BYTES_MIN]).unwrap();
        assert_eq!(format!("{secret:?}"), "Secret");
    }
}
