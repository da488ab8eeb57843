//! Pools that are scraped.

use std::{collections::BTreeMap, fmt, path::PathBuf, sync::Arc};

use wire::{
    metrics::Engines,
    snapshot::{POOL_NAME_MAX, is_object_name},
};

use super::{endpoints::ListedEndpoints, objectives::Objectives, tls::TlsSettings};

/// Settings of one pool.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolSettings {
    /// Name of the pool, as in the plugin's configuration.
    pub name: String,
    /// Source of the pool's endpoints.
    pub discovery: Discovery,
    /// Objectives given at start. They take precedence over discovered ones of the same name.
    pub objectives: Objectives,
    /// Engines that the pool's pods may run.
    pub engines: Engines,
    /// Place of each pod's metrics page.
    pub source: MetricsSource,
}

/// Place of each pod's metrics page (EPP: metrics-data-source).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetricsSource {
    /// Path of the page; that of the pod's engine if none is given.
    pub path: Option<String>,
    /// Port of the page; the one that serves requests if none is given.
    pub port: Option<u16>,
    /// TLS, if the page is served over HTTPS.
    pub tls: Option<Arc<TlsSettings>>,
}

/// An InferencePool of Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InferencePool {
    /// Name of the InferencePool.
    pub name: String,
    /// Namespace; that of the connection if none is given, which in a cluster is the scraper's own.
    pub namespace: Option<String>,
    /// File that says how to reach the API server; else `KUBECONFIG`, else as a pod of the cluster.
    pub kubeconfig: Option<PathBuf>,
    /// True if zones are read off the nodes, for clusters that don't label pods with their zone.
    pub node_zones: bool,
}

/// Pods of a Kubernetes cluster by their labels, where no InferencePool selects them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectedPods {
    /// Labels that the pods have, one at least.
    pub labels: BTreeMap<String, String>,
    /// Port of each pod that serves requests.
    pub port: u16,
    /// Namespace; that of the connection if none is given, which in a cluster is the scraper's own.
    pub namespace: Option<String>,
    /// File that says how to reach the API server; else `KUBECONFIG`, else as a pod of the cluster.
    pub kubeconfig: Option<PathBuf>,
    /// True if zones are read off the nodes, for clusters that don't label pods with their zone.
    pub node_zones: bool,
}

/// Source of a pool's endpoints.
#[derive(Clone, Debug, PartialEq)]
pub enum Discovery {
    /// A list of an operator.
    Listed(ListedEndpoints),
    /// An InferencePool of a Kubernetes cluster.
    InferencePool(InferencePool),
    /// Pods of a Kubernetes cluster by their labels.
    Pods(SelectedPods),
}

impl InferencePool {
    /// Reads `[NAMESPACE/]NAME`.
    ///
    /// # Errors
    /// If the name or the namespace is no name of a Kubernetes object.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (namespace, name) = match text.split_once('/') {
            Some((namespace, name)) => (Some(namespace), name),
            None => (None, text),
        };
        if !is_object_name(name) || namespace.is_some_and(|name| !is_object_name(name)) {
            return Err(format!("found {text:?}; allowed: [NAMESPACE/]NAME of a-z 0-9 - ."));
        }
        Ok(Self {
            name: name.to_owned(),
            namespace: namespace.map(str::to_owned),
            kubeconfig: None,
            node_zones: false,
        })
    }
}

impl fmt::Display for Discovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listed(ListedEndpoints { endpoints, file }) => {
                let names: Vec<_> = endpoints.iter().map(|it| it.authority.as_str()).collect();
                let file = file.iter().map(|file| format!("the file {}", file.display()));
                let sources = names.into_iter().map(str::to_owned).chain(file);
                f.write_str(&sources.collect::<Vec<_>>().join(", "))
            }
            Self::InferencePool(InferencePool { name, namespace, .. }) => match namespace {
                Some(namespace) => write!(f, "InferencePool {namespace}/{name}"),
                None => write!(f, "InferencePool {name}"),
            },
            Self::Pods(SelectedPods { labels, port, namespace, .. }) => {
                let labels: Vec<_> =
                    labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
                let namespace =
                    namespace.iter().map(|name| format!(" of {name}")).collect::<String>();
                write!(f, "pods{namespace} with {}, port {port}", labels.join(","))
            }
        }
    }
}

/// Checks the name of a pool, which is also a part of keys in Envoy's shared data.
///
/// # Errors
/// If the name is too long or has other characters than the plugin's configuration takes.
pub fn pool_name(name: &str) -> Result<String, String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if (1..=POOL_NAME_MAX).contains(&name.len()) && name.bytes().all(allowed) {
        return Ok(name.to_owned());
    }
    Err(format!("found {name:?}; allowed: 1 to {POOL_NAME_MAX} of A-Z a-z 0-9 . _ -"))
}
