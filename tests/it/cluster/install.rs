//! The chart from an empty cluster: installed, upgraded, rolled back and uninstalled, as docs/istio.md says, while clients ask.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may panic")]

use super::{
    documented::commands,
    load::{Counts, GATEWAY, Load, Picked, failed, picked},
    policies::Policies,
    scene::{CHAT, OTHER_CHAT, Scene, settle},
    world::until,
};

/// Adds a port to the Gateway, which shows whether it is still carried out.
const PORT: &str = r#"[{"op": "add", "path": "/spec/listeners/-",
    "value": {"name": "more", "port": 8081, "protocol": "HTTP"}}]"#;

/// All commands of the page, in its order. No part of the inference extension is in this cluster.
#[test]
fn the_page_of_istio_is_followed_and_no_request_fails() {
    let page = commands("istio.md");
    let [_install, environment, test, ask, without, uninstall] = page.as_slice() else {
        panic!("docs/istio.md has other commands than this story: {page:#?}")
    };
    let scene = Scene::of_service();
    let cluster = &scene.cluster;
    cluster.kubectl("delete crd --ignore-not-found inferencepools.inference.networking.k8s.io");
    let loads = [CHAT, OTHER_CHAT].map(|path| Load::start(cluster, path));
    scene.install(&[]).unwrap();
    cluster.shell(environment).unwrap();
    scene.until_environment();
    scene.until_picked(CHAT, Picked::Picker);
    cluster.shell(test).unwrap();
    let gateway = cluster.address(GATEWAY, 80).unwrap().to_string();
    let answer = cluster.shell(&ask.replace("GATEWAY", &gateway)).unwrap();
    assert!(answer.contains("x-llm-picker-decision: endpoint="), "{answer}");
    only_ours_may_connect(&scene);
    changed(&scene, &loads);
    cluster.shell(without).unwrap();
    cluster.shell(uninstall).unwrap();
    settle();
    for load in loads {
        assert_eq!(failed(&load.end()), [""; 0], "while it was uninstalled");
    }
    let patch =
        format!("kubectl -n istio-ingress patch gateway inference-gateway --type json -p '{PORT}'");
    cluster.shell(&patch).unwrap();
    until("the Gateway's Service has the new port", || {
        let service = cluster.get("service -n istio-ingress inference-gateway-istio");
        let ports = service["spec"]["ports"].as_array().unwrap();
        ports.iter().any(|port| port["port"] == 8081).then_some(()).ok_or_else(|| ports.clone())
    });
}

/// Holds the policies to the connections that there are, and to those that must not be.
fn only_ours_may_connect(scene: &Scene) {
    let policies = Policies::of(&scene.cluster);
    let connections = policies.check_connections(&scene.cluster);
    assert!(connections > 5, "{connections} connections");
    let gateway = "gateway.networking.k8s.io/gateway-name=inference-gateway";
    let gateway = ["istio-ingress", gateway];
    let scraper = ["llm-picker", "app.kubernetes.io/component=scraper"];
    let model = ["models", "app=qwen"];
    assert!(policies.allow(scraper, gateway, 15810), "snapshots are pushed");
    assert!(!policies.allow(model, gateway, 15810), "a model's pod reaches the gateway's ingest");
    assert!(policies.allow(model, gateway, 80), "requests reach the gateway");
    assert!(policies.allow(gateway, scraper, 9091), "the gateway fetches the plugin");
    assert!(!policies.allow(model, scraper, 9091), "a model's pod reaches the scraper");
}

/// Upgrades and rolls back: all that is asked meanwhile is picked, whatever happens to the release.
fn changed(scene: &Scene, [load, other]: &[Load; 2]) {
    settle();
    assert_eq!(failed(&load.take()), [""; 0], "while it was installed");
    let only_picked = |counts: &Counts| {
        assert!(picked(counts, Picked::Picker) > 0 && counts.len() == 1, "{counts:?}");
    };
    scene.upgrade(&["--set-json", "picker.gatewayShare=0.5"]).unwrap();
    settle();
    only_picked(&load.more(100));
    scene.cluster.shell("helm rollback picker --namespace llm-picker").unwrap();
    settle();
    only_picked(&load.more(100));
    assert_eq!(failed(&other.take()), [""; 0], "another team's");
}
