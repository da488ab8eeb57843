//! A small Kubernetes API server: lists, watches, bookmarks, and the ways in which a real server
//! ends its watches. Custom resources are held to the schemas of their real definitions.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    fs,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Query, State},
    http::{StatusCode, Uri},
    response::{IntoResponse, Response},
};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle, time};

use crate::{schema, world::PATIENCE};

/// Time between two bookmarks of a watch; a real server sends one a minute.
const BOOKMARKS: Duration = Duration::from_millis(20);

pub(crate) struct ApiServer {
    kubeconfig: tempfile::NamedTempFile,
    world: Arc<World>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct World {
    state: Mutex<Cluster>,
    /// Counter of changes and faults.
    news: watch::Sender<u64>,
}

#[derive(Default)]
struct Cluster {
    version: u64,
    /// Version below which watches are told that it is gone.
    expired: u64,
    /// Objects by collection and name.
    objects: BTreeMap<String, BTreeMap<String, Value>>,
    /// Changes: version, collection, kind of change, object.
    history: Vec<(u64, String, &'static str, Value)>,
    /// Collections that are not served: their definitions are not installed.
    missing: BTreeSet<String>,
    /// Number of requests that are answered with this status first.
    refuse: Option<(u32, StatusCode)>,
    /// Generation of watches; those of an earlier one end.
    generation: u64,
    /// True if watches end as soon as they have begun.
    restless: bool,
    /// Newest version in a bookmark, by collection.
    bookmarks: BTreeMap<String, u64>,
    lists: u64,
    watches: u64,
}

impl ApiServer {
    pub(crate) async fn start() -> Self {
        let world = Arc::new(World::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let kubeconfig = tempfile::NamedTempFile::new().unwrap();
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "it",
            "clusters": [{"name": "it", "cluster": {"server": format!("http://{address}")}}],
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it", "namespace": "demo"}}],
            "users": [{"name": "it", "user": {"token": "t0ken"}}],
        });
        fs::write(&kubeconfig, config.to_string()).unwrap();
        let app = Router::new().fallback(answer).with_state(Arc::clone(&world));
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { kubeconfig, world, task }
    }

    pub(crate) fn kubeconfig(&self) -> std::path::PathBuf {
        self.kubeconfig.path().to_owned()
    }

    /// Creates or replaces an object of namespace `demo`.
    pub(crate) fn put(&self, object: Value) {
        if let (_, Some(definition)) = collection(&object) {
            validate(&definition, &object);
        }
        self.put_unchecked(object);
    }

    /// Creates or replaces an object that its definition may forbid.
    pub(crate) fn put_unchecked(&self, mut object: Value) {
        let (collection, _) = collection(&object);
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        self.change(|cluster| {
            object["metadata"]["resourceVersion"] = json!(cluster.version.to_string());
            object["metadata"]["namespace"] = json!("demo");
            let objects = cluster.objects.entry(collection.clone()).or_default();
            let kind = if objects.contains_key(&name) { "MODIFIED" } else { "ADDED" };
            objects.insert(name, object.clone());
            cluster.history.push((cluster.version, collection, kind, object));
        });
    }

    pub(crate) fn delete(&self, collection: &str, name: &str) {
        self.change(|cluster| {
            let mut gone = cluster.objects.get_mut(collection).unwrap().remove(name).unwrap();
            gone["metadata"]["resourceVersion"] = json!(cluster.version.to_string());
            cluster.history.push((cluster.version, collection.to_owned(), "DELETED", gone));
        });
    }

    /// Ends all watches, as when a load balancer closes their connections.
    pub(crate) fn drop_watches(&self) {
        self.change(|cluster| cluster.generation += 1);
    }

    /// Forgets history: a watch from an older version is told 410 Gone.
    pub(crate) fn expire(&self) {
        self.change(|cluster| {
            cluster.expired = cluster.version;
            cluster.generation += 1;
            cluster.history.clear();
        });
    }

