//! What many requests leave behind.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use wire::layout::key;

use super::{
    push::Pod,
    world::{WORKERS, World},
};

/// Entries that the event ring keeps; see `RING_ENTRIES` of core/src/worker/seen.rs.
const NOTES_KEPT: usize = 1024;

/// Three times the ring.
const PLACEMENTS: usize = 3 * NOTES_KEPT;

#[test]
fn the_ring_of_notes_goes_round() {
    let world = World::new();
    world.pods(&Pod::idles(8));
    for n in 0..PLACEMENTS {
        let stream = world.chat(n % 3, &format!("number {n}"));
        assert!(stream.sent().is_some());
        stream.respond(200, &[] as &[(&str, &str)], b"{}");
    }
    let note = |n: usize| world.envoy.shared_data(&key("default", &format!("note/{n}")));
    assert!((0..NOTES_KEPT).all(|n| note(n).is_some_and(|note| note.len() < 200)));
    assert!((NOTES_KEPT..PLACEMENTS).all(|n| note(n).is_none()));
    // Worker 3 has seen nothing of all this. The ring tells it the last of it.
    let last = format!("number {}", PLACEMENTS - 1);
    let home = world.pod(&world.chat(0, &last));
    let stream = world.chat(3, &last);
    assert_eq!(world.pod(&stream), home);
    assert!(World::decision(&stream).contains("prefix-hit=1.00"));
    world.is_well();
}

/// Whatever ends a request, nothing of it is kept: 20,000 that were never answered are more than a
/// worker remembers at a time.
#[test]
fn requests_that_come_to_nothing_leave_nothing() {
    let world = World::new();
    world.pods(&[Pod::idle(1)]);
    for n in 0..20_000 {
        let stream = world.chat(n % WORKERS, "hello");
        match n % 3 {
            0 => stream.disconnect(),
            1 => stream.refuse(),
            _ => stream.respond(503, &[] as &[(&str, &str)], b"busy"),
        }
        assert!(stream.is_over());
    }
    assert!(World::decision(&world.chat(2, "hello")).contains("prefix-hit=0.00"));
    world.is_well();
}
