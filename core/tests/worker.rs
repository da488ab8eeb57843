//! Stories of one worker or two: what each input makes a worker ask of its host.
#![cfg(not(target_arch = "wasm32"))]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a test may panic"
)]

#[path = "worker/charged.rs"]
mod charged;
#[path = "worker/ejected.rs"]
mod ejected;
#[path = "worker/envoy.rs"]
mod envoy;
#[path = "worker/evicting.rs"]
mod evicting;
#[path = "worker/unheard.rs"]
mod unheard;
#[path = "worker/unlearning.rs"]
mod unlearning;

use std::time::Duration;

use picker_core::{
    BLOCK_BYTES, Chainer, End, Objective, RequestId, ResponseClass, ResponseStart, Seed,
    flow::{FairnessPolicy, FlowConfig, Priority, TokenCost, Ttl, UsageLimitPolicy},
    worker::{Conduct, Input, PendingRequest, Worker, turn},
};

use envoy::{Envoy, Rival, address, flow};

fn ended(request: u32) -> Input {
    Input::Ended { request: RequestId(request), start: None, end: End::Gone }
}

fn began(request: u32, served_by: Option<u8>) -> Input {
    let start = ResponseStart { served_by: served_by.map(address), class: ResponseClass::Taken };
    Input::Responded { request: RequestId(request), start }
}

#[test]
fn a_request_is_counted_and_announced_and_taken_off() {
    let mut envoy = Envoy::new(1, Some(flow()));
    envoy.show(&[1]);
    assert_eq!(envoy.arrive(1, 7), "heartbeat; 7 goes to 10.0.0.1:8000");
    assert_eq!(envoy.in_flight(), 1);
    assert_eq!(envoy.entry(0), " placed", "written with the ledger");
    assert_eq!(envoy.tell(1, began(7, None)), "", "nothing counts tokens here");
    assert_eq!(envoy.tell(1, ended(7)), "heartbeat");
    assert_eq!(envoy.in_flight(), 0);
    assert_eq!(envoy.tell(1, ended(7)), "heartbeat", "an end that is told twice counts once");
    assert_eq!(envoy.in_flight(), 0);
}

#[test]
fn an_unanswered_end_takes_the_placement_back() {
    let mut envoy = Envoy::new(1, None);
    envoy.show(&[1]);
    envoy.arrive(1, 7);
    assert_eq!(envoy.tell(1, ended(7)), "heartbeat; publish 1 withdrawn");
    assert_eq!(envoy.workers[0].indexed(), 0);
}

#[test]
fn a_response_from_another_endpoint_moves_the_counts() {
    let mut envoy = Envoy::new(1, Some(flow()));
    envoy.show(&[1, 2]);
    let to = if envoy.arrive(1, 7).ends_with("10.0.0.1:8000") { 2 } else { 1 };
    assert_eq!(envoy.tell(1, began(7, Some(to))), "heartbeat; publish 1 failed placed");
    let moved = envoy.store.ledger().accounts.for_endpoint(address(to).into());
    assert_eq!((moved.requests, envoy.in_flight()), (1, 1));
    let shown = &envoy.workers[0].heartbeat().accounts;
    assert_eq!(shown, &envoy.store.ledger().accounts, "the heartbeat moves along");
}

/// A retry that is not answered yet: the request is counted where it runs, and no endpoint is judged.
#[test]
fn a_reroute_moves_the_counts_and_says_no_more() {
    let mut envoy = Envoy::new(1, Some(flow()));
    envoy.show(&[1, 2]);
    let to = if envoy.arrive(1, 7).ends_with("10.0.0.1:8000") { 2 } else { 1 };
    let rerouted = |to| Input::Rerouted { request: RequestId(7), served_by: address(to) };
    assert_eq!(envoy.tell(1, rerouted(to)), "heartbeat");
    let moved = envoy.store.ledger().accounts.for_endpoint(address(to).into());
    assert_eq!((moved.requests, envoy.in_flight()), (1, 1));
    assert_eq!(envoy.workers[0].heartbeat().accounts, envoy.store.ledger().accounts);
    assert_eq!(envoy.tell(1, rerouted(to)), "", "it is there already");
    assert_eq!(envoy.tell(1, began(7, Some(to))), "publish 1 failed placed", "now it is known");
    assert_eq!(envoy.tell(1, ended(7)), "heartbeat");
    assert_eq!(envoy.in_flight(), 0);
}

