//! An InferencePool and the gateways' EndpointSlices, over an API server that misbehaves.

use std::time::Duration;

use axum::http::StatusCode;
use picker_core::Endpoint;
use scraper::{
    Scraper, Settings,
    settings::{Discovery, GatewayService, InferencePool, SelectedPods},
};
use serde_json::{Value, json};
use tokio::time;

use crate::{
    api_server::ApiServer,
    world::{Envoy, PATIENCE, Pod, Pushes, get, page, poll, pool, settings, start, waiting},
};

const PODS: &str = "/api/v1/namespaces/demo/pods";
const POOLS: &str = "/apis/inference.networking.k8s.io/v1/namespaces/demo/inferencepools";

fn inference_pool(ports: &[u16], app: &str) -> Value {
    let ports: Vec<_> = ports.iter().map(|port| json!({"number": port})).collect();
    json!({
        "apiVersion": "inference.networking.k8s.io/v1", "kind": "InferencePool",
        "metadata": {"name": "qwen"},
        "spec": {
            "selector": {"matchLabels": {"app": app}}, "targetPorts": ports,
            "endpointPickerRef": {"name": "none", "port": {"number": 9002}},
        },
    })
}

fn pod(name: &str, app: &str, ready: bool) -> Value {
    let ready = if ready { "True" } else { "False" };
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": app, "topology.kubernetes.io/zone": "z1"}},
        "spec": {"nodeName": "n1"},
        "status": {"podIP": "127.0.0.1", "conditions": [{"type": "Ready", "status": ready}]},
    })
}

fn objective(group: &str, name: &str, pool: &str, priority: i32) -> Value {
    json!({
        "apiVersion": format!("{group}/v1alpha2"), "kind": "InferenceObjective",
        "metadata": {"name": name},
        "spec": {"priority": priority, "poolRef": {"name": pool}},
    })
}

fn rewrite(group: &str, name: &str, created: &str, target: &str) -> Value {
    json!({
        "apiVersion": format!("{group}/v1alpha2"), "kind": "InferenceModelRewrite",
        "metadata": {"name": name, "creationTimestamp": created},
        "spec": {
            "poolRef": {"name": "qwen"},
            "rules": [{
                "matches": [{"model": {"value": "chat"}}],
                "targets": [{"modelRewrite": target, "weight": 3}],
            }],
        },
    })
}

fn settings_for(api: &ApiServer, envoy: &Envoy) -> Settings {
    let mut settings = settings(&[], &[envoy.address]);
    settings.pools[0].discovery = Discovery::InferencePool(InferencePool {
        kubeconfig: Some(api.kubeconfig()),
        ..InferencePool::parse("qwen").unwrap()
    });
    settings
}

/// A scraper that follows a pool of one pod, which the gateway already knows.
struct Scene {
    server: Pod,
    envoy: Envoy,
    api: ApiServer,
    _scraper: Scraper,
}

impl Scene {
    async fn start() -> Self {
        Self::start_with(ApiServer::start().await).await
    }

    async fn start_with(api: ApiServer) -> Self {
        let (server, envoy) = (Pod::start(page(1)).await, Envoy::start().await);
        api.put(inference_pool(&[server.address.port()], "qwen"));
        api.put(pod("a", "qwen", true));
        let _scraper = start(settings_for(&api, &envoy)).await;
        envoy.wait_for(server.address, "1 waiting", |it| waiting(it) == Some(1)).await;
        Self { server, envoy, api, _scraper }
    }

    async fn wait_for_no_pod(&self) {
        self.envoy.wait("no pod", |it| addresses(it).is_empty()).await;
    }
}

fn addresses(pushes: &Pushes) -> Vec<String> {
    let endpoints = pushes.last.iter().flat_map(|snapshot| &snapshot.endpoints);
    endpoints.map(|endpoint| endpoint.address.to_string()).collect()
}

fn at(ports: &[u16]) -> Vec<String> {
    let mut ports = ports.to_vec();
    ports.sort_unstable();
    ports.iter().map(|port| format!("127.0.0.1:{port}")).collect()
}

