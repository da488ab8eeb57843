//! Requests with bodies on their way in: what they pin, and which of them end for it.
//!
//! A body is buffered until it is whole, so that a client which stops halfway pins memory for nothing. No clock is
//! read for a part that comes: at each tick an upload that has grown enough since it last moved has moved.

use std::{cmp::Reverse, collections::BTreeMap, time::Duration};

use crate::model::{Instant, RequestId};

/// The uploads of one worker.
#[derive(Clone, Debug, Default)]
pub struct Uploads {
    by_request: BTreeMap<RequestId, Upload>,
    /// Bytes of all of them.
    bytes: u64,
}

/// A body on its way in.
#[derive(Clone, Copy, Debug)]
struct Upload {
    /// Bytes that have come.
    bytes: u64,
    /// Bytes that had come when it last moved.
    moved_bytes: u64,
    /// True if it has moved since the last tick.
    has_moved: bool,
    /// Tick at which it was last seen to have moved.
    moved_at: Instant,
    /// First tick at which it was seen; `None` before.
    began_at: Option<Instant>,
}

/// The reason for which an upload ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UploadFault {
    /// Next to nothing of it has come for [`Uploads::STALL_MAX`].
    Stalled,
    /// All uploads together pin more than [`Uploads::BYTES_MAX`], and this one has stood still for longest, or takes
    /// longest.
    Crowded,
}

impl Uploads {
    /// Time for which a body may stand still. A client that sends one has it, so that only its connection delays a
    /// part; TCP repeats a lost one after 0.2 to 3 s.
    pub const STALL_MAX: Duration = Duration::from_secs(10);

    /// Bytes that all uploads of a worker may pin: 8 bodies of the largest size by default, or 600 of 100,000
    /// tokens. Whole bodies are not counted: those of requests that wait have a limit of their own.
    pub const BYTES_MAX: u64 = 256 << 20;

    /// Growth, in bytes, that counts as movement: less than one segment of TCP, and more than a client drips that means to
    /// keep what it pins.
    const MOVED_MIN: u64 = 1_024;

    /// Uploads that one tick ends: Envoy's VMs die of a few hundred replies in one go.
    const ENDED_MAX: usize = 32;

    /// Begins with no upload.
    #[must_use]
    pub const fn new() -> Self {
        Self { by_request: BTreeMap::new(), bytes: 0 }
    }

    /// Notes that of a body so many bytes have come, in all.
    pub fn grow(&mut self, request: RequestId, bytes: u64) {
        let upload = self.by_request.entry(request).or_insert_with(Upload::new);
        self.bytes = self.bytes.saturating_sub(upload.bytes).saturating_add(bytes);
        // One that is thrown away is noted with 0 bytes at each part, and pins nothing.
        let is_ahead = bytes >= upload.moved_bytes.saturating_add(Self::MOVED_MIN);
        let has_moved = upload.has_moved || is_ahead || bytes == 0;
        *upload = Upload { bytes, has_moved, ..*upload };
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
        for upload in self.by_request.values_mut().filter(|upload| upload.has_moved) {
            upload.look(now);
        }
        let mut oldest_first: Vec<(RequestId, Upload)> =
            self.by_request.iter().map(|(request, upload)| (*request, *upload)).collect();
        oldest_first.sort_by_key(|(_, upload)| upload.turn());
        let mut ended = Vec::new();
        for (request, upload) in oldest_first {
            let fault = if now.saturating_since(upload.moved_at) >= Self::STALL_MAX {
                UploadFault::Stalled
            } else if self.are_crowded() && upload.bytes > 0 {
                UploadFault::Crowded
            } else {
                continue;
            };
            self.forget(request);
            ended.push((request, fault));
            if ended.len() == Self::ENDED_MAX {
                break;
            }
        }
        ended
    }
}

impl Upload {
    /// Returns one that begins, of which nothing is noted yet. To begin is to move.
    const fn new() -> Self {
        let moved_at = Instant::from_nanos(0);
        Self { bytes: 0, moved_bytes: 0, has_moved: true, moved_at, began_at: None }
    }

    /// Notes at a tick that it has moved.
    fn look(&mut self, now: Instant) {
        self.has_moved = false;
        self.moved_bytes = self.bytes;
        self.moved_at = now;
        self.began_at = self.began_at.or(Some(now));
    }

    /// Returns its turn to end where uploads crowd; the least ends first.
    ///
    /// Ticks are 20 ms apart then, and what an honest client sends comes in bursts a round trip apart: within a second
    /// all stand still alike. Of those the one that began first goes first, so that a client that keeps its uploads alive
    /// with little has to begin them anew, whole, as often as others send theirs. Then the largest.
    fn turn(&self) -> (u64, Option<u64>, Reverse<u64>) {
        (second(self.moved_at), self.began_at.map(second), Reverse(self.bytes))
    }
}

/// Returns the whole seconds of a time.
const fn second(at: Instant) -> u64 {
    at.as_nanos() / 1_000_000_000
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
            // A kibibyte a second moves.
            uploads.grow(RequestId(2), MIB + second * 1024);
            // One byte a second does not.
            if second <= 10 {
                uploads.grow(RequestId(3), 9 * MIB + second);
            }
            let ended = uploads.overdue(at(100 + second));
            let expected: &[u32] = if second == 10 { &[3, 1] } else { &[] };
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

    /// 640 uploads of 400 kB that a client keeps with `drip` bytes each 20 ms, beside a body that comes in bursts of
    /// 14 kB each 80 ms and bodies of 8 MiB that are whole a tick later.
    fn outlives_drippers(drip: u64) {
        let mut uploads = Uploads::default();
        let at = |ms: u64| Instant::from_nanos(10_000_000_000 + ms * 1_000_000);
        (0..640).for_each(|request| uploads.grow(RequestId(request), 400 * 1024));
        let _ = uploads.overdue(at(0)).len();
        let mut bytes = 0;
        for tick in 1..=100 {
            for request in 0..640 {
                if uploads.by_request.contains_key(&RequestId(request)) {
                    uploads.grow(RequestId(request), 400 * 1024 + tick * drip);
                }
            }
            if tick > 50 && tick % 4 == 1 {
                bytes += 14 * 1024;
                uploads.grow(RequestId(1_000), bytes);
            }
            uploads.grow(RequestId(2_000), 8 * MIB);
            let ended = ids(&uploads.overdue(at(1_000 + tick * 20)), UploadFault::Crowded);
            assert!(ended.iter().all(|request| *request < 640), "{drip}, tick {tick}: {ended:?}");
            uploads.forget(RequestId(2_000));
        }
        assert_eq!(uploads.bytes, uploads.by_request.values().map(|it| it.bytes).sum::<u64>());
    }

    #[test]
    fn a_client_that_drips_bytes_does_not_outlive_one_that_sends() {
        [1, 64].into_iter().for_each(outlives_drippers);
    }

    #[test]
    fn what_pins_nothing_does_not_end_for_a_crowd() {
        let mut uploads = Uploads::default();
        (0..40).for_each(|request| uploads.grow(RequestId(request), 0));
        let _ = uploads.overdue(at(1)).len();
        (40..80).for_each(|request| uploads.grow(RequestId(request), 8 * MIB));
        let ended = ids(&uploads.overdue(at(3)), UploadFault::Crowded);
        assert!(ended.len() == 8 && ended.iter().all(|request| *request >= 40), "{ended:?}");
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