#[test]
fn a_full_pool_holds_and_an_end_lets_the_next_one_go() {
    let mut envoy = Envoy::new(2, Some(flow()));
    envoy.show(&[1]);
    envoy.arrive(1, 7);
    assert_eq!(
        envoy.arrive(2, 8),
        "to 2: submit 8; tick soon; heartbeat; 8 is held",
        "the first to wait is the arbiter"
    );
    assert_eq!(envoy.arrive(1, 9), "to 2: submit 9; tick soon; heartbeat; 9 is held");
    assert_eq!(envoy.arrive(1, 10), "to 2: submit 10; heartbeat; 10 is held", "it ticks already");
    assert_eq!(envoy.hear_all(), "");
    assert_eq!(envoy.tell(1, ended(7)), "heartbeat; publish 1 withdrawn; to 2: wake");
    assert_eq!(envoy.hear_all(), "2: to 2: grant 8\n2: heartbeat; 8 goes to 10.0.0.1:8000");
    assert_eq!(envoy.entry(2), " placed");
    assert_eq!(envoy.tell(1, ended(9)), "to 2: cancel 9; heartbeat");
    assert_eq!(envoy.waiting(), 1);
}

#[test]
fn an_arbiter_that_had_come_to_rest_ticks_again_for_anothers_ticket() {
    let mut envoy = Envoy::new(2, Some(flow()));
    envoy.show(&[1]);
    envoy.arrive(1, 7);
    envoy.arrive(2, 8);
    envoy.hear_all();
    envoy.tell(2, ended(8));
    envoy.hear_all();
    assert_eq!(envoy.tell(2, Input::Tick), "heartbeat");
    assert!(!envoy.workers[1].is_busy(), "its host ticks rarely from now on");
    // Its lease has not lapsed yet.
    assert_eq!(envoy.arrive(1, 9), "to 2: submit 9; tick soon; heartbeat; 9 is held");
    assert_eq!(envoy.hear_all(), "2: tick soon");
    assert!(envoy.workers[1].is_busy());
}

/// With a configuration, as after a tick, the host ticks by what is held then.
#[test]
fn a_configuration_sets_the_pace_anew() {
    let mut envoy = Envoy::new(1, Some(flow()));
    envoy.show(&[1]);
    envoy.arrive(1, 7);
    assert_eq!(envoy.arrive(1, 8), "to 1: submit 8; tick soon; heartbeat; 8 is held");
    envoy.tell(1, ended(8));
    envoy.hear_all();
    envoy.configure(1);
    assert_eq!(envoy.arrive(1, 9), "to 1: submit 9; tick soon; heartbeat; 9 is held");
}

#[test]
fn without_a_snapshot_a_request_fails_open_if_so_configured() {
    let mut envoy = Envoy::new(1, Some(flow()));
    assert_eq!(envoy.arrive(1, 7), "heartbeat; 7 is refused: NoSnapshot");
    envoy.config.conduct = Conduct::FailsOpen;
    envoy.configure(1);
    assert_eq!(envoy.arrive(1, 8), "heartbeat; 8 goes on without an endpoint");
    envoy.show(&[]);
    assert_eq!(
        envoy.arrive(1, 9),
        "to 1: submit 9; tick soon; heartbeat; 9 is held",
        "an empty pool is known to be empty"
    );
}

#[test]
fn a_grant_that_meets_an_empty_pool_is_held_again() {
    let mut envoy = Envoy::new(1, Some(flow()));
    envoy.show(&[1]);
    envoy.arrive(1, 7);
    envoy.arrive(1, 8);
    envoy.hear_all();
    envoy.tell(1, ended(7));
    assert_eq!(envoy.hear_one(), "1: to 1: grant 8");
    envoy.show(&[]);
    assert_eq!(envoy.hear_one(), "1: heartbeat; to 1: submit 8");
    assert_eq!((envoy.waiting(), envoy.store.ledger().granted), (1, 0));
    envoy.show(&[1]);
    assert!(envoy.hear_all().ends_with("8 goes to 10.0.0.1:8000"));
}

