//! Messages that are lost or under way, and workers that no longer say a word, while an arbiter goes on.

use std::time::Duration;

use picker_core::{
    saturation::{Concurrency, ConcurrencyMode, Detector},
    worker::Input,
};

use super::{
    ended,
    envoy::{Envoy, flow},
};

/// Two workers of which the second is the arbiter, with 8 of its own waiting for ever.
fn with_an_arbiter() -> Envoy {
    let mut envoy = Envoy::new(2, Some(flow()));
    envoy.show(&[1]);
    envoy.arrive(2, 7);
    envoy.arrive(2, 8);
    envoy.hear_all();
    envoy
}

#[test]
fn a_first_ticket_that_is_lost_is_handed_in_again() {
    let mut envoy = with_an_arbiter();
    envoy.arrive(1, 9);
    envoy.lose_all();
    let told = envoy.live_busily(3, &[1, 2]);
    assert!(told.contains("submit 9"), "{told}");
}

#[test]
fn a_rejection_that_is_lost_is_made_again_while_others_wait() {
    let mut envoy = with_an_arbiter();
    let mut pending = envoy.pending(9);
    pending.ttl = Some(Duration::from_millis(1_500));
    envoy.tell(1, Input::Arrived(Box::new(pending)));
    envoy.hear_all();
    envoy.live_busily(1, &[1, 2]);
    // Until the tick at which the arbiter rejects it.
    while !envoy.tell(2, Input::Tick).contains("reject 9") {
        envoy.pass(Duration::from_millis(20));
    }
    envoy.lose_all();
    let told = envoy.live_busily(3, &[1, 2]);
    assert!(told.contains("9 is rejected: EvictedTtl"), "{told}");
    assert_eq!(envoy.waiting(), 1);
}

/// In a later term, in which the worker had heard of others in the one before.
#[test]
fn a_grant_that_is_under_way_is_not_lost() {
    let mut envoy = with_an_arbiter();
    envoy.arrive(1, 9);
    envoy.arrive(1, 10);
    envoy.arrive(1, 11);
    envoy.hear_all();
    for request in [7, 8, 9] {
        let worker = if request == 9 { 1 } else { 2 };
        envoy.tell(worker, ended(request));
        envoy.hear_all();
    }
    assert_eq!((envoy.in_flight(), envoy.waiting()), (1, 1), "10 runs, and 11 waits");
    let first = envoy.store.ledger().lease.epoch;
    envoy.arrive(2, 12);
    envoy.hear_all();
    envoy.arrive(1, 13);
    envoy.lose_all();
    envoy.live_busily(4, &[2, 1]);
    let lease = envoy.store.ledger().lease;
    assert!(lease.epoch > first && lease.holder == envoy.workers[1].id(), "{lease:?}");
    envoy.tell(1, ended(10));
    assert!(envoy.hear_one().contains("grant 11"));
    for _ in 0..60 {
        envoy.pass(Duration::from_millis(20));
        envoy.tell(2, Input::Tick);
    }
    assert_eq!(envoy.store.ledger().lease.epoch, lease.epoch, "the term goes on");
}

/// A pool's capacity in tokens is decided on once all granted requests are counted; the last of them
/// may be counted before the arbiter has given back what it did not use.
#[test]
fn places_that_no_ticket_took_have_the_arbiter_look_again() {
    let mut envoy = Envoy::new(2, Some(flow()));
    let tokens = u64::from(envoy.pending(1).request.tokens());
    let detector = Concurrency {
        mode: ConcurrencyMode::Tokens,
        max_tokens: tokens * 3 / 2,
        ..Concurrency::default()
    };
    envoy.config.scheduler.detector = Detector::Concurrency(detector);
    envoy.configure(1);
    envoy.configure(2);
    envoy.show(&[1]);
    for request in [1, 2] {
        assert!(envoy.arrive(1, request).contains("goes to"));
    }
    for request in [3, 4, 5] {
        assert!(envoy.arrive(2, request).contains("is held"));
    }
    envoy.hear_all();
    envoy.tell(1, ended(1));
    envoy.tell(1, ended(2));
    envoy.lose_all();
    let (told, following) = envoy.tell_first(2, Input::Arbitrate);
    assert_eq!(told, ["to 2: grant 3 4"]);
    assert!(envoy.hear_one().contains("4 goes to"));
    assert_eq!(envoy.hear_all(), "", "a place is still reserved");
    let told: Vec<String> = following.into_iter().map(|input| envoy.tell(2, input)).collect();
    assert_eq!(told, ["to 2: wake"]);
}

/// All that served may be dead.
#[test]
fn a_worker_that_has_served_nothing_takes_a_dead_ones_counts_back() {
    let mut envoy = Envoy::new(2, Some(flow()));
    envoy.show(&[1]);
    envoy.arrive(1, 7);
    let told = envoy.live(6, &[2]);
    assert!(told.contains("1 is dead"), "{told}");
    assert_eq!(envoy.in_flight(), 0);
}

/// The arbiter still has the tickets of a worker that died.
#[test]
fn no_place_is_kept_for_what_a_dead_worker_held() {
    let mut envoy = with_an_arbiter();
    envoy.arrive(1, 9);
    envoy.hear_all();
    let told = envoy.live_busily(6, &[2]);
    assert!(told.contains("1 is dead"), "{told}");
    envoy.arrive(2, 10);
    envoy.hear_all();
    for (ends, goes) in [(7, "8 goes to"), (8, "10 goes to")] {
        envoy.tell(2, ended(ends));
        let told = envoy.hear_all();
        assert!(told.contains(goes) && !told.contains("grant 9"), "{ends} ends: {told}");
    }
}

/// What a living worker has counted and not shown yet would be taken off with the dead one's.
#[test]
fn none_is_struck_off_while_another_has_not_shown_its_last_change() {
    let mut envoy = Envoy::new(3, Some(flow()));
    envoy.show(&[1, 2, 3]);
    envoy.arrive(1, 7);
    envoy.arrive(2, 8);
    envoy.live(2, &[1, 2, 3]);
    let mut shown = envoy.workers[2].heartbeat().clone();
    envoy.arrive(3, 9);
    for _ in 0..6 {
        shown.beats += 1;
        envoy.store.show(envoy.workers[2].id(), shown.clone());
        let told = envoy.live(1, &[2]);
        assert!(!told.contains("dead"), "{told}");
    }
    assert_eq!(envoy.in_flight(), 3);
    let told = envoy.live(2, &[2, 3]);
    assert!(told.contains("1 is dead"), "{told}");
    assert_eq!(envoy.in_flight(), 2);
}
