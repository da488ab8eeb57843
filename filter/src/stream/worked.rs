//! The time that the picker works on a request and on its answer, and that its plugins take, measured of some streams: a look at the
//! clock costs as much as a header.

use std::time::Duration;

use picker_core::{InferenceRequest, Instant, PluginTime, RequestId};

use super::Stream;
use crate::{host, pool::Pool, vm};

/// One stream in so many is measured.
const MEASURED_EVERY: u32 = 16;

/// Time between two requests of a pool that have their plugins timed, in each worker. That takes the choice once more, with two
/// looks at the clock for each plugin: a tenth of a millisecond a second.
const PLUGINS_TIMED_EVERY: Duration = Duration::from_secs(1);

/// Time that the picker worked on a stream so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Worked {
    pub(super) request: Duration,
    pub(super) response: Duration,
}

/// The half of a stream that is worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Half {
    Request,
    Response,
}

impl Worked {
    /// Begins to measure a stream, if it is one of those.
    pub(super) fn begin(id: RequestId) -> Option<Self> {
        id.0.is_multiple_of(MEASURED_EVERY).then(Self::default)
    }
}

impl Stream {
    /// Returns the time of each plugin in the choice for a request that came at `received_at`; none if others were timed just before.
    pub(super) fn time_plugins(
        pool: &Pool,
        request: &mut InferenceRequest,
        received_at: Instant,
    ) -> Vec<PluginTime> {
        let is_due = vm::in_pool(pool.id, |state| {
            let before = state.tally.plugins_timed_at;
            let rests = |at| received_at.saturating_since(at) < PLUGINS_TIMED_EVERY;
            let is_due = !before.is_some_and(rests);
            if is_due {
                state.tally.plugins_timed_at = Some(received_at);
            }
            is_due
        });
        if !is_due {
            return Vec::new();
        }
        let (now, ledger) = (host::now(), pool.store.ledger());
        // The clock is read within the borrow, between the plugins: it gives a number, and Envoy does nothing else meanwhile.
        vm::in_pool(pool.id, |state| state.worker.time_plugins(now, request, &ledger, host::now))
    }

    /// Does the work of a callback, and counts its time if this stream is measured.
    pub(super) fn timed<T>(&self, half: Half, work: impl FnOnce() -> T) -> T {
        if self.worked.get().is_none() {
            return work();
        }
        let began = host::now();
        let done = work();
        let took = host::now().saturating_since(began);
        let mut worked = self.worked.get().unwrap_or_default();
        match half {
            Half::Request => worked.request += took,
            Half::Response => worked.response += took,
        }
        self.worked.set(Some(worked));
        done
    }
}
