//! What only the chart can: several models behind one gateway, and a gateway that fetches its snapshots.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use serde_json::{Value, json};
use stack::{Builder, Stack, Way};

use super::{
    agent,
    fixture::GATEWAY,
    manifests::{self, render},
    pilot::Gateway,
    versions,
};
use crate::envoy::{
    client::{chat, chat_body, chat_with, post},
    echo,
    pull::{Scraper, free_port},
    push, upstream, world,
};

/// The chart's ways, and what their clusters are called after.
pub(super) const WAYS: [(&str, &str, Way); 3] = [
    ("wasmPlugin", "-picked", Way::BUFFER_FILTER_FILTER_STATE),
    ("wasmPluginFailover", "", Way::BUFFER_FILTER_PROPERTY),
    ("envoyFilter", "", Way::STOP_ITERATION_HEADER),
];

const MODELS: &str = r#"models=[
    {"name": "qwen", "namespace": "models", "podLabels": {"app": "qwen"}},
    {"name": "llama", "namespace": "models", "podLabels": {"app": "llama"}}]"#;

/// A gateway whose routes go by the path's first part to these Services, with what the chart makes of the settings.
pub(super) fn gateway(services: &[String], settings: &[&str]) -> Gateway {
    let [first, others @ ..] = services else { unreachable!("there is always one") };
    let host = |service: &str| format!("{service}.models.svc.cluster.local");
    let text = GATEWAY.replace("${SERVICE}", &host(first));
    let mut bootstrap = manifests::objects(&text).remove(0);
    for service in others {
        let name = format!("outbound|8000||{}", host(service));
        let resources = &mut bootstrap["static_resources"];
        let mut cluster = resources["clusters"][0].clone();
        cluster["name"] = json!(name);
        cluster["load_assignment"]["cluster_name"] = json!(name);
        resources["clusters"].as_array_mut().unwrap().push(cluster);
        let manager = &mut resources["listeners"][0]["filter_chains"][0]["filters"][0];
        let routes = &mut manager["typed_config"]["route_config"]["virtual_hosts"][0]["routes"];
        let mut route = routes[0].clone();
        route["match"]["prefix"] = json!(format!("/{}/", service.trim_end_matches("-picked")));
        route["route"]["cluster"] = json!(name);
        routes.as_array_mut().unwrap().insert(0, route);
    }
    Gateway::with(bootstrap, &render(settings))
}

pub(super) fn stack(version: Option<&str>, way: Way, gateway: &Gateway) -> Builder {
    versions::stack(version).way(way).template(agent::template(gateway)).without_scraper()
}

#[tokio::test]
async fn each_model_has_the_requests_to_its_service_and_others_pass() {
    for (name, suffix, way) in WAYS {
        let services = [&*format!("qwen{suffix}"), &*format!("llama{suffix}"), "other"];
        let way_setting = format!("picker.way=\"{name}\"");
        let settings = [MODELS, &way_setting, "picker.decisionHeader=true"];
        let gateway = gateway(&services.map(str::to_owned), &settings);
        let (qwen, llama) = (upstream::answers().await, upstream::answers().await);
        let builder = stack(None, way, &gateway).upstreams(vec![qwen, llama]);
        world::tell(builder, async |stack| {
            push::snapshot_of("qwen", stack, 1, &[qwen]).await;
            push::snapshot_of("llama", stack, 2, &[llama]).await;
            for _ in 0..4 {
                for (path, pod) in [("/v1", qwen), ("/llama/v1", llama)] {
                    let path = format!("{path}/chat/completions");
                    let reply = post(stack.gateway, &path, &[], chat_body("hello")).await;
                    assert_eq!((reply.status, reply.served_by()), (200, pod), "{name}: {reply:?}");
                    assert!(reply.decision("endpoint").is_some(), "{name}: {reply:?}");
                }
            }
            let reply = post(stack.gateway, "/other/v1/chat/completions", &[], "no JSON").await;
            assert_eq!((reply.status, reply.decision("endpoint")), (200, None), "{name}");
        })
        .await;
    }
}

