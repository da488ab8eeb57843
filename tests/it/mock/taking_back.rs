//! A placement that came to nothing is taken back, on every worker.

use super::{story::tell, world::World};

/// What becomes of the first request about rivers decides where the next one goes.
fn after(fate: &str, next: &str) {
    let world = World::new();
    tell(
        &world,
        &format!(
            "
            pods 0.0 0.1
            0 asks a about rivers => pod 1
            {fate}
            pods 0.5 0.0
            0 asks b about rivers => {next}
            b gets 503
            1 asks c about rivers => {next}
            c leaves
            2 asks d about rivers => {next}
            d is reset
            3 asks e about rivers => {next}
            "
        ),
    );
    world.is_well();
}

#[test]
fn an_answer_keeps_it() {
    after("a gets 200", "pod 1");
}

#[test]
fn a_failure_takes_it_back() {
    for fate in [
        "a gets 503",
        "a gets 429",
        "a gets 400",
        "a is refused",
        "a is reset",
        "a times out",
        "a leaves",
    ] {
        after(fate, "pod 2");
    }
}

#[test]
fn an_answer_that_breaks_off_still_filled_the_cache() {
    let world = World::new();
    tell(&world, "pods 0.0 0.1\n 0 asks a about rivers => pod 1\n a gets 200\n pods 0.5 0.0");
    let broken = world.chat(1, &super::world::about("rivers"));
    broken.respond_headers(200, &[] as &[(&str, &str)]);
    broken.respond_chunk(b"data: {}");
    broken.upstream_resets();
    assert!(broken.was_reset());
    tell(&world, "2 asks b about rivers => pod 1");
    world.is_well();
}

/// Two share a prompt; the failure of one says nothing of the other's cache.
#[test]
fn what_another_request_counts_on_is_not_taken_back() {
    let world = World::new();
    tell(
        &world,
        "
        pods 0.0 0.1
        0 asks a about rivers => pod 1
        1 asks b about rivers => pod 1
        a gets 200
        b leaves
        pods 0.5 0.0
        2 asks c about rivers => pod 1
        ",
    );
    world.is_well();
}

/// Worker 0 fails before it has read that worker 1 counts on the same prompt.
#[test]
fn a_note_is_not_taken_twice_by_the_worker_that_wrote_it() {
    let world = World::new();
    tell(
        &world,
        "
        pods 0.0 0.1
        0 asks a about rivers => pod 1
        1 asks b about rivers => pod 1
        a gets 503
        b gets 200
        pods 0.4 0.0
        0 asks c about rivers => pod 1
        1 asks d about rivers => pod 1
        2 asks e about rivers => pod 1
        ",
    );
    world.is_well();
}
