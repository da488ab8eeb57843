//! llm-d, prefix-cache-scorer 3, queue-scorer 2, kv-cache-utilization-scorer 2: the EPP's profile when it is
//! given none.

use std::time::Duration;

use crate::peer::{Policy, View};

#[derive(Debug)]
pub(crate) struct LlmDBlend;

impl Policy for LlmDBlend {
    fn pick(&mut self, view: &mut View<'_>) -> usize {
        let waiting = || view.readings.iter().map(|reading| reading.waiting);
        let shortest = waiting().min().unwrap_or(0);
        let longest = waiting().max().unwrap_or(0);
        view.least(view.pods(), |view, pod| {
            let reading = view.reading(pod);
            let queue = if longest == shortest {
                1.0
            } else {
                (longest - reading.waiting) as f64 / (longest - shortest) as f64
            };
            -(3.0 * view.share(pod) + 2.0 * queue + 2.0 * (1.0 - reading.kv_usage))
        })
    }

    fn scrapes_every(&self) -> Option<Duration> {
        Some(Duration::from_millis(50))
    }
}
