//! What is scraped.

use std::{fmt, path::PathBuf, sync::Arc};

use wire::{
    metrics::Engines,
    snapshot::{POOL_NAME_MAX, is_object_name},
};

use crate::{objectives::Objectives, targets::Listed, tls::TlsSettings};

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
