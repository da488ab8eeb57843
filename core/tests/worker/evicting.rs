//! Running requests that end where a more important one finds no room.

use std::time::Duration;

use picker_core::{
    flow::{Eviction, FlowConfig, Priority},
    worker::Input,
    workers::QueueId,
};

use super::{
    ended,
    envoy::{Envoy, flow},
};

/// Two workers over two endpoints of one place each, with the bands of an urgent and two low priorities.
fn crowded(eviction: Eviction) -> Envoy {
    let bands = [-5, -1, 0, 10].map(|priority| (Priority(priority), flow().default_band));
    let mut envoy =
        Envoy::new(2, Some(FlowConfig { bands: bands.into(), eviction, ..FlowConfig::default() }));
    envoy.show(&[1, 2]);
    envoy
}

fn arrive(envoy: &mut Envoy, worker: u32, request: u32, priority: i32) -> String {
    envoy.priority = Priority(priority);
    envoy.arrive(worker, request)
}

#[test]
fn an_urgent_request_takes_the_place_of_the_newest_of_the_lowest_band() {
    let mut envoy = crowded(Eviction::Sheddable);
    arrive(&mut envoy, 1, 1, -1);
    arrive(&mut envoy, 2, 2, -1);
    assert_eq!(arrive(&mut envoy, 1, 3, 10), "to 1: submit 3; tick soon; heartbeat; 3 is held");
    insta::assert_snapshot!(envoy.hear_all(), @"
    1: to 2: evict below 0
    2: heartbeat; 2 is evicted
    ");
    assert_eq!(envoy.in_flight(), 2, "it runs until its stream has ended");
    insta::assert_snapshot!(envoy.tell(2, ended(2)), @"to 1: evicted; heartbeat; publish 2 withdrawn; to 1: wake");
    insta::assert_snapshot!(envoy.hear_all(), @"
    1: to 1: grant 3
    1: heartbeat; 3 goes to 10.0.0.2:8000
    ");
}

#[test]
fn nothing_is_evicted_for_its_own_band_or_a_lower_one_or_by_default() {
    for (eviction, running, arrives) in [
        (Eviction::Sheddable, -1, -1),
        (Eviction::Sheddable, -1, -5),
        (Eviction::Sheddable, 0, 10),
        (Eviction::Off, -5, 10),
    ] {
        let mut envoy = crowded(eviction);
        arrive(&mut envoy, 1, 1, running);
        arrive(&mut envoy, 2, 2, running);
        arrive(&mut envoy, 1, 3, arrives);
        let mut told = envoy.hear_all();
        for _ in 0..10 {
            envoy.pass(Duration::from_millis(20));
            told.push_str(&envoy.tell(1, Input::Tick));
            told.push_str(&envoy.hear_all());
        }
        assert!(!told.contains("evict"), "{running} for {arrives}: {told}");
    }
}

/// What was to end has ended by itself by then, and what runs now matters as much as what waits.
#[test]
fn a_worker_ends_nothing_in_the_place_of_what_is_gone() {
    let mut envoy = crowded(Eviction::Sheddable);
    arrive(&mut envoy, 1, 1, -1);
    let reply_to = envoy.workers[1].heartbeat().sheddable.map_or(QueueId(2), |it| it.queue);
    let told = envoy.tell(1, Input::Evict { below: Priority(-1), reply_to });
    assert!(told.contains("evicted") && !told.contains("1 is evicted"), "{told}");
    let told = envoy.tell(1, Input::Evict { below: Priority(0), reply_to });
    assert!(told.contains("1 is evicted"), "{told}");
    let told = envoy.tell(1, Input::Evict { below: Priority(0), reply_to });
    assert!(!told.contains("1 is evicted"), "once: {told}");
}
