//! The Kubernetes API: a connection, and watches that resume by themselves.
//!
//! kube-rs lists, watches from where the list ended, goes on from the last bookmark when a
//! connection drops, and lists again when that version has expired: at once here, while behind
//! any other failure the next try waits, for 5 s at most. The fields of the objects are read in `wire`.

mod retry;
mod store;
mod watch_health;

use std::{path::Path, time::Duration};

use futures_util::{StreamExt, stream::BoxStream};
use kube::{
    Api, Client, Config,
    api::{ApiResource, DynamicObject},
    client::ClientBuilder,
    config::{KubeConfigOptions, Kubeconfig},
    runtime::{
        WatchStreamExt,
        watcher::{self, Error, Event, watcher},
    },
};
use tower::limit::RateLimitLayer;

pub(crate) use store::Store;
pub(crate) use watch_health::WatchHealth;

/// Requests of one pool in [`REQUESTS_PERIOD`]: a start lists and watches six kinds. A watch that
/// ends as soon as it began, as behind a proxy that is broken, is begun again without any wait by
/// kube-rs, and must not become a load on the API server.
const REQUESTS_MAX: u64 = 20;

const REQUESTS_PERIOD: Duration = Duration::from_secs(1);

/// A kind of objects, as the API server names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Resource {
    /// API group; empty for the core group.
    pub(crate) group: &'static str,
    pub(crate) version: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) plural: &'static str,
}

/// An item of a watch.
pub(crate) type Change = Result<Event<DynamicObject>, Error>;

/// Connects to the API server of `kubeconfig`, else of the environment variable `KUBECONFIG`, else
/// of the cluster that the scraper runs in.
pub(crate) async fn connect(kubeconfig: Option<&Path>) -> Result<Client, String> {
    let config = match kubeconfig {
        None => Config::infer().await.map_err(|why| why.to_string()),
        Some(path) => {
            let file = Kubeconfig::read_from(path).map_err(|why| why.to_string())?;
            let options = KubeConfigOptions::default();
            Config::from_custom_kubeconfig(file, &options).await.map_err(|why| why.to_string())
        }
    };
    let builder = config.and_then(|it| ClientBuilder::try_from(it).map_err(|it| it.to_string()));
    let limit = RateLimitLayer::new(REQUESTS_MAX, REQUESTS_PERIOD);
    let client = builder.map(|builder| builder.with_layer(&limit).build());
    client.map_err(|why| format!("failed to connect to the Kubernetes API: {why}"))
}

/// Watches the objects of one kind for ever: in a namespace, or in all if none is given.
pub(crate) fn watch(
    client: &Client,
    resource: Resource,
    namespace: Option<&str>,
    which: watcher::Config,
) -> BoxStream<'static, Change> {
    let Resource { group, version, kind, plural } = resource;
    let api_version =
        if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    let resource = ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version,
        kind: kind.to_owned(),
        plural: plural.to_owned(),
    };
    let api: Api<DynamicObject> = match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    retry::list_at_once(watcher(api, which)).backoff(retry::waits()).boxed()
}
