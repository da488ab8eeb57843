//! The time that the picker works on a request and on its answer, and that its plugins take, measured of some streams: a look at the
//! clock costs as much as a header.

use std::time::Duration;

use picker_core::{InferenceRequest, PluginTime, RequestId};

use super::Stream;
use crate::{host, pool::Pool, vm};

/// One stream in so many is measured.
const MEASURED_EVERY: u32 = 16;

/// One stream in so many has its plugins timed. That takes the choice once more, with two looks at the clock for each plugin: less than
/// a hundredth of the choices' own time for all streams together, and nothing for the others.
const PLUGINS_TIMED_EVERY: u32 = 256;

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
    /// Returns the time of each plugin in the choice for this stream's request; none if the stream is not one of those.
    pub(super) fn time_plugins(
        &self,
        pool: &Pool,
        request: &mut InferenceRequest,
    ) -> Vec<PluginTime> {
        if !self.id.0.is_multiple_of(PLUGINS_TIMED_EVERY) {
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