#[test]
fn a_grant_of_a_term_that_is_over_is_void() {
    let mut envoy = Envoy::new(2, Some(flow()));
    envoy.show(&[1]);
    envoy.arrive(1, 7);
    envoy.arrive(1, 8);
    envoy.arrive(2, 9);
    envoy.hear_all();
    envoy.tell(1, ended(7));
    assert_eq!(envoy.hear_one(), "1: to 1: grant 8");
    // The arbiter is late, and another takes the lease.
    envoy.pass(Duration::from_millis(300));
    assert_eq!(envoy.tell(2, Input::Tick), "to 2: submit 9; heartbeat");
    let grant = Input::Granted { request: RequestId(8), epoch: 1, at: envoy.now };
    assert_eq!(envoy.tell(1, grant), "", "void, and its request waits on");
    assert_eq!(envoy.tell(1, Input::Tick), "to 2: submit 8; heartbeat");
    assert!(envoy.hear_all().contains("2: to 1: grant 8"));
}

#[test]
fn places_of_requests_that_left_are_anothers() {
    let mut envoy = Envoy::new(1, Some(flow()));
    envoy.show(&[1]);
    for request in [7, 8, 9] {
        envoy.arrive(1, request);
    }
    envoy.hear_all();
    envoy.tell(1, ended(7));
    assert_eq!(envoy.hear_one(), "1: to 1: grant 8");
    assert_eq!(envoy.tell(1, ended(8)), "to 1: cancel 8; heartbeat");
    assert_eq!(envoy.hear_one(), "1: heartbeat; to 1: wake", "the place is given back");
    assert!(envoy.hear_all().ends_with("9 goes to 10.0.0.1:8000"));
    assert_eq!(envoy.store.ledger().granted, 0);
}

/// Two workers, of which the second is the arbiter and holds 8; the first holds 9.
fn two_waiting() -> Envoy {
    let mut envoy = Envoy::new(2, Some(flow()));
    envoy.show(&[1]);
    envoy.arrive(1, 7);
    envoy.arrive(2, 8);
    envoy.arrive(1, 9);
    envoy.hear_all();
    envoy
}

#[test]
fn a_new_configuration_counts_for_what_waits_already() {
    let mut envoy = two_waiting();
    let shorter = Ttl::Within(Duration::from_millis(50));
    envoy.config.flow.as_mut().unwrap().default_ttl = shorter;
    envoy.configure(1);
    envoy.configure(2);
    // The arbiter knows no ticket any more, until its next tick begins another term. A ticket that comes
    // meanwhile does not have it go on with that one alone.
    envoy.arrive(2, 10);
    assert_eq!(envoy.hear_all(), "");
    envoy.pass(Duration::from_millis(20));
    assert_eq!(envoy.tell(2, Input::Tick), "to 2: submit 8 10; heartbeat");
    assert_eq!(envoy.tell(1, Input::Tick), "to 2: submit 9; heartbeat");
    envoy.pass(Duration::from_millis(50));
    let heard = envoy.hear_all();
    for request in [8, 9, 10] {
        assert!(heard.contains(&format!("{request} is rejected: EvictedTtl")), "{heard}");
    }
    assert_eq!(envoy.waiting(), 0);
}

#[test]
fn a_configuration_that_says_nothing_new_changes_nothing() {
    let mut envoy = two_waiting();
    envoy.configure(2);
    envoy.tell(1, ended(7));
    assert!(envoy.hear_all().ends_with("8 goes to 10.0.0.1:8000"));
}

#[test]
fn what_is_held_goes_when_flow_control_is_turned_off() {
    let mut envoy = two_waiting();
    envoy.config.flow = None;
    envoy.configure(1);
    envoy.configure(2);
    let told = [envoy.tell(1, Input::Tick), envoy.tell(2, Input::Tick)].concat();
    for request in [8, 9] {
        assert!(told.contains(&format!("{request} goes to 10.0.0.1:8000")), "{told}");
    }
    assert_eq!(envoy.waiting(), 0);
    envoy.arrive(1, 11);
    assert!(envoy.arrive(1, 12).ends_with("12 goes to 10.0.0.1:8000"), "though the pool is full");
}

