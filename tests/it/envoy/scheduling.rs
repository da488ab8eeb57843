//! What scheduling does beyond scores, where the filter's words must reach the pods.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{cell::Cell, net::SocketAddr};

use serde_json::{Value, json};
use stack::{Hold, Stack, Way};
use tokio::time::Instant;

use super::{
    client::{chat, chat_with},
    echo, push,
    routing::long_prompt,
    upstream, world,
};

fn disagg() -> Value {
    let profile = |name: &str| {
        let plugin = json!({"pluginRef": format!("{name}-filter")});
        json!({"name": name, "plugins": [plugin]})
    };
    let deciders = json!({"deciders": {"prefill": "always-disagg-pd-decider"}});
    json!({
        "decisionHeader": true,
        "plugins": [
            {"type": "always-disagg-pd-decider"},
            {"type": "disagg-profile-handler", "parameters": deciders},
            {"type": "decode-filter"},
            {"type": "prefill-filter"},
        ],
        "schedulingProfiles": [profile("decode"), profile("prefill")],
    })
}

#[tokio::test]
async fn the_decode_pod_is_told_who_computes_the_prompt() {
    let (decode, prefill) = (echo::pod().await, echo::pod().await);
    let holds = Way::ALL.into_iter().filter(|way| way.hold() == Hold::StopIteration);
    for way in holds {
        let stack = world::stack().way(way).upstreams(vec![prefill, decode]).without_scraper();
        world::tell(stack.plugin(disagg()), async |stack| {
            push::stages(stack, 1, &[(prefill, "prefill"), (decode, "decode")]).await;
            let forged = [("x-prefiller-host-port", stack.admin.to_string())];
            for number in 0..6 {
                let prompt = long_prompt(&number.to_string());
                let reply = chat_with(stack.gateway, &prompt, &forged).await;
                assert_eq!((reply.status, reply.served_by()), (200, decode), "{reply:?}");
                let told = reply.header("x-seen-x-prefiller-host-port");
                assert_eq!(told, Some(&*prefill.to_string()), "{reply:?}");
            }
        })
        .await;
    }
}

/// Until the pods have so many requests in flight.
async fn until_in_flight(stack: &Stack, pods: [(SocketAddr, &str); 2], count: [u32; 2]) {
    world::until(async || {
        let known = push::report_on_stages(stack, &pods).await.in_flight;
        let of = |pod| known.iter().find(|it| it.endpoint == pod).map_or(0, |it| it.requests);
        (pods.map(|(pod, _)| of(pod)) == count).then_some(())
    })
    .await;
}

/// The pod begins with the second answer when the first has ended: until then the second prompt counts
/// where it is computed.
#[tokio::test]
async fn a_prompt_counts_where_it_is_computed_until_the_answer_begins() {
    let (decode, tokens) = upstream::streams_on_command().await;
    let (prefill, tokens) = (upstream::answers().await, Cell::new(Some(tokens)));
    let pods = [(prefill, "prefill"), (decode, "decode")];
    let stack = world::stack().upstreams(vec![prefill, decode]).without_scraper();
    world::tell(stack.plugin(disagg()), async |stack| {
        push::stages(stack, 1, &pods).await;
        let gateway = stack.gateway;
        let ask = |prompt| tokio::spawn(async move { chat(gateway, prompt).await });
        let asked = [ask("one"), ask("two")];
        until_in_flight(stack, pods, [1, 2]).await;
        drop(tokens.take());
        for reply in asked {
            let reply = reply.await.unwrap();
            assert_eq!((reply.status, reply.served_by()), (200, decode), "{reply:?}");
        }
        until_in_flight(stack, pods, [0, 0]).await;
    })
    .await;
}

/// Answers that have begun well.
async fn begun(stack: &Stack) -> u64 {
    let stats = stack.stats("^http.gateway.downstream_rq_2xx$").await.unwrap();
    stats.trim().rsplit(' ').next().unwrap().parse().unwrap_or(0)
}