    /// Waits until a bookmark has told every watch how far it has come. Then forgets history up to
    /// there and ends all watches: a watch that goes on from the last change that it saw comes too
    /// late.
    pub(crate) async fn forget_what_was_bookmarked(&self) {
        let mut news = self.world.news.subscribe();
        let all_are_told = |cluster: &Cluster| {
            let told = cluster.bookmarks.values();
            !cluster.bookmarks.is_empty() && told.copied().all(|it| it == cluster.version)
        };
        let deadline = time::Instant::now() + PATIENCE;
        while !all_are_told(&self.world.state.lock().unwrap()) {
            assert!(time::Instant::now() < deadline, "no watch wants bookmarks");
            let _ = time::timeout(BOOKMARKS, news.changed()).await;
        }
        self.change(|cluster| {
            cluster.expired = cluster.version - 1;
            cluster.generation += 1;
            cluster.history.clear();
        });
    }

    /// Ends watches as soon as they have begun from now on, as behind a broken proxy.
    pub(crate) fn end_watches_at_once(&self) {
        self.change(|cluster| {
            cluster.restless = true;
            cluster.generation += 1;
        });
    }

    pub(crate) fn refuse(&self, requests: u32, status: StatusCode) {
        self.change(|cluster| cluster.refuse = Some((requests, status)));
    }

    /// Answers again what was refused.
    pub(crate) fn accept(&self) {
        self.change(|cluster| cluster.refuse = None);
    }

    /// Answers as if the definition of a collection were not installed.
    pub(crate) fn lacks(&self, collection: &str) {
        self.change(|cluster| {
            cluster.missing.insert(collection.to_owned());
        });
    }

    pub(crate) fn lists(&self) -> u64 {
        self.world.state.lock().unwrap().lists
    }

    pub(crate) fn watches(&self) -> u64 {
        self.world.state.lock().unwrap().watches
    }

