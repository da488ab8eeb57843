//! Lines of the log about reports that were refused. Anyone may send some, so they are counted beyond a few.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tracing::warn;

/// Lines in one [`WINDOW`]: a few gateways with one trouble each.
const LINES_MAX: usize = 8;

/// Time in which lines are counted.
const WINDOW: Duration = Duration::from_secs(60);

/// The throttle of these lines, shared by all requests.
#[derive(Clone, Debug, Default)]
pub(super) struct Complaints(Arc<Mutex<Window>>);

#[derive(Debug, Default)]
struct Window {
    began: Option<Instant>,
    /// Refusals in this window.
    count: usize,
}

impl Complaints {
    /// Writes that a report was refused, or counts it where there were enough lines.
    pub(super) fn refused(&self, address: IpAddr, why: &str) {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (writes, left_out) = window.refused(Instant::now());
        if left_out > 0 {
            warn!("refused {left_out} more reports of gateways in the minute before");
        }
        if writes {
            warn!("failed to take the report of gateway {address}: {why}");
        }
    }
}

impl Window {
    /// Counts a refusal. Returns true if it is to be written, and the number of those of a window that has ended
    /// which were not.
    fn refused(&mut self, now: Instant) -> (bool, usize) {
        let is_over = self.began.is_none_or(|began| now.saturating_duration_since(began) >= WINDOW);
        let mut left_out = 0;
        if is_over {
            left_out = self.count.saturating_sub(LINES_MAX);
            *self = Self { began: Some(now), count: 0 };
        }
        self.count += 1;
        (self.count <= LINES_MAX, left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_refusals_has_a_few_lines_a_minute() {
        let (mut window, start) = (Window::default(), Instant::now());
        let mut lines = 0;
        for ms in 0..60_000 {
            let (writes, left_out) = window.refused(start + Duration::from_millis(ms));
            lines += usize::from(writes);
            assert_eq!(left_out, 0);
        }
        assert_eq!(lines, LINES_MAX);
        assert_eq!(window.refused(start + WINDOW), (true, 60_000 - LINES_MAX));
        assert_eq!(window.refused(start + WINDOW), (true, 0));
    }
}