/// Envoy says that it reached the main port, and the request counts at its rank all the same.
#[tokio::test]
async fn a_rank_behind_the_main_port_keeps_its_requests() {
    let (main, tokens) = upstream::streams_on_command().await;
    let (rank, tokens) = (SocketAddr::new(main.ip(), 1), Cell::new(Some(tokens)));
    let parameters = json!({"primaryPort": main.port()});
    let plugin = json!({
        "plugins": [
            {"type": "data-parallel-profile-handler", "parameters": parameters},
            {"type": "queue-scorer"},
        ],
        "schedulingProfiles": [{"name": "default", "plugins": [{"pluginRef": "queue-scorer"}]}],
    });
    let stack = world::stack().upstreams(vec![main]).without_scraper();
    world::tell(stack.plugin(plugin), async |stack| {
        push::snapshot(stack, 1, &[rank]).await;
        let in_flight = async || {
            let known = push::report(stack, &[rank]).await.in_flight;
            known.iter().map(|it| it.requests).sum::<u32>()
        };
        let gateway = stack.gateway;
        let asked = tokio::spawn(async move { chat(gateway, "one").await });
        world::until(async || (begun(stack).await == 1).then_some(())).await;
        assert_eq!(in_flight().await, 1);
        drop(tokens.take());
        let reply = asked.await.unwrap();
        assert_eq!((reply.status, reply.served_by()), (200, main), "{reply:?}");
        world::until(async || (in_flight().await == 0).then_some(())).await;
    })
    .await;
}

/// It answers with errors, and does so to one client only, as far as anybody can see: those may be its requests.
#[tokio::test]
async fn errors_of_one_client_have_no_pod_avoided() {
    let bad = upstream::fails(500).await;
    let good = upstream::answers().await;
    // A filter in front says which tenant asks: the tenants of untrusted headers are one client.
    let plugin = json!({
        "failureMode": "FailOpen", "identity": {"trusted": ["x-llm-d-inference-fairness-id"]},
    });
    world::tell_in_every_way(
        |stack| stack.upstreams(vec![bad, good]).without_scraper().plugin(plugin.clone()),
        async |stack| {
            push::snapshot(stack, 1, &[bad, good]).await;
            let mut number = 0;
            let mut err = async |tenant: &str| {
                // Both pods look idle, so that half of the prompts go to the one that fails.
                loop {
                    number += 1;
                    let tenant = [("x-llm-d-inference-fairness-id", tenant.to_owned())];
                    let prompt = long_prompt(&number.to_string());
                    let reply = chat_with(stack.gateway, &prompt, &tenant).await;
                    assert!([200, 500].contains(&reply.status), "{reply:?}");
                    if reply.status == 500 {
                        return;
                    }
                }
            };
            for _ in 0..8 {
                err("mallory").await;
            }
            err("alice").await;
            let began = Instant::now();
            err("bob").await;
            let mut later = 0;
            for number in 0..30 {
                let reply = chat(stack.gateway, &long_prompt(&format!("after {number}"))).await;
                later += u64::from(reply.status == 500);
            }
            // Now it is avoided, but for a probe after two seconds.
            let probes = began.elapsed().as_secs() / 2;
            assert!(later <= probes, "{}: {later} errors for {probes} probes", stack.way);
        },
    )
    .await;
}

#[tokio::test]
async fn a_pod_that_fails_is_left_alone() {
    is_left_alone(upstream::fails(502).await).await;
}

/// Each of its answers begins well.
#[tokio::test]
async fn a_pod_whose_streams_break_off_is_left_alone() {
    is_left_alone(upstream::resets_midway().await).await;
}

#[tokio::test]
async fn a_pod_whose_answers_break_off_is_left_alone() {
    is_left_alone(upstream::resets_midway_of_known_length().await).await;
}

/// Both pods look idle, so that half of the prompts would go to the bad one.
async fn is_left_alone(bad: SocketAddr) {
    let good = upstream::answers().await;
    world::tell_in_every_way(
        |stack| stack.upstreams(vec![bad, good]).without_scraper(),
        async |stack| {
            push::snapshot(stack, 1, &[bad, good]).await;
            let mut number = 0;
            let mut fails = async || {
                number += 1;
                chat(stack.gateway, &long_prompt(&number.to_string())).await.served_by() == bad
            };
            let mut failures = 0;
            let mut began = Instant::now();
            while failures < 3 {
                began = Instant::now();
                failures += u64::from(fails().await);
            }
            let mut later = 0;
            for _ in 0..30 {
                later += u64::from(fails().await);
            }
            // It is tried again after two seconds, and then less often.
            let probes = began.elapsed().as_secs() / 2;
            assert!(later <= probes, "{}: {later} failures for {probes} probes", stack.way);
        },
    )
    .await;
}
