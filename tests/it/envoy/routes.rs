//! One URL for many models: Envoy chooses the route anew by a request's model, its base model and its pool, and a fallback
//! has a route of its own.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::net::SocketAddr;

use picker_core::{Endpoint, Health, Incarnation, Metrics, Model, Snapshot};
use serde_json::{Value, json};
use stack::{Stack, Template, Way, with_way};

use wire::config::POOLS_MAX;

use super::{
    client::{Reply, post},
    echo,
    push::Push,
    world,
};

const CHAT: &str = "/v1/chat/completions";

/// The route of all requests, which every bootstrap has.
const MODELS: &str = "              routes:\n              - match: {prefix: /}\n                route:\n                  cluster: models\n";

/// Ways in which headers can be written once the body is there, with their bootstraps.
const WAYS: [(Way, &str); 3] = [
    (Way::STOP_ITERATION_HEADER, include_str!("../../../envoy/local/stop-iteration-header.yaml")),
    (
        Way::STOP_ITERATION_PROPERTY,
        include_str!("../../../envoy/local/stop-iteration-property.yaml"),
    ),
    (
        Way::STOP_ITERATION_FILTER_STATE,
        include_str!("../../../envoy/local/stop-iteration-filter-state.yaml"),
    ),
];

/// A route for requests with this header, which answers tell of.
fn route(header: &str, value: &str, cluster: &str) -> String {
    let matches = format!("{{name: {header}, string_match: {{exact: {value:?}}}}}");
    let told = format!("[{{header: {{key: x-route, value: {value:?}}}}}]");
    format!(
        "              - match: {{prefix: /, headers: [{matches}]}}\n                route: {{cluster: {cluster}, timeout: 0s}}\n                response_headers_to_add: {told}\n"
    )
}

/// A bootstrap with routes by model in front of the one for all, and a provider's cluster.
fn template(bootstrap: &str, plugin: &Value, provider: SocketAddr) -> Template {
    let routes = route("x-llm-picker-pool", "provider", "provider")
        + &route("x-gateway-model-name", "sql", "models")
        + &route("x-gateway-base-model-name", "llama", "models")
        + &route("x-gateway-model-name", "qwen", "models");
    let socket = json!({"address": provider.ip().to_string(), "port_value": provider.port()});
    let endpoint = json!({"endpoint": {"address": {"socket_address": socket}}});
    let cluster = json!({
        "name": "provider", "type": "STATIC", "connect_timeout": "1s",
        "load_assignment": {"cluster_name": "provider", "endpoints": [{"lb_endpoints": [endpoint]}]},
    });
    let head = "              routes:\n";
    let bootstrap = bootstrap
        .replacen(MODELS, &MODELS.replacen(head, &format!("{head}{routes}"), 1), 1)
        .replacen("\n  clusters:\n", &format!("\n  clusters:\n  - {cluster}\n"), 1)
        .replacen("${PLUGIN_JSON}", &Value::from(plugin.to_string()).to_string(), 1);
    assert!(bootstrap.contains("exact: \"qwen\""), "the bootstrap has another route for all");
    Template { bootstrap, files: Vec::new() }
}

/// Pools that no request is for: so many that a worker takes part in a pool from its first request on.
const OTHERS: usize = POOLS_MAX - 4;

/// Three pools and a provider among two thousand: `llama` and its adapter fall back to `spare`, that to the provider, which has a name of its own
/// for every model.
fn plugin() -> Value {
    let renamed =
        json!([{"name": "r", "rules": [{"targets": [{"modelRewrite": "provider/large"}]}]}]);
    let other = |n: usize| json!({"name": format!("p{n}"), "match": {"model": format!("m{n}")}});
    let mut pools: Vec<Value> = (0..OTHERS).map(other).collect();
    pools.extend([
        json!({"name": "llama", "match": {"model": ["llama", "sql"]}, "fallback": {"pool": "spare"}}),
        json!({"name": "default"}),
        json!({"name": "spare", "fallback": {"pool": "provider"}}),
        json!({"name": "provider", "unpicked": true, "modelRewrites": renamed}),
    ]);
    json!({"routeHeaders": true, "decisionHeader": true, "pools": pools})
}

