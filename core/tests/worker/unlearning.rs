//! Engines that lose their caches: every worker forgets, whatever it has read meanwhile.

use std::time::Duration;

use picker_core::{End, Incarnation, RequestId, worker::Input};

use super::{began, envoy::Envoy};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// An Envoy in which worker 1 placed two prompts that were served whole; the others slept.
fn after_two_requests(workers: u32) -> Envoy {
    let mut envoy = Envoy::new(workers, None);
    envoy.show(&[1]);
    for request in [7, 8] {
        envoy.arrive(1, request);
        envoy.tell(1, began(request, None));
        envoy.pass(ms(10));
        let end = End::Whole;
        envoy.tell(1, Input::Ended { request: RequestId(request), start: None, end });
        envoy.pass(ms(1_000));
    }
    assert_eq!(envoy.workers[0].indexed(), 2);
    envoy
}

fn looks(envoy: &mut Envoy, worker: u32) -> usize {
    envoy.tell(worker, Input::Look);
    envoy.workers[worker as usize - 1].indexed()
}

#[test]
fn a_restart_is_known_to_all_workers_whatever_they_have_read_before() {
    let mut envoy = after_two_requests(3);
    assert_eq!(looks(&mut envoy, 2), 2, "read before the restart");
    envoy.incarnation = Incarnation { number: 9, age: ms(20) };
    envoy.show(&[1]);
    assert_eq!([1, 2].map(|worker| looks(&mut envoy, worker)), [0, 0]);
    assert_eq!(looks(&mut envoy, 3), 0, "a worker that reads the placements after the restart");
    envoy.arrive(1, 9);
    envoy.show(&[1]);
    assert_eq!([1, 2, 3].map(|worker| looks(&mut envoy, worker)), [1; 3], "learnt since, and kept");
}

#[test]
fn a_worker_that_misses_the_snapshot_of_a_restart_learns_of_it_from_a_later_one() {
    let mut envoy = after_two_requests(2);
    assert_eq!(looks(&mut envoy, 2), 2);
    envoy.incarnation = Incarnation { number: 9, age: ms(20) };
    envoy.show(&[1]);
    envoy.arrive(1, 9);
    envoy.pass(ms(5_000));
    envoy.incarnation.age = ms(5_020);
    envoy.show(&[1]);
    assert_eq!(looks(&mut envoy, 2), 1, "what was placed since the restart");
    envoy.incarnation = Incarnation { number: 8, age: ms(1) };
    envoy.show(&[1]);
    assert_eq!(looks(&mut envoy, 2), 1, "a scraper that saw less");
}
