//! The arbiter's wish that running requests end, and the choice of those.

use std::{cmp::Reverse, time::Duration};

use super::Arbiter;
use crate::{
    flow::Eviction,
    ledger::{Row, Sheddable},
    model::{Instant, Priority, QueueId},
    saturation::Budget,
    workers::{Envelope, Message},
};

/// Requests that are evicted in one go (EPP: at most two revocations a decision).
const EVICTED_MAX: u32 = 2;

/// Time within which an eviction is confirmed (EPP). After it the worker or the message is taken for lost.
const CONFIRMED_WITHIN: Duration = Duration::from_secs(10);

/// Pause after an eviction where ends are counted as they happen (EPP, concurrency-detector).
const REST_BY_COUNTS: Duration = Duration::from_millis(10);

/// Pause after an eviction where the saturation is read off pages (EPP, utilization-detector): a scrape of
/// 50 ms, the 2 s after which a page is stale, and a margin of 250 ms.
const REST_BY_PAGES: Duration = Duration::from_millis(2_300);

/// A wish that running requests end, as a more important one finds no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reclaim {
    /// Only requests of priorities below this one end.
    pub(in crate::workers) below: Priority,
    /// Number of requests, 1 or 2.
    pub(in crate::workers) requests: u32,
    /// Time for which no more are evicted once those have ended.
    pub(in crate::workers) rest: Duration,
}

/// The pace of evictions: the next ones wait until the last ones are confirmed, and a pause more.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct EvictionPace {
    /// Evictions that were asked for and are not confirmed.
    pending: u32,
    /// Time at which they were asked for.
    asked_at: Instant,
    /// Pause after them.
    rest: Duration,
    /// End of the pause.
    ready_at: Instant,
}

impl EvictionPace {
    fn is_ready(&self, now: Instant) -> bool {
        let is_lost = now.saturating_since(self.asked_at) >= CONFIRMED_WITHIN;
        (self.pending == 0 || is_lost) && now >= self.ready_at
    }

    /// Notes that so many evictions were asked for. Where there was nothing to evict, which may soon be otherwise,
    /// the pause is short.
    fn ask(&mut self, now: Instant, requests: u32, rest: Duration) {
        let pause = if requests == 0 { REST_BY_COUNTS } else { rest };
        *self = Self { pending: requests, asked_at: now, rest, ready_at: now + pause };
    }

    fn confirm(&mut self, now: Instant) {
        self.pending = self.pending.saturating_sub(1);
        self.ready_at = now + self.rest;
    }
}

impl Arbiter {
    /// Tells which running requests should end, after a look in which what waits first found no room in this
    /// budget beside `in_flight` requests: as many as are above its ceiling, at least one and at most two.
    pub(super) fn reclaim(&self, now: Instant, budget: &Budget, in_flight: u64) -> Option<Reclaim> {
        if self.config().eviction == Eviction::Off || !self.evictions.is_ready(now) {
            return None;
        }
        let saturation = budget.saturation();
        let (first, ceiling) = self.controller.first_waiting(saturation)?;
        let each = saturation / f64::from(u32::try_from(in_flight).unwrap_or(u32::MAX)).max(1.0);
        let is_beyond_one = each > 0.0 && (saturation - ceiling) / each > 1.0;
        Some(Reclaim {
            below: first.min(Priority(0)),
            requests: if is_beyond_one { EVICTED_MAX } else { 1 },
            rest: if budget.reads_pages() { REST_BY_PAGES } else { REST_BY_COUNTS },
        })
    }

