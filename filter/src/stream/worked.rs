//! The time that the picker works on a request and on its answer, measured of some streams: a look at the clock costs as much as
//! a header.

use std::time::Duration;

use picker_core::RequestId;

use super::Stream;
use crate::host;

/// One stream in so many is measured.
const MEASURED_EVERY: u32 = 16;

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
