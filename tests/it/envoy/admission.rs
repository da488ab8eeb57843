//! Admitters, whose word must reach the client through every way into Envoy.

use picker_core::{Endpoint, Metrics};
use serde_json::json;

use super::{client::chat_with, push, upstream, world};

#[tokio::test]
async fn what_may_be_shed_is_while_the_pool_is_nearly_full() {
    let pod = upstream::answers().await;
    let plugins = json!({
        "plugins": [{"type": "queue-scorer"}, {"type": "probabilistic-admitter"}],
        "objectives": [{"name": "low", "priority": -1}]
    });
    world::tell_in_every_way(
        |stack| stack.upstreams(vec![pod]).without_scraper().plugin(plugins.clone()),
        async |stack| {
            let low = [("x-llm-d-inference-objective", "low".to_owned())];
            let ask = async |headers: &[_]| chat_with(stack.gateway, "hello", headers).await;
            push::snapshot(stack, 1, &[pod]).await;
            assert_eq!(ask(&low).await.status, 200, "{}: there is room", stack.way);

            // Not so full that it is shed for that, before anybody is asked.
            let idle = push::idle(pod);
            let metrics = idle.metrics.map(|metrics| Metrics { kv_usage: 0.7, ..metrics });
            push::endpoints(stack, 2, vec![Endpoint { metrics, ..idle }]).await;
            let shed = ask(&low).await;
            assert_eq!(shed.status, 429, "{}: {shed:?}", stack.way);
            assert!(shed.error().contains("probabilistic-admitter: rejected"), "{shed:?}");
            assert_eq!(ask(&[]).await.status, 200, "{}: its priority is 0", stack.way);
        },
    )
    .await;
}
