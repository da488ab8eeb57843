//! Two layouts of shared data side by side, as while one module takes the place of another.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use wire::layout::{LAYOUT, key};

use super::{
    push::Pod,
    world::{WORKERS, World, about},
};

/// The key of the same value in another layout.
fn elsewhere(what: &str) -> String {
    let other = key("default", what).replace(LAYOUT, "v999999999.");
    assert_ne!(other, key("default", what));
    other
}

/// What is under another layout's keys is neither read nor written.
#[test]
fn another_layout_is_left_alone() {
    let values = ["ledger", "workers", "snapshot", "pull", "queues", "note/0", "note/1"];
    let world = World::new();
    for what in values {
        world.envoy.set_shared_data(&elsewhere(what), b"of another version");
    }
    world.pods(&Pod::idles(4));
    for n in 0..40 {
        let stream = world.chat(n % WORKERS, &about(&format!("subject {}", n % 7)));
        assert!(stream.sent().is_some());
        stream.respond(200, &[] as &[(&str, &str)], b"{}");
    }
    for what in values {
        let kept = world.envoy.shared_data(&elsewhere(what));
        assert_eq!(kept.as_deref(), Some(&b"of another version"[..]), "{what}");
    }
    world.is_well();
}