#[test]
fn a_ticket_gets_the_band_of_an_objective_that_just_came() {
    let mut envoy = two_waiting();
    envoy.objectives = vec![Objective { name: "urgent".into(), priority: Priority(10) }];
    envoy.show(&[1]);
    // The first has read of it, and the arbiter has not.
    envoy.tell(1, Input::Look);
    envoy.priority = envoy.workers[0].priority("urgent");
    envoy.arrive(1, 10);
    // The ticket is there before the snapshot's wake-up.
    assert_eq!(envoy.hear_last(), "");
    envoy.tell(1, ended(7));
    assert!(envoy.hear_all().ends_with("10 goes to 10.0.0.1:8000"), "before 8 and 9");
}

#[test]
fn a_ticket_says_what_its_prompt_would_cost() {
    let mut fair = flow();
    fair.default_band.fairness = FairnessPolicy::TokenFair(TokenCost::default());
    let mut envoy = Envoy::new(1, Some(fair));
    envoy.show(&[1]);
    let first = pending(&envoy, 7);
    envoy.tell(1, Input::Arrived(Box::new(first)));
    let same = pending(&envoy, 8);
    envoy.tell(1, Input::Arrived(Box::new(same)));
    let cost = |envoy: &Envoy| envoy.last_ticket.as_ref().unwrap().uncached_tokens;
    assert_eq!(cost(&envoy), 0, "all of it is cached by then");
    envoy.arrive(1, 9);
    assert_eq!(cost(&envoy), envoy.pending(9).request.tokens());
}

/// A band that is slowed down passes every so many times that it asks; here the third time.
#[test]
fn a_band_that_is_slowed_down_counts_its_turns() {
    let slowed = UsageLimitPolicy::SoftReflectiveCeiling;
    let mut envoy = Envoy::new(1, Some(FlowConfig { usage_limit: slowed, ..flow() }));
    envoy.objectives = vec![Objective { name: "batch".into(), priority: Priority(-1) }];
    envoy.show(&[1, 2, 3, 4]);
    for request in [1, 2, 3] {
        envoy.arrive(1, request);
    }
    envoy.priority = Priority(-1);
    for request in [4, 5] {
        assert!(envoy.arrive(1, request).ends_with("is held"));
        // Before the arbiter looks at it, which would be a turn as well.
        envoy.tell(1, ended(request));
    }
    assert!(envoy.arrive(1, 6).contains("6 goes to"));
}

/// Two workers that have looked at each other: the first has 7 in flight and holds 9, the second is the
/// arbiter and holds 8.
fn two_that_know_each_other() -> Envoy {
    let mut envoy = two_waiting();
    envoy.live(2, &[1, 2]);
    assert_eq!((envoy.in_flight(), envoy.waiting()), (1, 2));
    envoy
}

#[test]
fn a_dead_workers_counts_are_taken_back_and_its_tickets_forgotten() {
    let mut envoy = two_that_know_each_other();
    let told = envoy.live(2, &[2]);
    assert!(!told.contains("dead"), "two missed beats are no death: {told}");
    assert_eq!(envoy.in_flight(), 1);
    let told = envoy.live(2, &[2]);
    assert!(told.contains("1 is dead"), "{told}");
    assert!(told.contains("8 goes to 10.0.0.1:8000"), "{told}");
    assert_eq!((envoy.in_flight(), envoy.waiting()), (1, 0));
}

/// The worker that was taken for dead comes back with all that it has: nothing is lost, and the
/// ledger says again what runs.
#[test]
fn a_worker_that_was_taken_for_dead_comes_back_with_its_counts() {
    let mut envoy = two_that_know_each_other();
    envoy.live(5, &[2]);
    assert_eq!(envoy.in_flight(), 1, "8 has the place of 7, which still runs");
    let told = envoy.live(1, &[1, 2]);
    assert!(told.contains("1: to 2: submit 9") || told.contains("1: to 1: submit 9"), "{told}");
    assert_eq!((envoy.in_flight(), envoy.waiting()), (2, 1), "one too many, and known");
    envoy.tell(1, ended(7));
    assert!(!envoy.hear_all().contains("goes to"), "8 runs");
    envoy.tell(2, ended(8));
    let told = envoy.hear_all() + &envoy.live(1, &[1, 2]);
    assert!(told.contains("9 goes to 10.0.0.1:8000"), "{told}");
}

