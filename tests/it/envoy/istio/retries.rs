//! Tries at one pod after the other behind Istio, where the route is not the picker's: what it placed is retried down the
//! list, and what other teams have on the same gateway by their own policy.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::net::SocketAddr;

use stack::Stack;

use super::{chart, fixture::Kustomization, versions};
use crate::envoy::{
    client::{chat, chat_body, post},
    failures::nobody,
    push,
    retries::{CountingPod, TIMES, any_order},
    world,
};

/// The newest Envoy and the oldest.
const VERSIONS: [Option<&str>; 2] = [None, Some(versions::OLDER[0])];

/// Requests in which chance gives each of five pods the first try: without one of them in 0.8 to the power of so many.
const RANDOM_MAX: usize = 200;

/// Tells the story of these pods behind every kustomization that fails over.
async fn tell(pods: &[SocketAddr], story: impl AsyncFn(&mut Stack)) {
    for version in VERSIONS {
        for kustomization in Kustomization::ALL.into_iter().filter(|it| it.way.fails_over()) {
            let builder = versions::stack(version)
                .way(kustomization.way)
                .template(kustomization.template(&any_order(pods.len())))
                .upstreams(pods.to_vec())
                .without_scraper();
            world::tell(builder, async |stack| {
                push::snapshot(stack, 1, pods).await;
                story(stack).await;
            })
            .await;
        }
    }
}

#[tokio::test]
async fn a_list_is_gone_down_behind_istio() {
    let living = CountingPod::that_answers().await;
    let dead = [nobody(), nobody(), nobody(), nobody(), nobody()];
    let pods: Vec<_> = dead.into_iter().chain([living.address]).collect();
    tell(&pods, async |stack| {
        for number in 0..TIMES {
            let before = living.reached();
            let reply = chat(stack.gateway, &number.to_string()).await;
            assert_eq!((reply.status, reply.served_by()), (200, living.address), "{reply:?}");
            assert_eq!(living.reached() - before, 1, "{number}");
        }
    })
    .await;
}

/// None of the pods is avoided for it: each still gets the first try of some.
#[tokio::test]
async fn a_request_of_death_reaches_two_pods_behind_istio() {
    let deadly = [
        CountingPod::that_breaks_off().await,
        CountingPod::that_breaks_off().await,
        CountingPod::that_breaks_off().await,
    ];
    let reached = || deadly.iter().map(CountingPod::reached).sum::<usize>();
    let pods: Vec<_> = deadly.iter().map(|pod| pod.address).chain([nobody(), nobody()]).collect();
    tell(&pods, async |stack| {
        let mut avoided: Vec<_> = deadly.iter().map(|pod| pod.address.to_string()).collect();
        for number in 0..RANDOM_MAX {
            // The first do not count: one that is avoided for its failures had them before.
            if number > 2 * TIMES && avoided.is_empty() {
                break;
            }
            let before = reached();
            let said = [1, 2, 3].map(|sent| ("x-llm-picker-sent", sent.to_string()));
            let reply =
                post(stack.gateway, "/v1/chat/completions", &said, chat_body(&number.to_string()))
                    .await;
            assert_eq!(reply.status, 502, "{reply:?}");
            assert_eq!(reached() - before, 2, "{number}: {reply:?}");
            if number >= TIMES {
                avoided.retain(|pod| reply.decision("endpoint") != Some(pod));
            }
        }
        assert!(avoided.is_empty(), "avoided: {avoided:?}");
    })
    .await;
}

/// What other teams have on the gateway is retried as Istio says, which is not after a reset, whatever a client sends.
#[tokio::test]
async fn the_routes_of_others_are_not_retried() {
    let deadly = [
        CountingPod::that_breaks_off().await,
        CountingPod::that_breaks_off().await,
        CountingPod::that_breaks_off().await,
    ];
    let reached = || deadly.iter().map(CountingPod::reached).sum::<usize>();
    let pods: Vec<_> = deadly.iter().map(|pod| pod.address).collect();
    for version in VERSIONS {
        for (name, suffix, way) in chart::WAYS.into_iter().filter(|(_, _, way)| way.fails_over()) {
            let services = [format!("qwen{suffix}"), "other".to_owned()];
            let gateway = chart::gateway(&services, &[&format!("picker.way=\"{name}\"")]);
            let builder = chart::stack(version, way, &gateway).upstreams(pods.clone());
            world::tell(builder, async |stack| {
                push::snapshot_of("qwen", stack, 1, &pods).await;
                let list = pods.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
                let said = [
                    ("x-gateway-destination-endpoint", list),
                    ("x-envoy-retry-on", "reset".to_owned()),
                    ("x-envoy-max-retries", "9".to_owned()),
                ];
                for (path, status, pods) in [("/other/v1", 503, 1), ("/v1", 502, 2)] {
                    let path = format!("{path}/chat/completions");
                    for headers in [&said[..0], &said] {
                        let before = reached();
                        let reply = post(stack.gateway, &path, headers, chat_body("hello")).await;
                        assert_eq!(reply.status, status, "{name} {path}: {reply:?}");
                        assert_eq!(reached() - before, pods, "{name} {path}: {reply:?}");
                    }
                }
            })
            .await;
        }
    }
}
