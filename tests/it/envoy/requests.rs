//! What becomes of a request's model, its pool, its headers and its errors, over a real Envoy.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use serde_json::{Value, json};
use tokio::process::Command;
use wire::tally::{Labels, Measure};

use super::{
    client::{Reply, chat, post},
    echo, push, world,
};

const CHAT: &str = "/v1/chat/completions";

/// Requests for gpt-4 go to tiny.
fn renaming() -> Value {
    let rule =
        json!({"matches": [{"model": {"value": "gpt-4"}}], "targets": [{"modelRewrite": "tiny"}]});
    json!({"modelRewrites": [{"name": "alias", "rules": [rule]}], "decisionHeader": true,
        "identity": {"trusted": ["x-llm-d-model-name-rewrite"]}})
}

fn body(model: &str, streamed: bool) -> String {
    // The model last, behind what must not be touched.
    let messages = r#"[{"role":"user","content":"\"model\":\"gpt-4\""}]"#;
    format!(r#"{{"stream":{streamed},"messages":{messages},"n":1.0,"model":"{model}"}}"#)
}

#[tokio::test]
async fn a_model_goes_by_the_name_that_was_asked_for() {
    let pod = echo::pod().await;
    world::tell_in_every_way(
        |stack| stack.upstreams(vec![pod]).without_scraper().plugin(renaming()),
        async |stack| {
            push::snapshot(stack, 1, &[pod]).await;
            for streamed in [false, true] {
                let reply = post(stack.gateway, CHAT, &[], body("gpt-4", streamed)).await;
                assert_eq!(reply.header("x-seen-model"), Some("tiny"), "{reply:?}");
                assert!(reply.body.contains(r#""model":"gpt-4""#), "{reply:?}");
                assert!(!reply.body.contains("tiny"), "{reply:?}");
                let plain = post(stack.gateway, CHAT, &[], body("tiny", streamed)).await;
                assert_eq!(plain.header("x-seen-model"), Some("tiny"), "{plain:?}");
                assert!(plain.body.contains(r#""model":"tiny""#), "{plain:?}");
            }
            let named = [("x-llm-d-model-name-rewrite", "other".to_owned())];
            let reply = post(stack.gateway, CHAT, &named, body("gpt-4", false)).await;
            assert_eq!(reply.header("x-seen-model"), Some("other"), "{reply:?}");
        },
    )
    .await;
}

#[tokio::test]
async fn context_is_kept_and_priority_told() {
    let pod = echo::pod().await;
    let plugin = json!({
        "requestHandler": {"propagatePriority": true},
        "objectives": [{"name": "paid", "priority": 7}],
        "identity": {
            "fairnessHeaders": ["x-team"], "trusted": ["x-gateway-destination-endpoint-subset"],
        },
    });
    world::tell_in_every_way(
        |stack| stack.upstreams(vec![pod]).without_scraper().plugin(plugin.clone()),
        async |stack| {
            push::snapshot(stack, 1, &[pod]).await;
            let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
            let headers = [
                ("traceparent", trace),
                ("x-llm-d-inference-objective", "paid"),
                ("x-llm-d-inference-fairness-id", "forged"),
                ("x-gateway-destination-endpoint-subset", &pod.ip().to_string()),
            ]
            .map(|(name, value)| (name, value.to_owned()));
            let reply = post(stack.gateway, CHAT, &headers, body("m", false)).await;
            let seen = |name: &str| reply.header(&format!("x-seen-{name}"));
            assert_eq!(seen("traceparent"), Some(trace), "{reply:?}");
            assert_eq!(seen("x-vllm-priority"), Some("-7"), "lower comes first there: {reply:?}");
            assert!(seen("x-request-id").is_some_and(|id| !id.is_empty()), "{reply:?}");
            assert_eq!(seen("x-llm-d-inference-fairness-id"), None, "nobody vouches for it");
            assert_eq!(
                seen("x-gateway-destination-endpoint-subset"),
                None,
                "not the pod's business"
            );
            let elsewhere = [("x-gateway-destination-endpoint-subset", "192.0.2.1:80".to_owned())];
            let none = post(stack.gateway, CHAT, &elsewhere, body("m", false)).await;
            let reason = none.header("x-llm-d-request-dropped-reason");
            assert_eq!((none.status, reason), (503, Some("rejected-no-endpoints")), "{none:?}");
        },
    )
    .await;
}

#[tokio::test]
async fn each_pool_has_its_own_requests() {
    let (one, two) = (echo::pod().await, echo::pod().await);
    let pools = json!([
        {"name": "nobody", "match": {"cluster": "no-such-cluster"}},
        {"name": "default", "match": {"cluster": "models", "pathPrefix": "/one"}},
        {"name": "two", "match": {"host": "gateway", "model": "m"}},
    ]);
    world::tell_in_every_way(
        |stack| {
            let plugin = json!({"pools": pools, "decisionHeader": true});
            stack.upstreams(vec![one, two]).without_scraper().plugin(plugin)
        },
        async |stack| {
            push::snapshot(stack, 1, &[one]).await;
            push::snapshot_of("two", stack, 2, &[two]).await;
            let first =
                post(stack.gateway, "/one/v1/chat/completions", &[], body("m", false)).await;
            assert_eq!((first.status, first.served_by()), (200, one), "{first:?}");
            let second = post(stack.gateway, CHAT, &[], body("m", false)).await;
            assert_eq!((second.status, second.served_by()), (200, two), "{second:?}");
        },
    )
    .await;
}

/// What the EPP's table says, in the envelope of the client's API.
#[tokio::test]
async fn errors_are_told_in_the_clients_words() {
    world::tell_in_every_way(
        |stack| {
            let plugin = json!({"failureMode": "FailClose"});
            stack.endpoints(1).without_scraper().plugin(plugin)
        },
        async |stack| {
            let say = |reply: Reply| format!("{} {}", reply.status, reply.body);
            let of = async |path: &str, body: &str| say(post(stack.gateway, path, &[], body.to_owned()).await);
            let malformed = "error unmarshaling request bodyMap: invalid character 'o' in literal null (expecting 'u') (byte 1)";
            assert_eq!(
                of(CHAT, "nope").await,
                format!(r#"400 {{"error":{{"message":"{malformed}","type":"invalid_request_error","code":400}}}}"#)
            );
            assert_eq!(
                of("/v1/messages", "nope").await,
                format!(r#"400 {{"type":"error","error":{{"type":"invalid_request_error","message":"{malformed}"}}}}"#)
            );
            let empty = "no endpoints available: no snapshot of the pool has arrived yet";
            let hello = r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#;
            assert_eq!(
                of("/v1/messages", hello).await,
                format!(r#"503 {{"type":"error","error":{{"type":"overloaded_error","message":"{empty}"}}}}"#)
            );
            for (path, missing) in [
                ("/v1/embeddings", "invalid embeddings request: must have input field"),
                ("/v1/images/generations", "invalid images generations request: must have prompt field"),
            ] {
                assert!(of(path, "{}").await.contains(missing), "{path}");
            }
        },
    )
    .await;
}

/// What Envoy answers by itself is told in the same way: here that no pod can be reached.
#[tokio::test]
async fn envoys_own_errors_are_told_in_the_clients_words() {
    let gone: std::net::SocketAddr = "127.0.0.1:9".parse().unwrap();
    world::tell_in_every_way(
        |stack| stack.upstreams(vec![gone]).without_scraper(),
        async |stack| {
            push::snapshot(stack, 1, &[gone]).await;
            let hello = r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#;
            for (path, kind) in [(CHAT, "server_error"), ("/v1/messages", "api_error")] {
                let reply = post(stack.gateway, path, &[], hello).await;
                assert_eq!(reply.status, 503, "{reply:?}");
                assert_eq!(reply.header("x-llm-picker-reason"), Some("envoy"), "{path}");
                let body: Value = serde_json::from_str(&reply.body).unwrap();
                assert_eq!(body["error"]["type"], kind, "{body}");
                assert!(!body["error"]["message"].as_str().unwrap().is_empty(), "{body}");
            }
            // The picker's own stay as they are.
            let own = post(stack.gateway, CHAT, &[], "nope").await;
            assert_eq!(own.header("x-llm-picker-reason"), Some("no-json"));
            assert!(own.error().contains("invalid character"), "{own:?}");
        },
    )
    .await;
}

/// HTTP/2 has other buffers and other resets than HTTP/1.1, and clients use it by default over TLS.
#[tokio::test]
async fn clients_may_speak_http_2() {
    world::tell_in_every_way(
        |stack| stack.endpoints(2),
        async |stack| {
            let prompt = super::routing::long_prompt("canals");
            let home = chat(stack.gateway, &prompt).await.served_by();
            let long = format!("{prompt}{}", "x".repeat(3 << 20));
            for text in [prompt, long] {
                let body = super::client::chat_body(&text);
                let file = stack.dir().join("body.json");
                std::fs::write(&file, body).unwrap();
                let told = Command::new("curl")
                    .args([
                        "--silent",
                        "--http2-prior-knowledge",
                        "--max-time",
                        "20",
                        "--output",
                        "/dev/null",
                    ])
                    .args(["--header", "content-type: application/json", "--data-binary"])
                    .arg(format!("@{}", file.display()))
                    .args(["--write-out", "%{http_version} %{http_code} %header{x-served-by}"])
                    .arg(format!("http://{}{CHAT}", stack.gateway))
                    .output()
                    .await
                    .unwrap();
                let told = String::from_utf8_lossy(&told.stdout).into_owned();
                assert_eq!(told, format!("2 200 {home}"), "{} bytes", text.len());
            }
        },
    )
    .await;
}

/// A request is counted under both names of its model, and at its pod, in every way into Envoy.
#[tokio::test]
async fn a_request_is_counted_by_the_epps_labels_in_every_way() {
    let pod = echo::pod().await;
    world::tell_in_every_way(
        |stack| stack.upstreams(vec![pod]).without_scraper().plugin(renaming()),
        async |stack| {
            push::snapshot(stack, 1, &[pod]).await;
            post(stack.gateway, CHAT, &[], body("gpt-4", true)).await;
            let request = Labels::request("gpt-4", "tiny", "default-flow", 0);
            let sets = world::until(async || {
                let sets = push::tallied(stack).await;
                sets.iter().any(|set| set.labels == request).then_some(sets)
            })
            .await;
            let count = |labels: &Labels<'_>, measure| {
                let set = sets.iter().find(|set| set.labels == *labels)?;
                set.count(measure).map(|count| count.buckets.iter().sum::<u64>().max(count.sum))
            };
            assert_eq!(count(&request, Measure::Requests), Some(1), "{sets:?}");
            for measure in [Measure::Duration, Measure::Ttft { streaming: true }] {
                assert!(count(&request, measure) >= Some(1), "{measure:?}: {sets:?}");
            }
            let rewrite = Labels::rewrite("alias", "gpt-4", "tiny");
            assert_eq!(count(&rewrite, Measure::Rewrites), Some(1), "{sets:?}");
            let attempt = Labels::attempt(Some(pod), "tiny");
            assert_eq!(count(&attempt, Measure::Attempts { sent: true }), Some(1), "{sets:?}");
        },
    )
    .await;
}