    /// Asks the workers of these rows for evictions: of the lowest priorities, and of one priority of what was
    /// sent last.
    pub(in crate::workers) fn evict(
        &mut self,
        now: Instant,
        reclaim: Reclaim,
        rows: &[Row],
    ) -> Vec<Envelope> {
        let Reclaim { below, requests, rest } = reclaim;
        let shown = rows.iter().filter_map(|row| row.heartbeat.as_ref()?.sheddable);
        let mut shown: Vec<Sheddable> = shown.filter(|it| it.priority < below).collect();
        shown.sort_by_key(|it| (it.priority, Reverse(it.sent_at)));
        // Of a worker with several only the first is known. The others can't go before it.
        let each = |it: Sheddable| (0..it.requests.min(requests)).map(move |_| it.queue);
        let chosen: Vec<QueueId> =
            shown.into_iter().flat_map(each).take(requests as usize).collect();
        self.evictions.ask(now, u32::try_from(chosen.len()).unwrap_or(u32::MAX), rest);
        let reply_to = self.queue;
        let message = || Message::Evict { below, reply_to };
        chosen.into_iter().map(|to| Envelope { to, message: message() }).collect()
    }

    /// Notes that an eviction has ended, or that its worker had nothing to evict.
    pub(in crate::workers) fn confirm_eviction(&mut self, now: Instant) {
        self.evictions.confirm(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{flow::FlowConfig, ledger::Heartbeat, model::WorkerId};

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    fn row(queue: u32, shown: Option<(u32, i32, u64)>) -> Row {
        let sheddable = shown.map(|(requests, priority, sent_at)| Sheddable {
            requests,
            priority: Priority(priority),
            sent_at: at(sent_at),
            queue: QueueId(queue),
        });
        let heartbeat = Some(Heartbeat { sheddable, ..Heartbeat::default() });
        Row { worker: WorkerId(queue.into()), heartbeat }
    }

    fn arbiter() -> Arbiter {
        let config = FlowConfig { eviction: Eviction::Sheddable, ..FlowConfig::default() };
        Arbiter::new(WorkerId(1), QueueId(9), config, at(0))
    }

    #[test]
    fn the_lowest_priority_goes_first_and_of_one_priority_the_newest() {
        let rows = [
            row(1, Some((3, -1, 500))),
            row(2, Some((1, -5, 100))),
            row(3, None),
            row(4, Some((1, -5, 300))),
            Row { worker: WorkerId(5), heartbeat: None },
        ];
        let chosen = |below: i32, requests: u32| {
            let reclaim = Reclaim { below: Priority(below), requests, rest: REST_BY_COUNTS };
            let envelopes = arbiter().evict(at(1_000), reclaim, &rows);
            let asked = |it: &Envelope| {
                let message = Message::Evict { below: Priority(below), reply_to: QueueId(9) };
                assert_eq!(it.message, message);
                it.to.0
            };
            envelopes.iter().map(asked).collect::<Vec<u32>>()
        };
        assert_eq!(chosen(0, 2), [4, 2]);
        assert_eq!(chosen(0, 1), [4]);
        assert_eq!(chosen(-5, 2), [0_u32; 0]);
        assert_eq!(chosen(-1, 2), [4, 2], "a band makes way for no other of its own");
    }

    #[test]
    fn one_worker_may_have_both() {
        let reclaim = Reclaim { below: Priority(0), requests: 2, rest: REST_BY_COUNTS };
        let rows = [row(1, Some((3, -1, 500))), row(2, Some((3, -1, 400)))];
        let to: Vec<u32> =
            arbiter().evict(at(1_000), reclaim, &rows).iter().map(|it| it.to.0).collect();
        assert_eq!(to, [1, 1]);
    }

    #[test]
    fn the_next_evictions_wait_for_the_last_ones() {
        let mut pace = EvictionPace::default();
        assert!(pace.is_ready(at(0)));
        pace.ask(at(0), 2, REST_BY_COUNTS);
        assert!(!pace.is_ready(at(9_999)));
        assert!(pace.is_ready(at(10_000)), "taken for lost");
        pace.confirm(at(100));
        assert!(!pace.is_ready(at(200)));
        pace.confirm(at(200));
        assert!(!pace.is_ready(at(209)));
        assert!(pace.is_ready(at(210)));
        // A confirmation that comes twice changes nothing but the pause.
        pace.confirm(at(300));
        assert!(pace.is_ready(at(310)));
        pace.ask(at(400), 0, REST_BY_PAGES);
        assert!(pace.is_ready(at(410)), "nothing was evicted that a page would show");
    }
}
