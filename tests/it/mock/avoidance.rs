//! A pod that fails is left alone by all workers, tried again, and taken back.

use super::{
    story::tell,
    world::{WORKERS, World, about},
};

/// Failures that three different workers saw, each in another way.
const THREE_FAILURES: &str = "
    pods 0.0 0.2 0.3
    0 asks a about rivers => pod 1
    a gets 503
    1 asks b about stars => pod 1
    b is reset
    2 asks c about hills => pod 1
    c is refused
    3 asks d about clouds => pod 2
    d gets 200
    0 asks e about rivers => pod 2
    e gets 200
    ";

#[test]
fn three_failures_anywhere_and_nobody_goes_there() {
    let world = World::new();
    tell(&world, THREE_FAILURES);
    world.is_well();
}

/// Each answer begins well before it breaks off, which may be told at once or when all is over.
#[test]
fn answers_that_break_off_are_failures() {
    for header in [("content-length", "9"), ("content-type", "text/event-stream")] {
        let world = World::new();
        tell(&world, "pods 0.0 0.2");
        for (worker, topic) in ["rivers", "stars", "hills"].iter().enumerate() {
            let stream = world.chat(worker, &about(topic));
            assert_eq!(world.pod(&stream).number, 1, "{topic} {header:?}");
            stream.respond_headers(200, &[header]);
            stream.respond_chunk(b"{}");
            stream.upstream_resets();
        }
        tell(&world, "3 asks d about clouds => pod 2");
        world.is_well();
    }
}

/// By an answer that came whole, whichever worker saw it, and not by one whose client left.
#[test]
fn a_row_of_answers_that_broke_off_ends_with_a_whole_one() {
    for (last, next) in [("c ends", 1), ("c leaves", 2)] {
        let world = World::new();
        tell(&world, "pods 0.0 0.2");
        let script = format!(
            "
            0 asks a about rivers => pod 1
            a gets 200 from 1
            a is reset
            1 asks b about stars => pod 1
            b gets 200 from 1
            b is reset
            2 asks c about hills => pod 1
            c gets 200 from 1
            {last}
            3 asks d about clouds => pod 1
            d gets 200 from 1
            d is reset
            0 asks e about lakes => pod {next}
            "
        );
        tell(&world, &script);
        world.is_well();
    }
}

#[test]
fn one_request_tries_it_and_its_success_brings_it_back() {
    let world = World::new();
    tell(&world, THREE_FAILURES);
    tell(
        &world,
        "
        1900 ms pass
        pods 0.0 0.2 0.3
        1 asks a about lakes => pod 2
        a gets 200
        200 ms pass
        pods 0.0 0.2 0.3
        1 asks b about boats => pod 1
        b gets 200
        2 asks c about trees => pod 1
        c gets 200
        3 asks d about birds => pod 1
        ",
    );
    world.is_well();
}

/// While it is out, no other worker sends one after it.
#[test]
fn a_probe_that_fails_doubles_the_time() {
    let world = World::new();
    tell(&world, THREE_FAILURES);
    tell(
        &world,
        "
        2100 ms pass
        pods 0.0 0.2 0.3
        1 asks a about boats => pod 1
        2 asks b about trees => pod 2
        b gets 200
        a gets 500
        3900 ms pass
        pods 0.0 0.2 0.3
        3 asks c about birds => pod 2
        c gets 200
        200 ms pass
        pods 0.0 0.2 0.3
        0 asks d about roads => pod 1
        ",
    );
    world.is_well();
}

#[test]
fn more_than_half_of_the_pool_is_never_avoided() {
    let world = World::new();
    tell(
        &world,
        "
        pods 0.0 0.2
        0 asks a about rivers => pod 1
        a gets 503
        1 asks b about stars => pod 1
        b gets 503
        2 asks c about hills => pod 1
        c gets 503
        3 asks d about clouds => pod 2
        d gets 503
        0 asks e about lakes => pod 2
        e gets 503
        1 asks f about boats => pod 2
        f gets 503
        2 asks g about trees => pod 1
        ",
    );
    world.is_well();
}

/// Worker 1 has not failed there, and its success counts all the same.
#[test]
fn a_success_that_another_worker_sees_ends_the_row() {
    let world = World::new();
    tell(
        &world,
        "
        pods 0.0 0.2 0.3
        1 asks a about lakes => pod 1
        0 asks b about lakes => pod 1
        b gets 503
        0 asks c about lakes => pod 1
        c gets 503
        a gets 200
        0 asks d about lakes => pod 1
        d gets 503
        2 asks e about lakes => pod 1
        ",
    );
    world.is_well();
}

/// An error may be the request's own doing: whoever knows such a request must not be able to take
/// pods out of the pool with it.
#[test]
fn errors_of_one_client_have_no_pod_avoided() {
    let world = World::new();
    let ask = |client, topic: &str, worker| {
        let headers = [("x-llm-d-inference-fairness-id", client)];
        world.chat_with(worker, &headers, &about(topic))
    };
    tell(&world, "pods 0.0 0.2 0.3");
    let err = |client, topic, worker| {
        let stream = ask(client, topic, worker);
        assert_eq!(world.pod(&stream).number, 1, "{client} {topic}");
        stream.respond(500, (), b"{}");
    };
    for (worker, topic) in ["rivers", "stars", "hills", "clouds", "lakes"].iter().enumerate() {
        err("mallory", topic, worker % WORKERS);
    }
    err("alice", "boats", 0);
    err("bob", "trees", 1);
    let next = ask("carol", "birds", 2);
    assert_eq!(world.pod(&next).number, 2, "three clients: it is the pod");
    world.is_well();
}

/// The second of the list answered, and with an error too.
#[test]
fn a_request_that_fails_everywhere_blames_nobody() {
    let world = World::new();
    tell(
        &world,
        "
        pods 0.0 0.2 0.3
        0 asks a about rivers => pod 1
        a gets 503 from 2
        1 asks b about stars => pod 1
        b gets 503 from 2
        2 asks c about hills => pod 1
        c gets 503 from 2
        3 asks d about clouds => pod 1
        ",
    );
    world.is_well();
}

/// What is wrong with the request is not the pod's fault.
#[test]
fn a_refusal_is_no_failure() {
    let world = World::new();
    tell(
        &world,
        "
        pods 0.0 0.2
        0 asks a about rivers => pod 1
        a gets 400
        1 asks b about stars => pod 1
        b gets 429
        2 asks c about hills => pod 1
        c gets 404
        3 asks d about clouds => pod 1
        ",
    );
}
