//! Laws over random scripts: messages late and in any order, clients that leave, VMs that die.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::time::Duration;

use arbtest::arbitrary::Unstructured;
use host_mock::Stream;
use serde_json::json;

use super::world::{counts, gated_with, shows_no_queue};
use crate::mock::{
    push::Pod,
    world::{WORKERS, World},
};

/// The pool's room, of one request a pod.
const ROOM: u8 = 3;

/// After the last event: a lease's term, the time after which a worker is dead, and some ticks.
const QUIET: Duration = Duration::from_secs(8);

/// A request and the worker that it reached.
struct Asked {
    worker: usize,
    stream: Stream,
    /// Its worker's VM died under it: its client waits until it gives up.
    lost: bool,
}

struct Run {
    world: World,
    asked: Vec<Asked>,
}

impl Run {
    fn new() -> Self {
        let fairness = json!({"type": "round-robin-fairness-policy"});
        let band = json!({"fairnessPolicyRef": "round-robin-fairness-policy"});
        let flow = json!({"defaultPriorityBand": band, "maxRequests": 12, "displace": true});
        let world = gated_with(&[fairness], &flow);
        world.pods(&Pod::idles(ROOM));
        Self { world, asked: Vec::new() }
    }

    fn step(&mut self, u: &mut Unstructured<'_>) -> arbtest::arbitrary::Result<()> {
        let envoy = &self.world.envoy;
        match u.int_in_range(0..=20)? {
            0..=7 => {
                let worker = u.choose_index(WORKERS)?;
                let class = u.choose(&["high", "low", "batch", "none"])?;
                let tenant = u.choose(&["ann", "bob"])?;
                let ttl = u.choose(&["60s", "60s", "60s", "100ms"])?;
                let headers = [
                    ("x-llm-d-inference-objective", *class),
                    ("x-llm-d-inference-fairness-id", *tenant),
                    ("x-llm-d-inference-ttl", *ttl),
                ];
                let stream = self.world.chat_with(worker, &headers, "hello");
                self.asked.push(Asked { worker, stream, lost: false });
            }
            8..=11 => self.end(u)?,
            12 => {
                if let Some(asked) = self.any(u)? {
                    asked.stream.disconnect();
                }
            }
            13..=15 => {
                let pending = envoy.pending().len().min(4);
                for _ in 0..pending {
                    envoy.deliver(0);
                }
            }
            16 => {
                envoy.pump_shuffled(u.arbitrary()?);
            }
            17 => envoy.run_for(Duration::from_millis(u.int_in_range(1..=400)?)),
            18..=19 => envoy.advance(Duration::from_millis(u.int_in_range(1..=60)?)),
            _ => {
                // One of them stays, so that somebody is left to see that the others are dead.
                let worker = u.int_in_range(1..=WORKERS - 1)?;
                if u.ratio(1, 4)? {
                    envoy.worker(worker).kill();
                    let under_it = self.asked.iter_mut().filter(|it| it.worker == worker);
                    under_it.for_each(|it| it.lost = true);
                }
            }
        }
        Ok(())
    }

    fn end(&self, u: &mut Unstructured<'_>) -> arbtest::arbitrary::Result<()> {
        let going: Vec<&Asked> = self.going().collect();
        if !going.is_empty() {
            let asked = going[u.choose_index(going.len())?];
            match u.int_in_range(0..=3)? {
                0 => asked.stream.upstream_resets(),
                1 => asked.stream.refuse(),
                _ => asked.stream.respond(200, &[] as &[(&str, &str)], b"{}"),
            }
        }
        Ok(())
    }

    fn any(&self, u: &mut Unstructured<'_>) -> arbtest::arbitrary::Result<Option<&Asked>> {
        if self.asked.is_empty() {
            return Ok(None);
        }
        Ok(self.asked.get(u.choose_index(self.asked.len())?))
    }

    fn going(&self) -> impl Iterator<Item = &Asked> {
        self.asked.iter().filter(|it| it.stream.sent().is_some() && !it.stream.is_over())
    }

    /// Nothing goes beyond the room, whoever decided it.
    fn holds_the_threshold(&self) {
        let (_, granted, in_flight) = counts(&self.world);
        assert!(u64::from(granted) + in_flight <= u64::from(ROOM), "{granted} and {in_flight}");
        assert!(self.going().filter(|it| !it.lost).count() <= usize::from(ROOM));
    }

    /// All that still goes is answered, until nobody waits.
    fn drain(&self) {
        self.world.envoy.run_for(QUIET);
        for _ in 0..=self.asked.len() {
            self.going().for_each(|it| it.stream.respond(200, &[] as &[(&str, &str)], b"{}"));
            self.world.envoy.run_for(Duration::from_millis(500));
        }
        self.world.envoy.run_for(QUIET);
    }
}

#[test]
fn everyone_gets_one_answer_and_the_ledger_comes_down_to_nothing() {
    arbtest::arbtest(|u| {
        let mut run = Run::new();
        for _ in 0..120 {
            run.step(u)?;
            run.holds_the_threshold();
        }
        run.drain();
        for (n, asked) in run.asked.iter().enumerate() {
            assert!(asked.stream.is_over() || asked.lost, "{n} is forgotten");
        }
        assert_eq!(counts(&run.world), (0, 0, 0));
        assert!(shows_no_queue(&run.world));
        Ok(())
    })
    .size_min(2_000)
    .size_max(8_000)
    .budget_ms(6_000);
}
