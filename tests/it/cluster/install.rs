//! The chart from an empty cluster: installed, upgraded, rolled back and uninstalled, as docs/istio.md says, while clients ask.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may panic")]

use super::{
    load::{Load, Picked, failed, picked},
    scene::{CHAT, OTHER_CHAT, Scene, settle},
    world::until,
};

/// Adds a port to the Gateway, which shows whether it is still carried out.
const PORT: &str = r#"[{"op": "add", "path": "/spec/listeners/-",
    "value": {"name": "more", "port": 8081, "protocol": "HTTP"}}]"#;

/// No part of the inference extension is in this cluster.
#[test]
fn no_request_fails_from_install_to_uninstall() {
    let scene = Scene::of_service();
    let cluster = &scene.cluster;
    cluster.kubectl("delete crd --ignore-not-found inferencepools.inference.networking.k8s.io");
    let load = Load::start(cluster, CHAT);
    let other = Load::start(cluster, OTHER_CHAT);
    scene.install(&[]).unwrap();
    scene.name_environment();
    scene.until_picked(CHAT, Picked::Picker);
    settle();
    assert_eq!(failed(&load.take()), [""; 0], "while it was installed");
    // All that is asked from here on is picked, whatever happens to the release.
    scene.upgrade(&["--set-json", "picker.gatewayShare=0.5"]).unwrap();
    settle();
    cluster.shell("helm rollback picker --namespace llm-picker").unwrap();
    settle();
    let counts = load.take();
    assert!(picked(&counts, Picked::Picker) > 100 && counts.len() == 1, "changed: {counts:?}");
    scene.uninstall();
    settle();
    for load in [load, other] {
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