async fn push(
    stack: &Stack,
    sequence: u64,
    pool: &str,
    pods: &[SocketAddr],
    models: &[(&str, Option<&str>)],
) {
    let endpoint = |address: &SocketAddr| Endpoint {
        address: *address,
        health: Health::Up,
        metrics: Some(Metrics::default()),
        labels: Default::default(),
        incarnation: Incarnation::default(),
    };
    let model = |(name, parent): &(&str, Option<&str>)| Model {
        name: (*name).to_owned(),
        parent: parent.map(str::to_owned),
        ..Model::default()
    };
    let snapshot = Snapshot {
        pool: pool.to_owned(),
        endpoints: pods.iter().map(endpoint).collect(),
        models: models.iter().map(model).collect(),
        ..Snapshot::default()
    };
    let reply = Push::of_snapshot(stack, sequence, &snapshot).send(stack).await;
    assert_eq!(reply.status, 204, "{reply:?}");
}

async fn ask(stack: &Stack, model: &str) -> Reply {
    let body = json!({"model": model, "messages": [{"role": "user", "content": "hi"}]});
    // A client chooses no route by a header of its own.
    let forged = ["x-gateway-model-name", "x-gateway-base-model-name", "x-llm-picker-pool"];
    let forged = forged.map(|name| (name, "provider".to_owned()));
    let reply = post(stack.gateway, CHAT, &forged, body.to_string()).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert!(
        reply.body.contains(&format!(r#""model":"{model}""#)),
        "its name for the model: {reply:?}"
    );
    reply
}

#[tokio::test]
async fn one_url_serves_many_models() {
    let pods = [echo::pod().await, echo::pod().await, echo::pod().await];
    let [llama, other, spare] = pods;
    let provider = echo::pod().await;
    for (way, bootstrap) in WAYS {
        let plugin = with_way(plugin(), way).unwrap();
        let builder = world::stack().way(way).upstreams(pods.to_vec()).without_scraper();
        let builder = builder.template(template(bootstrap, &plugin, provider));
        world::tell(builder, async |stack| {
            let served = [("llama", None), ("sql", Some("llama"))];
            push(stack, 1, "llama", &[llama], &served).await;
            push(stack, 2, "default", &[other], &[("qwen", None)]).await;
            push(stack, 3, "spare", &[spare], &[]).await;
            for (model, route, pod) in [
                ("llama", Some("llama"), llama),
                ("sql", Some("sql"), llama),
                ("qwen", Some("qwen"), other),
                ("unheard-of", None, other),
            ] {
                let reply = ask(stack, model).await;
                assert_eq!(
                    (reply.header("x-route"), reply.served_by()),
                    (route, pod),
                    "{way} {model}"
                );
                assert_eq!(reply.decision("fallback-from"), None);
            }
            push(stack, 4, "llama", &[], &[]).await;
            let reply = ask(stack, "sql").await;
            assert_eq!((reply.header("x-route"), reply.served_by()), (Some("sql"), spare), "{way}");
            assert_eq!(reply.decision("fallback-from"), Some("llama"), "{way}");
            assert_eq!(reply.decision("fallback-reason"), Some("empty"), "{way}");
            push(stack, 5, "spare", &[], &[]).await;
            let reply = ask(stack, "llama").await;
            assert_eq!(
                (reply.header("x-route"), reply.served_by()),
                (Some("provider"), provider),
                "{way}"
            );
            assert_eq!(reply.header("x-seen-model"), Some("provider/large"), "{way}");
            push(stack, 6, "llama", &[llama], &served).await;
            let reply = ask(stack, "llama").await;
            assert_eq!(
                (reply.header("x-route"), reply.served_by()),
                (Some("llama"), llama),
                "{way}"
            );
        })
        .await;
    }
}
