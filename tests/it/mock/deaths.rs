//! A VM that dies takes its own requests with it, and nothing else.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use wire::layout::key;

use super::{
    push::Pod,
    story::tell,
    world::{CHAT, World, about, chat_body},
};

#[test]
fn the_new_vm_reads_itself_warm_from_the_board() {
    let world = World::new();
    tell(
        &world,
        "
        pods 0.0 0.1
        2 asks a about rivers => pod 1
        a gets 200
        1000 ms pass
        pods 0.5 0.0
        2 dies
        0 asks b about rivers => pod 1
        b gets 200
        2 asks c about rivers => pod 1
        c gets 200
        2 asks d about stars => pod 2
        d gets 200
        3 asks e about rivers => pod 1
        ",
    );
    assert!(world.envoy.worker(2).alive(), "replaced");
}

#[test]
fn the_others_go_on_while_it_is_dead() {
    let world = World::new();
    world.pods(&Pod::idles(3));
    let open = world.envoy.worker(1).post_headers(CHAT, &[] as &[(&str, &str)]);
    let home = world.pod(&world.chat(1, &about("rivers")));
    world.envoy.worker(1).kill();
    open.last_chunk(&chat_body("hello"));
    assert_eq!(open.status(), Some(503), "what it held");
    // Envoy waits a second before it replaces a VM.
    assert_eq!(world.chat(1, &about("rivers")).status(), Some(503));
    for worker in [0, 2, 3] {
        assert_eq!(world.pod(&world.chat(worker, &about("rivers"))), home);
    }
    world.envoy.run_for(Duration::from_secs(1));
    assert_eq!(world.pod(&world.chat(1, &about("rivers"))), home);
}

/// A VM that dies between announcing a note and writing it leaves a gap in the ring; here its note
/// is wiped instead. The others must not wait for it for ever.
#[test]
fn a_note_that_never_came_holds_up_nobody_for_long() {
    let world = World::new();
    world.pods(&Pod::idles(8));
    world.chat(0, &about("rivers"));
    world.envoy.set_shared_data(&key("default", "note/0"), b"");
    for n in 0..64 {
        world.chat(0, &about(&format!("subject {n}")));
    }
    let home = world.pod(&world.chat(0, &about("stars")));
    for worker in 1..4 {
        assert_eq!(world.pod(&world.chat(worker, &about("stars"))), home, "worker {worker}");
    }
    world.is_well();
}

/// The scraper pushes to some worker. If that one just died, the next push goes through.
#[test]
fn pushes_come_through_again_too() {
    let world = World::new();
    world.envoy.run_for(Duration::from_secs(1));
    world.envoy.worker(0).kill();
    world.pods(&[Pod::idle(1)]);
    assert_eq!(world.pod(&world.chat(3, "hello")).number, 1);
}

/// Envoy writes the first value of a key whoever wrote it meanwhile: of two workers that came first at once one would be lost,
/// and with it what it counts.
#[test]
fn what_workers_change_together_is_there_before_any_of_them_serves() {
    let world = World::new();
    for name in ["ledger", "snapshot", "pull"] {
        let there = world.envoy.shared_data(&key("default", name));
        assert_eq!(there.as_deref(), Some(&[][..]), "{name}");
    }
}
