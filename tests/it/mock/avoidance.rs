//! A pod that fails is left alone by all workers, tried again, and taken back.

use serde_json::json;

use super::{
    story::tell,
    world::{WORKERS, Way, World, about},
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
    for way in Way::ALL {
        let world = World::with(way, &json!({"identity": {"trusted": [TENANT]}}));
        tell(&world, "pods 0.0 0.2 0.3");
        // One tenant from many addresses is one client, and three tenants behind one proxy are three.
        for (number, topic) in TOPICS.iter().enumerate() {
            err(&world, Some("mallory"), &format!("198.51.100.{number}:1"), topic);
        }
        assert_eq!(next(&world), 1, "{way:?}: one client");
        err(&world, Some("alice"), "192.0.2.1:1", "boats");
        assert_eq!(next(&world), 1, "{way:?}: two clients");
        err(&world, Some("bob"), "192.0.2.1:1", "trees");
        assert_eq!(next(&world), 2, "{way:?}: three clients: it is the pod");
        world.is_well();
    }
}

const TENANT: &str = "x-llm-d-inference-fairness-id";

const TOPICS: [&str; 5] = ["rivers", "stars", "hills", "clouds", "lakes"];

/// Has pod 1 answer a client with an error that the request may be the cause of.
#[track_caller]
fn err(world: &World, tenant: Option<&str>, address: &str, topic: &str) {
    world.envoy.set_property("source.address", address);
    let headers: Vec<_> = tenant.map(|tenant| (TENANT, tenant)).into_iter().collect();
    let stream = world.chat_with(topic.len() % WORKERS, &*headers, &about(topic));
    assert_eq!(world.pod(&stream).number, 1, "{tenant:?} {address} {topic}");
    stream.respond(500, (), b"{}");
}

/// The pod that the next request goes to. Its client leaves, which says nothing of the pod.
fn next(world: &World) -> u8 {
    let stream = world.chat(3, &about("birds"));
    let pod = world.pod(&stream).number;
    stream.disconnect();
    pod
}

/// The default configuration takes the tenant's name from a header that anybody may send. It shares capacity by that,
/// and blames no pod by it.
#[test]
fn invented_tenants_have_no_pod_avoided() {
    let own = json!({"identity": {"fairnessHeaders": ["x-team", TENANT], "trusted": ["x-team"]}});
    for keys in [json!({}), json!({"identity": {"fairnessHeaders": [TENANT]}}), own] {
        for way in Way::ALL {
            let world = World::with(way, &keys);
            tell(&world, "pods 0.0 0.2 0.3");
            for (number, topic) in TOPICS.iter().enumerate() {
                err(&world, Some(&format!("invented-{number}")), "192.0.2.7:4711", topic);
            }
            assert_eq!(next(&world), 1, "{way:?}, {keys}: one address is one client");
            for (address, pod) in [("192.0.2.8:1", 1), ("192.0.2.9:1", 2)] {
                err(&world, Some("the same"), address, "boats");
                assert_eq!(next(&world), pod, "{way:?}, {keys}: by address");
            }
            world.is_well();
        }
    }
}

/// A customer has 2^64 addresses of IPv6, and chooses among them as he likes.
#[test]
fn a_network_of_ipv6_is_one_client() {
    let by_address = json!({"identity": {"fairnessKey": "clientAddress"}});
    for keys in [json!({}), by_address] {
        let world = World::with(Way::STOP_ITERATION_HEADER, &keys);
        tell(&world, "pods 0.0 0.2 0.3");
        for (number, topic) in TOPICS.iter().enumerate() {
            err(&world, None, &format!("[2001:db8::{number:x}]:1"), topic);
        }
        assert_eq!(next(&world), 1, "{keys}");
        // An IPv4 address is one, however it is written.
        err(&world, None, "192.0.2.1:1", "boats");
        err(&world, None, "[::ffff:192.0.2.1]:1", "trees");
        assert_eq!(next(&world), 1, "{keys}");
        err(&world, None, "[2001:db8:0:1::1]:1", "roads");
        assert_eq!(next(&world), 2, "{keys}");
        world.is_well();
    }
}

/// A token that Envoy has verified names a client whatever header the tenant is read from.
#[test]
fn a_verified_user_is_one_client() {
    let jwt = json!({"identity": {"jwt": {"payloadHeader": "x-jwt"}}});
    let world = World::with(Way::STOP_ITERATION_HEADER, &jwt);
    tell(&world, "pods 0.0 0.2 0.3");
    let err = |user: &str, tenant: &str, address: &str, topic: &str| {
        world.envoy.set_property("source.address", address);
        let payload = base64::Engine::encode(
            &base64::engine::general_purpose::URL_SAFE_NO_PAD,
            json!({"sub": user}).to_string(),
        );
        let stream = world.chat_with(0, &[("x-jwt", &*payload), (TENANT, tenant)], &about(topic));
        assert_eq!(world.pod(&stream).number, 1, "{user} {tenant} {topic}");
        stream.respond(500, (), b"{}");
    };
    for (number, topic) in TOPICS.iter().enumerate() {
        err("mallory", &format!("invented-{number}"), &format!("198.51.100.{number}:1"), topic);
    }
    assert_eq!(next(&world), 1);
    err("alice", "same", "192.0.2.1:1", "boats");
    err("bob", "same", "192.0.2.1:1", "trees");
    assert_eq!(next(&world), 2);
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
