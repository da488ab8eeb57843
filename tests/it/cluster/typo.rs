//! A configuration that is wrong, on a gateway that other teams share.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may panic")]

use super::{
    load::{GATEWAY, Load, Outcome, Picked, ask, failed},
    scene::{CHAT, OTHER_CHAT, Scene, settle},
    world::until,
};

const TYPO: &str = r#"picker.config={"plugins":[{"type":"queu-scorer"}]}"#;

#[test]
fn a_typo_is_refused_before_anything_changes_and_harms_nobody_if_it_is_not() {
    let scene = Scene::of_service();
    let cluster = &scene.cluster;
    scene.install(&[]).unwrap();
    scene.name_environment();
    scene.until_picked(CHAT, Picked::Picker);
    let refused = scene.upgrade(&["--set-json", &format!("'{TYPO}'")]).unwrap_err();
    assert!(refused.contains("pre-upgrade hooks failed"), "{refused}");
    let said = cluster.log("picker-check-");
    assert!(said.contains("queu-scorer") && said.contains("queue-scorer"), "{said}");
    scene.until_picked(CHAT, Picked::Picker);
    // Somebody has no use for checks.
    let load = Load::start(cluster, CHAT);
    let other = Load::start(cluster, OTHER_CHAT);
    scene
        .upgrade(&["--set-json", &format!("'{TYPO}'"), "--set", "preflight.enabled=false"])
        .unwrap();
    settle();
    scene.restart_gateway();
    // Another team's change of the same listener is in force, on the new pod too.
    cluster.apply("another-filter.yaml");
    until("the other team's filter is there", || {
        let page = cluster.page(GATEWAY, 80, "/other/filter");
        page.contains("the other team's filter").then_some(()).ok_or(page)
    });
    for load in [load, other] {
        assert_eq!(failed(&load.end()), [""; 0]);
    }
    cluster.shell("helm rollback picker 1 --namespace llm-picker").unwrap();
    scene.until_picked(CHAT, Picked::Picker);
    assert_eq!(ask(cluster, OTHER_CHAT), Outcome::Served(Picked::Nobody));
}