/// What an end says first is that its worker lives: its counts come back, and then the request's go.
#[test]
fn the_first_word_of_one_that_comes_back_may_be_an_end() {
    let mut envoy = two_that_know_each_other();
    envoy.live(5, &[2]);
    assert_eq!(envoy.tell(1, ended(7)), "heartbeat; publish 2 withdrawn; to 2: wake");
    assert_eq!((envoy.in_flight(), envoy.waiting()), (1, 1));
}

/// After a stop of the whole Envoy no worker judges another before it has looked for a while.
#[test]
fn a_stop_of_all_kills_none() {
    let mut envoy = two_that_know_each_other();
    envoy.pass(Duration::from_secs(7));
    let told = envoy.live(2, &[2]);
    assert!(!told.contains("dead"), "the first wakes up later: {told}");
    let told = envoy.live(6, &[1, 2]);
    assert!(!told.contains("dead"), "{told}");
    assert_eq!((envoy.in_flight(), envoy.waiting()), (1, 2));
}

/// A worker died after it changed the ledger and before it showed that.
#[test]
fn counts_that_no_row_explains_are_gone_with_their_worker() {
    let mut envoy = Envoy::new(2, Some(flow()));
    envoy.show(&[1, 2]);
    envoy.arrive(1, 7);
    envoy.arrive(2, 8);
    envoy.live(2, &[1, 2]);
    let shown = envoy.workers[0].heartbeat().clone();
    envoy.tell(1, ended(7));
    envoy.arrive(1, 9);
    envoy.store.show(envoy.workers[0].id(), shown);
    let told = envoy.live(2, &[2]);
    assert!(!told.contains("Recount"), "a row that is behind says nothing: {told}");
    envoy.live(3, &[2]);
    assert_eq!(envoy.in_flight(), 1);
    let own = &envoy.workers[1].heartbeat().accounts;
    assert_eq!(own, &envoy.store.ledger().accounts, "what lives is left, where it is");
}

#[test]
fn a_lost_ticket_is_handed_in_again() {
    let mut envoy = Envoy::new(2, Some(flow()));
    envoy.show(&[1]);
    envoy.arrive(2, 7);
    envoy.arrive(2, 8);
    envoy.hear_all();
    envoy.arrive(1, 9);
    envoy.lose_all();
    let told = envoy.live(3, &[1, 2]);
    assert!(told.contains("submit 9"), "{told}");
    envoy.tell(2, ended(7));
    envoy.tell(2, ended(8));
    assert!(envoy.hear_all().ends_with("9 goes to 10.0.0.1:8000"));
}

#[test]
fn a_lost_grant_is_granted_again() {
    let mut envoy = two_that_know_each_other();
    envoy.tell(1, ended(7));
    assert!(envoy.hear_one().contains("to 2: grant 8"));
    envoy.lose_all();
    let told = envoy.live(4, &[1, 2]);
    assert!(told.contains("8 goes to 10.0.0.1:8000"), "{told}");
    assert_eq!((envoy.in_flight(), envoy.waiting(), envoy.store.ledger().granted), (1, 1, 0));
}

#[test]
fn a_lost_rejection_is_made_again() {
    let mut envoy = two_waiting();
    envoy.config.flow.as_mut().unwrap().default_ttl = Ttl::Within(Duration::from_millis(50));
    envoy.configure(1);
    envoy.configure(2);
    envoy.tell(2, Input::Tick);
    envoy.tell(1, Input::Tick);
    assert_eq!(envoy.hear_one(), "");
    envoy.pass(Duration::from_millis(60));
    envoy.tell(2, Input::Tick);
    envoy.lose_all();
    let told = envoy.live(5, &[1, 2]);
    for request in [8, 9] {
        assert!(told.contains(&format!("{request} is rejected: EvictedTtl")), "{told}");
    }
    assert_eq!(envoy.waiting(), 0);
}

