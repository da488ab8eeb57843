//! The Kubernetes API: a connection, and watches that resume by themselves.
//!
//! kube-rs lists, watches from where the list ended, goes on from the last bookmark when a
//! connection drops, lists again when that version has expired, and backs off with jitter while the
//! API server refuses. What is read off the objects is in `wire`.

mod kept;

use std::path::Path;

use futures_util::{StreamExt, stream::BoxStream};
use kube::{
    Api, Client, Config,
    api::{ApiResource, DynamicObject},
    config::{KubeConfigOptions, Kubeconfig},
    runtime::{
        WatchStreamExt,
        watcher::{self, Error, Event, watcher},
    },
};

pub(crate) use kept::Kept;

/// A kind of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Resource {
    pub(crate) group: &'static str,
    pub(crate) version: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) plural: &'static str,
}

/// What a watch brings.
pub(crate) type Change = Result<Event<DynamicObject>, Error>;

/// The API server of `kubeconfig`, else of the environment variable `KUBECONFIG`, else of the
/// cluster that this runs in.
pub(crate) async fn connect(kubeconfig: Option<&Path>) -> Result<Client, String> {
    let config = match kubeconfig {
        None => Config::infer().await.map_err(|why| why.to_string()),
        Some(path) => {
            let file = Kubeconfig::read_from(path).map_err(|why| why.to_string())?;
            let options = KubeConfigOptions::default();
            Config::from_custom_kubeconfig(file, &options).await.map_err(|why| why.to_string())
        }
    };
    let client = config.and_then(|config| Client::try_from(config).map_err(|it| it.to_string()));
    client.map_err(|why| format!("no Kubernetes API: {why}"))
}

/// Watches the objects of one kind in a namespace, or of all if it is none, for ever.
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
    watcher(api, which).default_backoff().boxed()
}

/// Whether the cluster does not have the kind, or we may not see it: then there are none for us.
pub(crate) fn is_absent(error: &Error) -> bool {
    let (Error::InitialListFailed(why) | Error::WatchStartFailed(why)) = error else {
        return false;
    };
    matches!(why, kube::Error::Api(status) if status.code == 404 || status.code == 403)
}
