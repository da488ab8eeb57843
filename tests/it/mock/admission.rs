//! What may be shed is turned away before it is scheduled (EPP: admitters).
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use host_mock::Stream;
use serde_json::{Value, json};

use super::{
    push::Pod,
    world::{Way, World, about},
};

fn world(way: Way, admitter: &Value) -> World {
    let plugins = json!([{"type": "queue-scorer"}, admitter]);
    let objectives = json!([{"name": "low", "priority": -1}]);
    World::with(way, &json!({"plugins": plugins, "objectives": objectives}))
}

/// Asks for something that may be shed, with these headers.
fn sheddable(world: &World, headers: &[(&str, &str)]) -> Stream {
    let objective = ("x-llm-d-inference-objective", "low");
    let headers: Vec<_> = headers.iter().copied().chain([objective]).collect();
    world.chat_with(0, &headers[..], &about("shed"))
}

fn status(stream: &Stream) -> u16 {
    stream.response().map_or(200, |response| response.status)
}

fn text(stream: &Stream) -> String {
    String::from_utf8(stream.response().unwrap().body).unwrap()
}

#[test]
fn the_fuller_the_pool_the_more_is_shed() {
    for way in Way::ALL {
        let world = world(way, &json!({"type": "probabilistic-admitter"}));
        world.pods(&Pod::idles(2));
        let goes = sheddable(&world, &[]);
        assert_eq!(status(&goes), 200, "{way:?}");
        goes.respond(200, (), b"{}");

        let full = Pod { kv_usage: Some(0.8), ..Pod::idle(1) };
        world.pods(&[full, Pod::idle(2)]);
        let shed = sheddable(&world, &[]);
        assert_eq!(status(&shed), 429, "{way:?}: 0.5^5 * 300 is above 1");
        let said = "probabilistic-admitter: rejected, saturation=0.500 prob=1.00";
        assert!(text(&shed).contains(said), "{}", text(&shed));
        assert_eq!(status(&world.chat(0, &about("kept"))), 200, "{way:?}: its priority is 0");
        world.is_well();
    }
}

/// Teaches a worker that a first token takes 40 ms, and each further one 10 ms.
fn teach(world: &World) {
    for turn in 0..30 {
        let stream = world.chat(0, &about(&turn.to_string()));
        world.envoy.run_for(Duration::from_millis(40));
        stream.respond_headers(200, &[("content-type", "text/event-stream")]);
        for event in 0..5 {
            let text = format!("data: {{\"choices\":[{{\"text\":\"word {event}\"}}]}}\n\n");
            stream.respond_chunk(text.as_bytes());
            world.envoy.run_for(Duration::from_millis(10));
        }
        stream.respond_end();
    }
}

#[test]
fn what_would_come_too_late_is_shed() {
    for way in Way::ALL {
        let world = world(way, &json!({"type": "latency-slo-admitter"}));
        let busy = |number| Pod { running: 1, kv_usage: Some(0.5), ..Pod::idle(number) };
        let refresh = |pods: &[Pod]| world.pods(pods);
        refresh(&[busy(1), busy(2)]);
        let hurried: &[(&str, &str)] = &[("x-llm-d-slo-ttft-ms", "1")];
        assert_eq!(status(&sheddable(&world, hurried)), 200, "{way:?}: nothing is predicted yet");
        teach(&world);
        refresh(&[busy(1), busy(2)]);
        let denied = sheddable(&world, hurried);
        assert_eq!(status(&denied), 500, "{way:?}");
        let said = "request cannot be admitted: no valid endpoint available to serve the request";
        assert!(text(&denied).contains(said), "{}", text(&denied));

        let ask = |headers: &[(&str, &str)]| status(&sheddable(&world, headers));
        assert_eq!(ask(&[("x-llm-d-slo-tpot-ms", "1")]), 500, "{way:?}");
        for admitted in
            [("x-llm-d-slo-ttft-ms", "5000"), ("x-llm-d-slo-tpot-ms", "5000"), ("x", "y")]
        {
            assert_eq!(ask(&[admitted]), 200, "{way:?}: {admitted:?}");
        }
        let kept = world.chat_with(0, hurried, &about("kept"));
        assert_eq!(status(&kept), 200, "{way:?}: its priority is 0");
        refresh(&[busy(1), Pod::idle(2)]);
        assert_eq!(ask(hurried), 200, "{way:?}: one is idle");
        world.is_well();
    }
}
