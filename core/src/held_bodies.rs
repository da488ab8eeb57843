//! Requests that wait for their turn with their bodies: what those pin, and which of them end for it.
//!
//! Flow control limits requests by bands and over all workers, and knows nothing of the memory of one worker. Here the
//! bytes are bounded that one worker pins, of all its pools.

use std::{cmp::Reverse, collections::BTreeMap};

use crate::{flow::Priority, model::RequestId};

/// The bodies of one worker's waiting requests.
#[derive(Clone, Debug, Default)]
pub struct HeldBodies {
    by_request: BTreeMap<RequestId, HeldBody>,
    /// Bytes of all of them.
    bytes: u64,
    /// Number of the next one.
    next: u64,
}

/// A body that a waiting request pins.
#[derive(Clone, Copy, Debug)]
struct HeldBody {
    bytes: u64,
    priority: Priority,
    /// Place in the order of arrival.
    number: u64,
}

impl HeldBodies {
    /// Bytes that waiting requests of a worker may pin: a quarter of what a band may queue by default, which four workers
    /// share; 600 prompts of 100,000 tokens.
    pub const BYTES_MAX: u64 = 256 << 20;

    /// Requests that one tick ends: Envoy's VMs die of a few hundred replies in one go.
    const ENDED_MAX: usize = 32;

    /// Begins with none.
    #[must_use]
    pub const fn new() -> Self {
        Self { by_request: BTreeMap::new(), bytes: 0, next: 0 }
    }

    /// Notes that a request waits with so many bytes. Noted again, it has these.
    pub fn hold(&mut self, request: RequestId, priority: Priority, bytes: u64) {
        self.let_go(request);
        let number = self.next;
        self.next += 1;
        self.by_request.insert(request, HeldBody { bytes, priority, number });
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Forgets a request: it waits no more.
    pub fn let_go(&mut self, request: RequestId) {
        if let Some(body) = self.by_request.remove(&request) {
            self.bytes = self.bytes.saturating_sub(body.bytes);
        }
    }

    /// Returns the bytes of all bodies.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// True if they pin more than they may.
    #[must_use]
    pub const fn are_crowded(&self) -> bool {
        self.bytes > Self::BYTES_MAX
    }

    /// Returns the requests that end as all together pin too much, and forgets them: those of the lowest priority first, of
    /// those the largest, and among equals the newest.
    ///
    /// By age alone, a few that came first would keep all others out, and a client that names no length has its body
    /// counted as the longest without sending any of it.
    pub fn displace(&mut self) -> Vec<RequestId> {
        if !self.are_crowded() {
            return Vec::new();
        }
        let mut least_first: Vec<(RequestId, HeldBody)> =
            self.by_request.iter().map(|(request, body)| (*request, *body)).collect();
        least_first
            .sort_by_key(|(_, body)| (body.priority, Reverse(body.bytes), Reverse(body.number)));
        let mut ended = Vec::new();
        for (request, _) in least_first.into_iter().take(Self::ENDED_MAX) {
            if !self.are_crowded() {
                break;
            }
            self.let_go(request);
            ended.push(request);
        }
        ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn ids(ended: &[RequestId]) -> Vec<u32> {
        ended.iter().map(|request| request.0).collect()
    }

    #[test]
    fn the_newest_of_equals_of_the_lowest_priority_ends_first() {
        let mut bodies = HeldBodies::new();
        for (request, priority) in [(1, 0), (2, 5), (3, 0), (4, -1), (5, 0)] {
            bodies.hold(RequestId(request), Priority(priority), 60 * MIB);
        }
        assert!(bodies.are_crowded());
        assert_eq!(ids(&bodies.displace()), [4]);
        assert_eq!((bodies.bytes(), bodies.displace()), (240 * MIB, Vec::new()));
        bodies.hold(RequestId(6), Priority(9), 250 * MIB);
        assert_eq!(ids(&bodies.displace()), [5, 3, 1, 2], "a high one has the room of all below");
        bodies.let_go(RequestId(6));
        assert_eq!(bodies.bytes(), 0);
    }

    #[test]
    fn a_few_large_ones_keep_no_small_one_out() {
        let mut bodies = HeldBodies::new();
        for request in 1..=8 {
            bodies.hold(RequestId(request), Priority(0), 32 * MIB);
        }
        assert!(!bodies.are_crowded());
        for request in 100..200 {
            bodies.hold(RequestId(request), Priority(0), MIB / 10);
            assert!(ids(&bodies.displace()).iter().all(|ended| *ended <= 8), "{request}");
        }
        assert_eq!(bodies.by_request.len(), 107, "one large one made room");
    }

    #[test]
    fn no_order_of_events_pins_more_than_the_limit_after_a_few_ticks() {
        arbtest::arbtest(|u| {
            let mut bodies = HeldBodies::new();
            for _ in 0..u.int_in_range(0..=200)? {
                let request = RequestId(u.int_in_range(0..=99)?);
                match u.int_in_range(0..=3)? {
                    0 => bodies.let_go(request),
                    1 => drop(bodies.displace()),
                    _ => {
                        let priority = Priority(u.int_in_range(-2..=2)?);
                        bodies.hold(request, priority, u.int_in_range(0..=300 * MIB)?);
                    }
                }
                let sum: u64 = bodies.by_request.values().map(|body| body.bytes).sum();
                assert_eq!(sum, bodies.bytes());
            }
            // A hundred at most, and each tick ends 32.
            (0..4).for_each(|_| drop(bodies.displace()));
            assert!(!bodies.are_crowded());
            Ok(())
        });
    }
}