/// A cluster without any kind of the inference extension answers 404 for them, and nothing asks.
#[tokio::test]
async fn pods_are_found_by_their_labels_where_no_pool_selects_them() {
    let (one, envoy) = (Pod::start(page(1)).await, Envoy::start().await);
    let api = ApiServer::start().await;
    let mut settings = settings(&[], &[envoy.address]);
    settings.pools[0].discovery = Discovery::Pods(SelectedPods {
        labels: [("app".to_owned(), "qwen".to_owned())].into(),
        port: one.address.port(),
        namespace: None,
        kubeconfig: Some(api.kubeconfig()),
        node_zones: false,
    });
    let mut another = pod("b", "qwen", true);
    another["status"]["podIP"] = json!("127.0.0.2");
    api.put(another.clone());
    api.put(pod("a", "qwen", true));
    api.put(pod("c", "llama", true));
    let _scraper = start(settings).await;
    let port = one.address.port();
    let both = [format!("127.0.0.1:{port}"), format!("127.0.0.2:{port}")];
    envoy.wait("both pods", |it| addresses(it) == both).await;
    another["status"]["conditions"][0]["status"] = json!("False");
    api.put(another);
    envoy.wait("one pod", |it| addresses(it) == both[..1]).await;
}

#[tokio::test]
async fn a_pool_is_its_ready_pods_at_all_target_ports() {
    let (one, two, envoy) =
        (Pod::start(page(1)).await, Pod::start(page(2)).await, Envoy::start().await);
    let (one, two) = (one.address, two.address);
    let api = ApiServer::start().await;
    api.put(inference_pool(&[one.port(), two.port()], "qwen"));
    api.put(pod("a", "qwen", true));
    api.put(pod("b", "other", true));
    let _scraper = start(settings_for(&api, &envoy)).await;
    let pushes = envoy.wait("both ports", |it| addresses(it).len() == 2).await;
    let mut wanted = [one, two];
    wanted.sort();
    assert_eq!(addresses(&pushes), wanted.map(|it| it.to_string()));
    let labels = &pushes.last.unwrap().endpoints[0].labels;
    assert!(labels.contains(&("topology.kubernetes.io/zone".to_owned(), "z1".to_owned())));

    let mut restricted = pod("a", "qwen", true);
    restricted["metadata"]["annotations"] =
        json!({"llm-d.ai/active-ports": two.port().to_string()});
    api.put(restricted);
    envoy.wait("one port", |it| addresses(it) == [two.to_string()]).await;
    api.put(pod("a", "qwen", false));
    envoy.wait("no pod that is ready", |it| it.last.is_some() && addresses(it).is_empty()).await;
    api.put(pod("a", "qwen", true));
    envoy.wait("both again", |it| addresses(it).len() == 2).await;

    api.put(inference_pool(&[one.port()], "other"));
    envoy.wait("the other label", |it| addresses(it) == [one.to_string()]).await;
    api.delete(POOLS, "qwen");
    envoy.wait("no pool", |it| addresses(it).is_empty()).await;
}

/// A pod that takes over the address of another has an empty cache, whatever its page says.
#[tokio::test]
async fn another_pod_at_the_address_is_another_life() {
    let scene = Scene::start().await;
    let named = |name: &str, created: &str| {
        let mut pod = pod(name, "qwen", true);
        pod["metadata"]["uid"] = json!(format!("uid-of-{name}"));
        pod["metadata"]["creationTimestamp"] = json!(created);
        pod
    };
    let number = |it: &Pushes| it.last.as_ref()?.endpoints.first().map(|it| it.incarnation.number);
    scene.api.put(named("a", "2026-02-01T00:00:00Z"));
    scene.envoy.wait("its making", |it| number(it) == Some(1_769_904_000_000)).await;
    scene.api.delete(PODS, "a");
    scene.api.put(named("b", "2026-02-01T00:00:07Z"));
    scene.envoy.wait("the other's", |it| number(it) == Some(1_769_904_007_000)).await;
}

#[tokio::test]
async fn objectives_and_rewrites_of_both_groups() {
    let (server, envoy, api) =
        (Pod::start(page(1)).await, Envoy::start().await, ApiServer::start().await);
    api.put(inference_pool(&[server.address.port()], "qwen"));
    api.put(pod("a", "qwen", true));
    let (new, old) = ("llm-d.ai", "inference.networking.x-k8s.io");
    api.put(objective(new, "paid", "qwen", 10));
    api.put(objective(old, "paid", "qwen", 1));
    api.put(objective(old, "batch", "qwen", -5));
    api.put(objective(new, "foreign", "other", 7));
    api.put(rewrite(new, "younger", "2026-02-01T00:00:00Z", "b"));
    api.put(rewrite(old, "older", "2026-01-01T00:00:00Z", "a"));
    let _scraper = start(settings_for(&api, &envoy)).await;
    let said = |pushes: &Pushes| {
        let Some(snapshot) = &pushes.last else { return String::new() };
        let objectives =
            snapshot.objectives.iter().map(|it| format!("{} {}", it.name, it.priority));
        let rewrites = snapshot.model_rewrites.iter();
        let rewrites = rewrites.map(|it| format!("{} {}", it.name, it.rules[0].targets[0].model));
        objectives.chain(rewrites).collect::<Vec<_>>().join(", ")
    };
    envoy.wait("all", |it| said(it) == "batch -5, paid 10, older a, younger b").await;
    api.delete("/apis/llm-d.ai/v1alpha2/namespaces/demo/inferenceobjectives", "paid");
    envoy.wait("the older group's", |it| said(it).starts_with("batch -5, paid 1, ")).await;
}

