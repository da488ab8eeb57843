//! Requests with bodies on their way in: what they pin, and which of them end for it.
//!
//! A body is buffered until it is whole, so that a client which stops halfway pins memory for nothing. No clock is
//! read for a part that comes: at each tick an upload that has grown since the last one has moved.

use std::{collections::BTreeMap, time::Duration};

use crate::model::{Instant, RequestId};

/// The uploads of one worker.
#[derive(Clone, Debug, Default)]
pub struct Uploads {
    by_request: BTreeMap<RequestId, Upload>,
    /// Bytes of all of them.
    bytes: u64,
}

/// A body on its way in.
#[derive(Clone, Copy, Debug, Default)]
struct Upload {
    /// Bytes that have come.
    bytes: u64,
    /// True if bytes have come since the last tick.
    has_grown: bool,
    /// Tick at which it was last seen to have grown.
    moved_at: Instant,
}

/// The reason for which an upload ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UploadFault {
    /// Nothing of it has come for [`Uploads::STALL_MAX`].
    Stalled,
    /// All uploads together pin more than [`Uploads::BYTES_MAX`], and this one has stood still for longest.
    Crowded,
}

impl Uploads {
    /// Time for which a body may stand still. A client that sends one has it, so that only its connection delays a
    /// part; TCP repeats a lost one after 0.2 to 3 s.
    pub const STALL_MAX: Duration = Duration::from_secs(10);

    /// Bytes that all uploads of a worker may pin: 8 bodies of the largest size by default, or 600 of 100,000
    /// tokens. Whole bodies are not counted: those of requests that wait have a limit of their own.
    pub const BYTES_MAX: u64 = 256 << 20;

    /// Uploads that one tick ends: Envoy's VMs die of a few hundred replies in one go.
    const ENDED_MAX: usize = 32;

    /// Begins with no upload.
    #[must_use]
    pub const fn new() -> Self {
        Self { by_request: BTreeMap::new(), bytes: 0 }
    }

    /// Notes that of a body so many bytes have come, in all.
    pub fn grow(&mut self, request: RequestId, bytes: u64) {
        let upload = self.by_request.entry(request).or_default();
        self.bytes = self.bytes.saturating_sub(upload.bytes).saturating_add(bytes);
        *upload = Upload { bytes, has_grown: true, ..*upload };
    }

    /// Forgets an upload: it is whole, or gone.
    pub fn forget(&mut self, request: RequestId) {
        if let Some(upload) = self.by_request.remove(&request) {
            self.bytes = self.bytes.saturating_sub(upload.bytes);
        }
    }

    /// True if uploads are to end at once, and not at the next tick that comes anyway.
    #[must_use]
    pub fn are_crowded(&self) -> bool {
        self.bytes > Self::BYTES_MAX
    }

    /// Returns the bytes of all uploads.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Lets time pass. Returns the uploads that end for it, and forgets them.
    pub fn overdue(&mut self, now: Instant) -> Vec<(RequestId, UploadFault)> {
        for upload in self.by_request.values_mut().filter(|upload| upload.has_grown) {
            *upload = Upload { has_grown: false, moved_at: now, ..*upload };
        }
        let mut oldest_first: Vec<(RequestId, Upload)> =
            self.by_request.iter().map(|(request, upload)| (*request, *upload)).collect();
        // Of those that moved in the same tick the largest goes first.
        oldest_first.sort_by_key(|(_, upload)| (upload.moved_at, std::cmp::Reverse(upload.bytes)));
        let mut ended = Vec::new();
        for (request, upload) in oldest_first.into_iter().take(Self::ENDED_MAX) {
            let fault = if now.saturating_since(upload.moved_at) >= Self::STALL_MAX {
                UploadFault::Stalled
            } else if self.are_crowded() {
                UploadFault::Crowded
            } else {
                break;
            };
            self.forget(request);
            ended.push((request, fault));
        }
        ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * 1_000_000_000)
    }

    fn ids(ended: &[(RequestId, UploadFault)], fault: UploadFault) -> Vec<u32> {
        assert!(ended.iter().all(|(_, found)| *found == fault), "{ended:?}");
        ended.iter().map(|(request, _)| request.0).collect()
    }

    #[test]
    fn an_upload_that_stands_still_ends_and_one_that_moves_does_not() {
        let mut uploads = Uploads::default();
        uploads.grow(RequestId(1), MIB);
        uploads.grow(RequestId(2), MIB);
        for second in 0..60 {
            uploads.grow(RequestId(2), MIB + second);
            let ended = uploads.overdue(at(100 + second));
            let expected: &[u32] = if second == 10 { &[1] } else { &[] };
            assert_eq!(ids(&ended, UploadFault::Stalled), expected, "{second}");
        }
        uploads.forget(RequestId(2));
        assert_eq!((uploads.bytes, uploads.overdue(at(1000)).len()), (0, 0));
    }

    #[test]
    fn beyond_the_limit_those_end_that_stood_still_for_longest() {
        let mut uploads = Uploads::default();
        for request in 0..40 {
            uploads.grow(RequestId(request), 8 * MIB);
            assert_eq!(uploads.are_crowded(), request >= 32);
        }
        let _ = uploads.overdue(at(1)).len();
        for request in 0..40 {
            uploads.grow(RequestId(request), 8 * MIB);
        }
        for request in 0..8 {
            uploads.forget(RequestId(request));
        }
        assert!(uploads.overdue(at(2)).is_empty(), "back at the limit");
        (8..12).for_each(|request| uploads.grow(RequestId(request), 9 * MIB));
        uploads.grow(RequestId(50), 30 * MIB);
        let ended = ids(&uploads.overdue(at(3)), UploadFault::Crowded);
        assert!(!ended.is_empty() && ended.iter().all(|request| (12..40).contains(request)));
        assert!(!uploads.are_crowded());
    }

    #[test]
    fn no_order_of_events_pins_more_than_the_limit_after_a_few_ticks() {
        arbtest::arbtest(|u| {
            let mut uploads = Uploads::default();
            let mut now = 0;
            for _ in 0..u.int_in_range(0..=200)? {
                let request = RequestId(u.int_in_range(0..=99)?);
                match u.int_in_range(0..=3)? {
                    0 => uploads.forget(request),
                    1 => {
                        now += u.int_in_range(0..=5)?;
                        uploads.overdue(at(now));
                    }
                    _ => uploads.grow(request, u.int_in_range(0..=9 * MIB)?),
                }
                let sum: u64 = uploads.by_request.values().map(|upload| upload.bytes).sum();
                assert_eq!(sum, uploads.bytes);
            }
            // A hundred at most, and each tick ends 32.
            (0..4).for_each(|_| drop(uploads.overdue(at(now))));
            assert!(!uploads.are_crowded());
            Ok(())
        });
    }
}
