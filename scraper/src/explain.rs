//! `explain`: the endpoint that a request would go to, and every score of every endpoint.

mod gateway;
mod table;

use picker_core::{
    Event, InferenceRequest, Instant, PromptOrder, Randomness, Scheduler, Snapshot, ledger::Ledger,
};
use wire::{
    body::{self, Api, HashRules, Video},
    config::{ConfigDocument, PickerConfig, PluginConfig, PoolConfig},
    explained::ToldExplanation,
    operation::{Recognized, RequestHead},
};

pub use gateway::{DebugHeader, GatewayQuestion, ask_gateway, debug_header};
pub use wire::debug::DebugWish;

/// A request to explain the choice for.
#[derive(Clone, Copy, Debug)]
pub struct ExplainedRequest<'a> {
    /// Path of the request, which selects the API.
    pub path: &'a str,
    /// Body of the request.
    pub body: &'a [u8],
}

/// Reads the plugin's configuration, YAML or JSON, from the text of a file of that name.
///
/// # Errors
/// For all that is not understood of it, each on a line that begins with its place.
pub fn read_plugin(name: &str, text: &str) -> Result<PluginConfig, String> {
    let document = ConfigDocument::read(text).map_err(|why| why.refusal(name))?;
    document.parse().read.map_err(|refused| document.refusal(name, &refused))
}

/// Explains the choice for a request, by the plugin's configuration and a snapshot that was just made.
/// Knowledge that only a gateway has is missing: the request is explained as if it were the gateway's
/// first.
///
/// # Errors
/// If the configuration is not a picker's, or the body is not understood, in words.
pub fn explain(
    plugin: PluginConfig,
    request: ExplainedRequest<'_>,
    snapshot: Snapshot,
) -> Result<String, String> {
    let config = match plugin {
        PluginConfig::Picker(config) => pool(*config, &snapshot.pool)?,
        PluginConfig::Ingest(_) => {
            return Err(
                "invalid plugin configuration: must be a picker's; found an ingest's".to_owned()
            );
        }
    };
    let ask = ask(&config, request)?;
    let name = snapshot.pool.clone();
    let now = Instant::from_nanos(0);
    let mut scheduler = Scheduler::new(config.scheduler, Randomness::from_seed(0));
    drop(scheduler.handle(Event::Snapshot { snapshot, received_at: now }));
    let explanation = scheduler.explain(now, &ask, &Ledger::default());
    Ok(table::written(&ToldExplanation::new(&name, &ask, explanation)))
}

/// Returns the pool's own configuration, or else the only one that there is.
fn pool(config: PickerConfig, name: &str) -> Result<PoolConfig, String> {
    let names: Vec<_> = config.pools.iter().map(|pool| pool.name.clone()).collect();
    let only = names.len() == 1;
    let found = config.pools.into_iter().find(|pool| only || pool.name == name);
    found.ok_or_else(|| {
        let names = names.join(", ");
        format!("unknown pool {name:?}: the plugin's configuration has {names}")
    })
}

fn ask(config: &PoolConfig, request: ExplainedRequest<'_>) -> Result<InferenceRequest, String> {
    let head = RequestHead {
        method: b"POST",
        path: request.path.as_bytes(),
        has_body: true,
        ..RequestHead::default()
    };
    let Some(api) = Recognized::by_head(&head).api().filter(|api| *api != Api::Other) else {
        return Ok(InferenceRequest::default());
    };
    let inference = body::scan(request.body, api, Video::default())
        .map_err(|why| format!("invalid request body: {why}"))?;
    let model = inference.model.clone().unwrap_or_default();
    // What answers taught the gateways of the template's order is not known here.
    let order =
        PromptOrder { tools_at: config.tools_at.unwrap_or_default(), ..PromptOrder::default() };
    let blocks_max = config.prompt_blocks_max;
    Ok(inference.ask(api, HashRules { model: &model, blocks_max, order, ..HashRules::default() }))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use picker_core::{Endpoint, Health, Incarnation, Metrics};

    use super::*;

    const CHAT: &str = "/v1/chat/completions";

    fn endpoint(port: u16, waiting: u32, kv_usage: f32) -> Endpoint {
        let metrics = Metrics::default().aged(Duration::from_millis(5));
        let metrics = metrics.waiting(waiting).running(1).kv_usage(kv_usage);
        let address = ([10, 0, 0, 1], port).into();
        Endpoint {
            address,
            health: Health::Up,
            metrics: Some(metrics),
            labels: Vec::new(),
            incarnation: Incarnation::default(),
        }
    }

    #[test]
    fn every_score_of_every_endpoint_is_told() {
        let endpoints = vec![endpoint(8000, 4, 0.9), endpoint(8001, 0, 0.25)];
        let snapshot = Snapshot { pool: "chat".to_owned(), endpoints, ..Snapshot::default() };
        let body = br#"{"model": "tiny", "messages": [{"role": "user", "content": "Hello!"}]}"#;
        let plugin = r#"{"plugins": [{"type": "queue-scorer"}, {"type": "kv-cache-utilization-scorer"}],
            "schedulingProfiles": [{"name": "default", "plugins": [{"pluginRef": "queue-scorer", "weight": 2},
            {"pluginRef": "kv-cache-utilization-scorer"}]}]}"#;
        let chat = |body| ExplainedRequest { path: CHAT, body };
        let read = |text| read_plugin("p.json", text);
        let text = explain(read(plugin).unwrap(), chat(body), snapshot.clone()).unwrap();
        insta::assert_snapshot!(text, @"
        pool chat, model tiny, about 64 tokens in 1 blocks
        picked 10.0.0.1:8001 with 2.750, then 10.0.0.1:8000

        profile default
          endpoint       queue-scorer x2  kv-cache-utilization-scorer x1  total  in flight  cached tokens  backlog  first token
          10.0.0.1:8001  1.000            0.750                           2.750  0          0              0 ms     4 ms
          10.0.0.1:8000  0.000            0.100                           0.100  0          0              0 ms     4 ms

        These are the scores of a gateway that has sent nothing yet. A gateway also counts its requests in flight, and knows where it sent which prompts: ask one with --gateway.
        ");
        assert!(
            explain(read("").unwrap(), chat(b"not JSON"), snapshot)
                .unwrap_err()
                .starts_with("invalid request body: ")
        );
        insta::assert_snapshot!(read("plugins:\n- type: queue-scorer\nx: 1").unwrap_err(), @"p.json:3:1: invalid x: must be a known field; allowed: apiVersion, kind, featureGates, plugins, schedulingProfiles, flowControl, saturationDetector, requestHandler, dataLayer, pools, routeHeaders, gatewayShare, toolsAt, objectives, modelRewrites, identity, envoy, pull, failureMode, decisionHeader, mode");
    }
}
