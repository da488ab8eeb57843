//! A part of the requests for the picker and the rest for the EPP: by chance, by the gateway's pod, by route.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may panic")]

use std::net::SocketAddr;

use super::{
    load::{Counts, Load, Picked, Target, failed, picked},
    scene::{POOL_CHAT, Scene, settle},
    world::{Cluster, say},
};

/// Path of the second rule to the same pool.
const SECOND_RULE: &str = "/publishers/qwen/v1/chat/completions";

/// Requests by which a share is measured, within some 2 points.
const REQUESTS: u32 = 4_000;

/// Requests by which one sees whether all are picked.
const FEW: u32 = 200;

/// Returns what became of as many requests or some more, from now on.
fn counted(cluster: &Cluster, target: impl Into<Target>, requests: u32) -> Counts {
    let load = Load::of(cluster, &target.into(), 8);
    let counts = load.more(requests);
    let rest = load.end();
    assert_eq!((failed(&counts), failed(&rest)), (Vec::new(), Vec::new()));
    counts
}

/// Returns the part of the requests that went elsewhere than the picker had chosen.
fn elsewhere(counts: &Counts) -> f64 {
    f64::from(picked(counts, Picked::NotFollowed)) / f64::from(counts.values().sum::<u32>())
}

#[test]
fn a_share_a_pod_or_a_route_follows_the_picker() {
    let scene = Scene::of_pool();
    let cluster = &scene.cluster;
    scene.step("lookOn").unwrap();
    scene.name_environment();
    settle();
    // Both choose the same pod now and then, which looks as if the picker were followed.
    let differ = elsewhere(&counted(cluster, POOL_CHAT, REQUESTS));
    assert!(differ > 0.3, "{differ}");
    scene.step_with("override", "--set picker.canaryPercent=20").unwrap();
    settle();
    let share = 1.0 - elsewhere(&counted(cluster, POOL_CHAT, REQUESTS)) / differ;
    say(&format!("canaryPercent=20: {:.1} % of {REQUESTS} requests", share * 100.0));
    assert!((0.13..0.27).contains(&share), "{share}");
    by_pod(&scene);
    by_route(&scene);
}

/// One of two pods of the gateway has the label.
fn by_pod(scene: &Scene) {
    let cluster = &scene.cluster;
    let gateway = "gateway.networking.k8s.io/gateway-name=inference-gateway";
    cluster.kubectl("scale -n istio-ingress deployment/inference-gateway-istio --replicas 2");
    cluster.kubectl(
        "rollout status -n istio-ingress deployment/inference-gateway-istio --timeout 240s",
    );
    let pods = cluster.get(&format!("pods -n istio-ingress -l {gateway}"));
    let name = pods["items"][0]["metadata"]["name"].as_str().unwrap();
    cluster.kubectl(&format!("label -n istio-ingress pod {name} picker=canary"));
    let labels = "--set picker.canaryPercent=100,picker.canaryPodLabels.picker=canary";
    scene.step_with("override", labels).unwrap();
    let pod = |index: usize| {
        let address = pods["items"][index]["status"]["podIP"].as_str().unwrap();
        let pod = Some(SocketAddr::new(address.parse().unwrap(), 80));
        Target { pod, ..POOL_CHAT.into() }
    };
    settle();
    let with = counted(cluster, pod(0), FEW);
    assert!(picked(&with, Picked::PickerOverEpp) >= FEW && with.len() == 1, "{with:?}");
    let without = counted(cluster, pod(1), FEW);
    assert!(picked(&without, Picked::NotFollowed) > FEW / 4, "{without:?}");
    scene.step_with("off", labels).unwrap();
    settle();
    let with = counted(cluster, pod(0), FEW);
    assert!(picked(&with, Picked::Picker) >= FEW && with.len() == 1, "{with:?}");
    let without = counted(cluster, pod(1), FEW);
    assert!(picked(&without, Picked::NotFollowed) > FEW / 4, "{without:?}");
}

/// The first rule leaves the EPP out, the second asks it.
fn by_route(scene: &Scene) {
    let cluster = &scene.cluster;
    scene.step_with("override", "--set picker.canaryPodLabels=null").unwrap();
    settle();
    scene.step("off").unwrap();
    settle();
    let first = counted(cluster, POOL_CHAT, FEW);
    assert!(picked(&first, Picked::Picker) >= FEW && first.len() == 1, "{first:?}");
    let second = counted(cluster, SECOND_RULE, FEW);
    assert!(picked(&second, Picked::PickerOverEpp) >= FEW && second.len() == 1, "{second:?}");
}