/// A cluster without the definitions of one group, as of either version of llm-d.
#[tokio::test]
async fn a_group_that_is_not_installed_holds_up_nothing() {
    let api = ApiServer::start().await;
    for plural in ["inferenceobjectives", "inferencemodelrewrites"] {
        api.lacks(&format!("/apis/llm-d.ai/v1alpha2/namespaces/demo/{plural}"));
    }
    Scene::start_with(api).await;
}

#[tokio::test]
async fn a_pool_that_is_not_there_yet_is_not_an_empty_one() {
    let (server, envoy, api) =
        (Pod::start(page(1)).await, Envoy::start().await, ApiServer::start().await);
    let scraper = start(settings_for(&api, &envoy)).await;
    let missing = "the endpoints of pool default are not known yet";
    poll(&scraper, "/readyz", |page| page.contains(missing)).await;
    assert_eq!(envoy.pushes().count, 0);
    api.put(pod("a", "qwen", true));
    api.put(inference_pool(&[server.address.port()], "qwen"));
    envoy.wait("the pod", |it| addresses(it) == at(&[server.address.port()])).await;
}

/// A watch that loses its connection goes on where it was, without another list.
#[tokio::test]
async fn a_dropped_watch_resumes() {
    let scene = Scene::start().await;
    let (lists, watches) = (scene.api.lists(), scene.api.watches());
    scene.api.drop_watches();
    scene.api.delete(PODS, "a");
    scene.wait_for_no_pod().await;
    assert_eq!(scene.api.lists(), lists, "no second list");
    assert!(scene.api.watches() > watches);
}

/// Only bookmarks tell a watch how far it has come when none of its objects has changed for long.
#[tokio::test]
async fn bookmarks_save_listing_again() {
    let scene = Scene::start().await;
    let lists = scene.api.lists();
    scene.api.put(pod("b", "other", true));
    scene.api.forget_what_was_bookmarked().await;
    scene.api.delete(PODS, "a");
    scene.wait_for_no_pod().await;
    assert_eq!(scene.api.lists(), lists, "no second list");
}

/// A watch from a version that is gone is told 410 and lists again; the known objects stay until
/// then.
#[tokio::test]
async fn an_expired_version_is_listed_again() {
    let scene = Scene::start().await;
    let lists = scene.api.lists();
    scene.api.expire();
    scene.api.put(pod("a", "qwen", false));
    scene.wait_for_no_pod().await;
    assert!(scene.api.lists() > lists);
}

/// An API server that was away for long has forgotten the version that a watch was at: the list comes without another wait.
#[tokio::test]
async fn an_api_server_that_comes_back_is_listed_at_once() {
    let scene = Scene::start().await;
    scene.api.refuse(u32::MAX, StatusCode::SERVICE_UNAVAILABLE);
    scene.api.drop_watches();
    // By now the next wait would be 3 s and the one behind it 6 s.
    time::sleep(Duration::from_secs(2)).await;
    scene.api.expire();
    scene.api.put(pod("a", "qwen", false));
    scene.api.accept();
    let back = time::Instant::now();
    scene.wait_for_no_pod().await;
    assert!(back.elapsed() < Duration::from_millis(3_600), "{:?}", back.elapsed());
}

/// Known pods are scraped and pushed while the API server refuses everything.
#[tokio::test]
async fn an_api_server_that_is_away_leaves_the_pool_as_it_was() {
    let scene = Scene::start().await;
    scene.api.refuse(12, StatusCode::SERVICE_UNAVAILABLE);
    scene.api.expire();
    scene.server.reply_with(page(4));
    let address = scene.server.address;
    scene.envoy.wait_for(address, "4 waiting", |it| waiting(it) == Some(4)).await;
    scene.api.delete(PODS, "a");
    scene.wait_for_no_pod().await;
}