/// A prompt of a few blocks.
fn pending(envoy: &Envoy, request: u32) -> PendingRequest {
    let mut chainer = Chainer::new(&Seed::default(), 9);
    chainer.update(&[b'p'; 2 * BLOCK_BYTES]);
    let mut pending = envoy.pending(request);
    pending.request.chain = chainer.finish();
    pending
}

#[test]
fn a_worker_decides_anew_on_what_a_faster_one_changed() {
    let mut envoy = Envoy::new(2, Some(flow()));
    envoy.show(&[1]);
    let faster = pending(&envoy, 7);
    let slower = Input::Arrived(Box::new(pending(&envoy, 8)));
    let now = envoy.now;
    let effects = turn(&mut Rival::of(&mut envoy, Some(faster)), now, slower);
    let told = envoy.carry_out(2, effects);
    assert_eq!(told, "to 2: submit 8; tick soon; heartbeat; 8 is held");
    assert_eq!((envoy.in_flight(), envoy.waiting()), (1, 1));
}

/// The second worker is told of this while others are faster so many times.
fn tell_losing(envoy: &mut Envoy, losses: u32, input: Input) -> String {
    let now = envoy.now;
    let effects = turn(&mut Rival::losing(envoy, losses), now, input);
    envoy.carry_out(2, effects)
}

#[test]
fn a_worker_that_is_never_fast_enough_says_so_and_is_counted_later() {
    let mut envoy = Envoy::new(2, None);
    envoy.show(&[1]);
    envoy.arrive(2, 7);
    let arrived = Input::Arrived(Box::new(pending(&envoy, 8)));
    assert_eq!(
        tell_losing(&mut envoy, 256, arrived),
        "heartbeat; 8 goes to 10.0.0.1:8000; ReportContended",
        "it goes all the same, and takes no position of the ring that is not its own"
    );
    assert_eq!((envoy.in_flight(), envoy.store.ledger().events), (1, 1), "not counted yet");
    assert!(envoy.tell(2, Input::Tick).contains("ReportRecount"));
    assert_eq!(envoy.in_flight(), 2);
    assert!(!envoy.live(2, &[2]).contains("ReportRecount"), "all is counted");
}

#[test]
fn the_last_try_counts() {
    let mut envoy = Envoy::new(2, None);
    envoy.show(&[1]);
    let arrived = Input::Arrived(Box::new(pending(&envoy, 8)));
    assert_eq!(tell_losing(&mut envoy, 255, arrived), "heartbeat; 8 goes to 10.0.0.1:8000");
    assert_eq!(envoy.entry(0), " placed");
    assert_eq!(envoy.in_flight(), 1);
}

#[test]
fn what_is_held_without_the_ledger_is_handed_in_with_the_next_tick() {
    let mut envoy = Envoy::new(2, Some(flow()));
    envoy.show(&[1]);
    envoy.arrive(1, 7);
    envoy.live(1, &[1]);
    let arrived = Input::Arrived(Box::new(pending(&envoy, 8)));
    let told = tell_losing(&mut envoy, 256, arrived);
    assert!(told.ends_with("8 is held; ReportContended"), "{told}");
    assert_eq!(envoy.waiting(), 0);
    assert_eq!(envoy.tell(2, Input::Tick), "to 2: submit 8; heartbeat");
    assert_eq!(envoy.waiting(), 1, "it is a member from now on");
    envoy.tell(1, ended(7));
    assert!(envoy.hear_all().ends_with("8 goes to 10.0.0.1:8000"));
}

#[test]
fn workers_learn_of_each_others_placements() {
    let mut envoy = Envoy::new(2, None);
    envoy.show(&[1, 2]);
    let placed = Input::Arrived(Box::new(pending(&envoy, 7)));
    envoy.tell(1, placed);
    let indexed = |workers: &[Worker]| [workers[0].indexed(), workers[1].indexed()];
    assert_eq!(indexed(&envoy.workers), [2, 0]);
    envoy.tell(2, Input::Look);
    assert_eq!(indexed(&envoy.workers), [2, 2]);
    envoy.tell(1, ended(7));
    envoy.tell(2, Input::Tick);
    assert_eq!(indexed(&envoy.workers), [0, 0], "taken back");
}