    fn change(&self, change: impl FnOnce(&mut Cluster)) {
        let mut cluster = self.world.state.lock().unwrap();
        cluster.version += 1;
        change(&mut cluster);
        drop(cluster);
        self.world.news.send_modify(|news| *news += 1);
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Returns the path below the API's root, and the file of the definition if it is a custom
/// resource.
fn collection(object: &Value) -> (String, Option<String>) {
    let kind = object["kind"].as_str().unwrap();
    let plural = format!("{}s", kind.to_lowercase());
    match object["apiVersion"].as_str().unwrap().split_once('/') {
        None => (format!("/api/v1/namespaces/demo/{plural}"), None),
        Some((group, version)) => {
            let path = format!("/apis/{group}/{version}/namespaces/demo/{plural}");
            (path, (group != "discovery.k8s.io").then(|| format!("{group}_{plural}.yaml")))
        }
    }
}

fn validate(definition: &str, object: &Value) {
    let path = format!("{}/tests/data/crds/{definition}", env!("CARGO_MANIFEST_DIR"));
    let definition: Value = serde_saphyr::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let version = object["apiVersion"].as_str().unwrap().rsplit_once('/').unwrap().1;
    let versions = definition["spec"]["versions"].as_array().unwrap();
    let served =
        versions.iter().find(|it| it["name"] == version).expect("a version that is served");
    schema::check(&served["schema"]["openAPIV3Schema"], object, "");
}

async fn answer(
    State(world): State<Arc<World>>,
    uri: Uri,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let mut cluster = world.state.lock().unwrap();
    if let Some((left, status)) = &mut cluster.refuse {
        let status = *status;
        *left -= 1;
        if *left == 0 {
            cluster.refuse = None;
        }
        return status_of(status).into_response();
    }
    let path = uri.path().to_owned();
    if cluster.missing.contains(&path) {
        return status_of(StatusCode::NOT_FOUND).into_response();
    }
    let watching = query.get("watch").is_some_and(|it| it == "true" || it == "1");
    if !watching {
        cluster.lists += 1;
        return list(&cluster, &path, &query);
    }
    cluster.watches += 1;
    let from = query.get("resourceVersion").map_or(0, |it| it.parse().unwrap());
    let (generation, news) = (cluster.generation, world.news.subscribe());
    drop(cluster);
    let watch = Watch { world, news, path, query, from, generation };
    Body::from_stream(stream::unfold(watch, next)).into_response()
}

fn status_of(status: StatusCode) -> (StatusCode, String) {
    let code = status.as_u16();
    let said = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": status.to_string(), "reason": "Told", "code": code,
    });
    (status, said.to_string())
}

fn list(cluster: &Cluster, path: &str, query: &BTreeMap<String, String>) -> Response {
    let objects = cluster.objects.get(path).into_iter().flat_map(BTreeMap::values);
    let items: Vec<_> = objects.filter(|it| selected(it, query)).cloned().collect();
    json!({
        "kind": "List", "apiVersion": "v1",
        "metadata": {"resourceVersion": cluster.version.to_string()}, "items": items,
    })
    .to_string()
    .into_response()
}

fn selected(object: &Value, query: &BTreeMap<String, String>) -> bool {
    let pairs = |key: &str| {
        let text = query.get(key).cloned().unwrap_or_default();
        let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
        pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect::<Vec<_>>()
    };
    let labels = pairs("labelSelector").into_iter();
    let mut labels = labels.map(|(key, value)| object["metadata"]["labels"][key] == *value);
    let mut fields = pairs("fieldSelector").into_iter().map(|(key, value)| {
        assert_eq!(key, "metadata.name");
        object["metadata"]["name"] == *value
    });
    labels.all(|it| it) && fields.all(|it| it)
}

struct Watch {
    world: Arc<World>,
    news: watch::Receiver<u64>,
    path: String,
    query: BTreeMap<String, String>,
    from: u64,
    generation: u64,
}

impl Watch {
    fn wants_bookmarks(&self) -> bool {
        self.query.get("allowWatchBookmarks").is_some_and(|it| it == "true")
    }
}

/// Returns the next lines of a watch, or `None` at its end.
async fn next(mut watch: Watch) -> Option<(Result<Bytes, Infallible>, Watch)> {
    loop {
        watch.news.mark_unchanged();
        match lines(&mut watch) {
            None => return None,
            Some(text) if !text.is_empty() => return Some((Ok(text.into()), watch)),
            Some(_) => (),
        }
        if time::timeout(BOOKMARKS, watch.news.changed()).await.is_err() && watch.wants_bookmarks()
        {
            let mut cluster = watch.world.state.lock().unwrap();
            let version = watch.from;
            cluster.bookmarks.insert(watch.path.clone(), version);
            drop(cluster);
            let kind = json!({"apiVersion": "v1", "kind": "Any", "metadata": {"resourceVersion": version.to_string()}});
            let bookmark = format!("{}\n", json!({"type": "BOOKMARK", "object": kind}));
            return Some((Ok(bookmark.into()), watch));
        }
    }
}

fn lines(watch: &mut Watch) -> Option<String> {
    let cluster = watch.world.state.lock().unwrap();
    if cluster.generation > watch.generation || cluster.restless {
        return None;
    }
    if watch.from < cluster.expired {
        // Sent once, then the watch ends.
        watch.generation = 0;
        watch.from = u64::MAX;
        let gone = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": "too old resource version", "reason": "Expired", "code": 410});
        return Some(format!("{}\n", json!({"type": "ERROR", "object": gone})));
    }
    let new = cluster
        .history
        .iter()
        .filter(|(version, path, ..)| *version > watch.from && *path == watch.path);
    let new = new.filter(|(.., object)| selected(object, &watch.query));
    let lines =
        new.map(|(_, _, kind, object)| format!("{}\n", json!({"type": kind, "object": object})));
    let text: String = lines.collect();
    watch.from = watch.from.max(cluster.version);
    Some(text)
}