/// The API server is not flooded, and the pool stays as it was.
#[tokio::test]
async fn watches_that_end_at_once_are_not_begun_at_full_speed() {
    let scene = Scene::start().await;
    scene.api.end_watches_at_once();
    let (watches, began) = (scene.api.watches(), time::Instant::now());
    while scene.api.watches() == watches {
        assert!(began.elapsed() < PATIENCE, "they are not begun again");
        time::sleep(Duration::from_millis(5)).await;
    }
    let (watches, period) = (scene.api.watches(), Duration::from_millis(500));
    time::sleep(period).await;
    let begun = scene.api.watches() - watches;
    assert!(begun <= 40, "{begun} watches in {period:?}");
    assert_eq!(addresses(&scene.envoy.pushes()).len(), 1);
}

/// No definition would let these objects pass. A label out of bounds costs only itself, and a pool
/// that can't be understood stays as it was.
#[tokio::test]
async fn objects_out_of_bounds_are_left_out() {
    let scene = Scene::start().await;
    let mut labelled = pod("a", "qwen", true);
    let long = "x".repeat(100_000);
    let many = (0..1000).map(|n| (format!("a{n}"), json!("x")));
    let labels = labelled["metadata"]["labels"].as_object_mut().unwrap();
    labels.extend(many.chain([("long".to_owned(), json!(long)), (long.clone(), json!("x"))]));
    labels.insert("llm-d.ai/role".to_owned(), json!("decode"));
    scene.api.put_unchecked(json!({
        "apiVersion": "inference.networking.k8s.io/v1", "kind": "InferencePool",
        "metadata": {"name": "qwen"}, "spec": {"selector": 7, "targetPorts": long},
    }));
    scene.api.drop_watches();
    scene.api.put(labelled);
    let role = ("llm-d.ai/role".to_owned(), "decode".to_owned());
    let decodes = |it: &Endpoint| it.labels.contains(&role);
    let endpoint = scene.envoy.wait_for(scene.server.address, "the label", decodes).await;
    assert!(endpoint.labels.iter().all(|(key, value)| key.len() + value.len() < 400));
}

fn slice(ports: &[u16]) -> Vec<Value> {
    let one = |port: &u16| {
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {
                "name": format!("ingest-{port}"),
                "labels": {"kubernetes.io/service-name": "ingest"},
            },
            "endpoints": [{"addresses": ["127.0.0.1"], "conditions": {"ready": false}}],
            "ports": [{"name": "http", "port": port}],
        })
    };
    ports.iter().map(one).collect()
}

/// Every replica of the gateway gets snapshots, a new one at once, one that is gone no more.
#[tokio::test]
async fn gateways_are_followed_by_their_endpoint_slices() {
    let (server, api) = (Pod::start(page(1)).await, ApiServer::start().await);
    let (one, two) = (Envoy::start().await, Envoy::start().await);
    for slice in slice(&[one.address.port()]) {
        api.put(slice);
    }
    let mut settings = settings(&[], &[]);
    settings.pools = vec![pool("default", &[server.address])];
    settings.gateways.service = Some(GatewayService {
        name: "ingest".to_owned(),
        namespace: None,
        port: None,
        kubeconfig: Some(api.kubeconfig()),
    });
    let scraper = start(settings).await;
    one.wait("a push", |it| it.count > 0).await;
    for slice in slice(&[two.address.port()]) {
        api.put(slice);
    }
    two.wait("a push", |it| it.count > 0).await;
    // A Service of two families has another slice of the same gateways.
    let mut other = slice(&[two.address.port()]).remove(0);
    other["addressType"] = json!("IPv6");
    other["metadata"]["name"] = json!("other-family");
    other["endpoints"][0]["addresses"] = json!(["::1"]);
    api.put(other);
    let before = two.pushes().count;
    two.wait("ten more", |it| it.count > before + 10).await;
    let page = get(&scraper, "/metrics").await;
    assert!(page.contains("127.0.0.1") && !page.contains("[::1]"), "{page}");
    let name = format!("ingest-{}", one.address.port());
    api.delete("/apis/discovery.k8s.io/v1/namespaces/demo/endpointslices", &name);
    let before = two.pushes().count;
    two.wait("ten more", |it| it.count > before + 10).await;
    let left = one.pushes().count;
    let before = two.pushes().count;
    two.wait("ten more", |it| it.count > before + 10).await;
    assert_eq!(one.pushes().count, left);
}
