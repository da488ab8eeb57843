//! Something that a release needs is not there: whatever it is, no request fails, of the model or of another team.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may panic")]

use super::{
    load::{Counts, Load, Picked, failed, picked},
    scene::{CHAT, OTHER_CHAT, Scene, settle},
};

/// Serves all while the step is taken and behind it, on a gateway's new pod too.
fn served_through(scene: &Scene, step: impl FnOnce()) -> Counts {
    let loads = [CHAT, OTHER_CHAT].map(|path| Load::start(&scene.cluster, path));
    step();
    scene.restart_gateway();
    settle();
    let [own, other] = loads.map(Load::end);
    assert_eq!((failed(&own), failed(&other)), (Vec::new(), Vec::new()));
    assert_eq!(other.len(), 1, "another team's requests: {other:?}");
    own
}

#[test]
fn no_plugin_can_be_fetched() {
    let scene = Scene::of_service();
    let counts = served_through(&scene, || {
        scene.install(&["--set", "picker.image.fromScraper=false"]).unwrap();
    });
    assert_eq!(picked(&counts, Picked::Nobody), counts.values().sum::<u32>(), "{counts:?}");
}

#[test]
fn the_scraper_that_serves_the_plugin_goes_and_comes_back() {
    let scene = Scene::of_service();
    scene.install(&[]).unwrap();
    scene.name_environment();
    scene.until_picked(CHAT, Picked::Picker);
    served_through(&scene, || {
        scene.cluster.kubectl("scale -n llm-picker deployment/picker-scraper --replicas 0");
        scene.cluster.kubectl("wait -n llm-picker --for delete pod -l app.kubernetes.io/component=scraper --timeout 240s");
    });
    scene.cluster.kubectl("scale -n llm-picker deployment/picker-scraper --replicas 2");
    scene.cluster.kubectl("rollout status -n llm-picker deployment/picker-scraper --timeout 240s");
    // The pod that could not fetch the plugin does not try again: docs/istio.md says to make it anew.
    scene.restart_gateway();
    scene.until_picked(CHAT, Picked::Picker);
}

#[test]
fn the_secret_is_missing() {
    let scene = Scene::of_service();
    let counts = served_through(&scene, || {
        scene.install(&["--set", "ingest.createSecret=false"]).unwrap();
        scene.name_environment();
    });
    assert_eq!(picked(&counts, Picked::Nobody), counts.values().sum::<u32>(), "{counts:?}");
}
