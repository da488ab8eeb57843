//! Where the gateway leaves a request only some of the pool.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::{
    push::Pod,
    world::{CHAT, WORKERS, Way, World, about},
};

const SUBSET: &str = "x-gateway-destination-endpoint-subset";

/// A gateway in front writes the header, and keeps clients from doing so.
fn trusting(way: Way) -> World {
    World::with(way, &serde_json::json!({"identity": {"trusted": [SUBSET]}}))
}

#[test]
fn only_the_listed_are_chosen_and_named() {
    for way in Way::ALL {
        let world = trusting(way);
        let busy = |number| Pod { waiting: 50, ..Pod::idle(number) };
        world.pods(&[Pod::idle(1), busy(2), Pod::idle(3), busy(4)]);
        for worker in 0..WORKERS {
            let subset = [(SUBSET, "10.0.0.2:8000, 10.0.0.4,192.0.2.1:8000")];
            let chat = world.chat_with(worker, &subset, &about(&worker.to_string()));
            // The same by load alone, as nothing but its headers is known of it.
            let get = world.envoy.worker(worker).get(CHAT, &subset);
            for stream in [chat, get] {
                let list = world.destinations(&stream).unwrap();
                let listed = |it: &str| ["10.0.0.2:8000", "10.0.0.4:8000"].contains(&it);
                assert!(list.split(',').all(listed), "{way:?}: {list}");
                assert_eq!(stream.sent().unwrap().headers.get(SUBSET), None, "{way:?}");
            }
        }
        world.is_well();
    }
}

#[test]
fn none_of_the_pool_is_the_epps_error() {
    let world = trusting(Way::STOP_ITERATION_HEADER);
    world.pods(&Pod::idles(2));
    for list in ["192.0.2.1:8000", "nonsense"] {
        let stream = world.chat_with(0, &[(SUBSET, list)], "hello");
        assert_eq!(stream.status(), Some(503), "{list}");
        let response = stream.response().unwrap();
        let told = response.headers.text("x-llm-d-request-dropped-reason");
        assert_eq!(told, Some("rejected-no-endpoints"), "{list}");
        let message = "failed to find endpoint candidates for serving the request";
        assert!(response.text().contains(message), "{list}: {}", response.text());
    }
    world.is_well();
}

#[test]
fn an_empty_list_is_no_list() {
    let world = trusting(Way::STOP_ITERATION_HEADER);
    world.pods(&Pod::idles(2));
    let stream = world.chat_with(0, &[(SUBSET, " ")], "hello");
    assert!(stream.sent().is_some());
}