#[tokio::test]
async fn no_client_steers_past_a_plugin_that_takes_nothing_away() {
    let forged = ["x-prefiller-host-port", "x-vllm-priority"];
    let (_, _, way) = WAYS[1];
    let mut gateway = gateway(&["qwen".to_owned()], &[]);
    // As one that could not be fetched: what is left is Envoy's own.
    let pointer = "/typed_config/config/configuration/value";
    let text = gateway.extension("picker").pointer_mut(pointer).unwrap();
    let mut config: Value = serde_json::from_str(text.as_str().unwrap()).unwrap();
    config["identity"]["trusted"] = json!(forged);
    *text = json!(config.to_string());
    let pod = echo::pod().await;
    world::tell(stack(None, way, &gateway).upstreams(vec![pod]), async |stack| {
        let headers = forged.map(|name| (name, stack.admin.to_string()));
        let reply = chat_with(stack.gateway, "hello", &headers).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        assert!(reply.header("x-seen-x-request-id").is_some(), "{reply:?}");
        for name in forged {
            assert_eq!(reply.header(&format!("x-seen-{name}")), None, "{reply:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn nothing_but_a_choice_opens_the_cluster_of_filter_state() {
    let (_, _, way) = WAYS[0];
    let settings = ["picker.way=\"wasmPlugin\"", "picker.failureMode=\"FailOpen\""];
    let gateway = gateway(&["qwen-picked".to_owned()], &settings);
    let pod = upstream::answers().await;
    world::tell(stack(None, way, &gateway).upstreams(vec![pod]), async |stack| {
        let reply = chat(stack.gateway, "anybody?").await;
        assert_eq!((reply.status, reply.header("x-llm-picker-reason")), (503, Some("envoy")));
        push::snapshot_of("qwen", stack, 1, &[pod]).await;
        assert_eq!(chat(stack.gateway, "now?").await.status, 200);
    })
    .await;
}

/// The cluster that Istio has for the scraper's Service, and a listener that the stack looks for.
fn with_scraper(gateway: &mut Gateway, port: u16) {
    let name = "outbound|9091||picker-scraper.llm-picker.svc.cluster.local";
    let address = json!({"socket_address": {"address": "127.0.0.1", "port_value": port}});
    let endpoints = json!([{"lb_endpoints": [{"endpoint": {"address": address}}]}]);
    let resources = &mut gateway.bootstrap["static_resources"];
    resources["clusters"].as_array_mut().unwrap().push(json!({
        "name": name, "type": "STATIC", "connect_timeout": "0.5s",
        "load_assignment": {"cluster_name": name, "endpoints": endpoints},
    }));
    let listeners = resources["listeners"].as_array_mut().unwrap();
    assert_eq!(listeners.len(), 1, "nothing is to connect to it");
    let mut unused: Value = listeners[0].clone();
    unused["name"] = json!("ingest");
    unused["address"]["socket_address"]["port_value"] = json!(0);
    unused["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"] = json!([{
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
    }]);
    listeners.push(unused);
}

async fn is_picked(stack: &Stack) -> bool {
    let reply = chat(stack.gateway, "now?").await;
    reply.status == 200 && reply.decision("endpoint").is_some()
}

#[tokio::test]
async fn a_gateway_fetches_in_the_oldest_envoy() {
    for (name, suffix, way) in WAYS {
        let way_setting = format!("picker.way=\"{name}\"");
        let settings = [
            &*way_setting,
            "snapshots=\"pull\"",
            "picker.decisionHeader=true",
            "picker.failureMode=\"FailClose\"",
        ];
        let mut gateway = gateway(&[format!("qwen{suffix}")], &settings);
        let port = free_port();
        with_scraper(&mut gateway, port);
        let builder = stack(Some(versions::OLDER[0]), way, &gateway).endpoints(1);
        world::tell(builder, async |stack| {
            assert_eq!(chat(stack.gateway, "anybody?").await.status, 503, "{name}");
            let _scraper = Scraper::of_pool("qwen", stack, port);
            world::until(async || is_picked(stack).await.then_some(())).await;
        })
        .await;
    }
}
