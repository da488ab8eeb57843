//! The chart's steps beside an EPP that stays: looked at, overruled, left out.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::net::SocketAddr;

use serde_json::json;
use stack::Stack;

use super::{
    chart::{WAYS, stack},
    epp::Epp,
    manifests::render,
    pilot::Gateway,
    pool,
};
use crate::envoy::{client::chat_with, push, upstream, world};

/// A step, whether the EPP is asked in it, and whether the picker decides.
const STEPS: [(&str, bool, bool); 3] =
    [("lookOn", true, false), ("override", true, true), ("off", false, true)];

/// The gateway at a step.
fn gateway(way: &str, step: &str, epp: &Epp) -> Gateway {
    let model = json!({
        "name": "qwen", "namespace": "models", "backend": "inferencePool", "epp": step,
        "inferencePool": {"name": "qwen-inference-pool"}, "routes": [pool::ROUTE],
    });
    let models = format!("models=[{model}]");
    let way = format!("picker.way=\"{way}\"");
    let settings = [&*models, &*way, "picker.decisionHeader=true"];
    Gateway::with(pool::bootstrap(epp.address), &render(&settings))
}

/// Asks as a client that would like to choose the pod itself, and says whether the EPP was asked too.
async fn ask(stack: &Stack, wanted: SocketAddr, epp: &Epp) -> (SocketAddr, Option<String>, bool) {
    let before = epp.asked();
    let headers = [("x-gateway-destination-endpoint", wanted.to_string())];
    let reply = chat_with(stack.gateway, "hello", &headers).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let decision = reply.decision("endpoint").map(str::to_owned);
    (reply.served_by(), decision, epp.asked() == before + 1)
}

#[tokio::test]
async fn an_epp_is_looked_at_overruled_and_left_out() {
    for (name, _, way) in WAYS.into_iter().filter(|(name, ..)| *name != "wasmPlugin") {
        let [of_epp, of_picker, of_client] =
            [upstream::answers().await, upstream::answers().await, upstream::answers().await];
        let epp = Epp::start(of_epp).await;
        for (step, is_asked, is_picked) in STEPS {
            let gateway = gateway(name, step, &epp);
            let pods = vec![of_epp, of_picker, of_client];
            let builder = stack(None, way, &gateway).upstreams(pods);
            // A picker that looks on answers nothing by itself, so that nothing tells whether each worker reads bodies.
            world::tell_of_refusal(builder, async |stack| {
                // Without a snapshot the picker has no answer: the EPP's counts, as long as it is asked.
                if is_asked {
                    assert_eq!(
                        ask(stack, of_client, &epp).await,
                        (of_epp, None, true),
                        "{name}, {step}"
                    );
                }
                push::snapshot_of("qwen", stack, 1, &[of_picker]).await;
                let served = if is_picked { of_picker } else { of_epp };
                let expected = (served, Some(of_picker.to_string()), is_asked);
                for _ in 0..4 {
                    assert_eq!(ask(stack, of_client, &epp).await, expected, "{name}, {step}");
                }
            })
            .await;
        }
    }
}
