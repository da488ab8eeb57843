//! The counts of a pool's workers, in shared data: a roll of the workers, of each a head, and chunks of
//! label sets.

use std::{collections::BTreeMap, time::Duration};

use picker_core::Instant;
use wire::{
    layout::key,
    tally::{Head, roll},
};

use super::TRIES_MAX;
use crate::{fast_format::FastFormat, host};

/// Time without a head after which a worker's gauges say nothing of now: as long as its heartbeats.
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(5);

/// Time after which a worker that has not written makes room on a full roll.
const GONE_AFTER: Duration = Duration::from_secs(60);

/// The counts of one pool's workers.
pub(crate) struct Tallies<'a> {
    pub(super) pool: &'a str,
}

impl Tallies<'_> {
    /// Creates the key that several workers change. From `on_configure`.
    pub(super) fn create(&self) {
        host::create_shared(&self.roll_key());
    }

    /// Writes a chunk of a worker's counts.
    pub(crate) fn write_chunk(&self, epoch: u64, number: u32, bytes: &[u8]) {
        host::share(&self.chunk_key(epoch, number), bytes);
    }

    /// Reads a chunk.
    pub(crate) fn chunk(&self, epoch: u64, number: u32) -> Vec<u8> {
        host::shared(&self.chunk_key(epoch, number)).value
    }

    /// Writes the head of a worker's counts.
    pub(crate) fn write_head(&self, epoch: u64, head: &Head) {
        host::share(&self.head_key(epoch), &head.encode());
    }

    /// Reads the heads of all workers that have counts, those that died among them.
    pub(crate) fn heads(&self) -> BTreeMap<u64, Head> {
        let epochs = roll::decode(&host::shared(&self.roll_key()).value);
        epochs.into_iter().filter_map(|epoch| Some((epoch, self.head(epoch)?))).collect()
    }

    fn head(&self, epoch: u64) -> Option<Head> {
        Head::decode(&host::shared(&self.head_key(epoch)).value).ok()
    }

    /// Puts a worker on the roll, if it is not there. On a full roll it takes the place of the earliest
    /// that is gone: the scraper has the counts of that one.
    pub(crate) fn enrol(&self, epoch: u64, now: Instant) {
        let key = self.roll_key();
        for _ in 0..TRIES_MAX {
            let stored = host::shared(&key);
            let mut epochs = roll::decode(&stored.value);
            if epochs.contains(&epoch) {
                return;
            }
            let gone = if epochs.len() < roll::WORKERS_MAX {
                None
            } else {
                let Some(at) = epochs.iter().position(|it| self.is_gone(*it, now)) else { return };
                Some(epochs.remove(at))
            };
            epochs.push(epoch);
            if host::share_if_unchanged(&key, &roll::encode(&epochs), stored.cas) {
                gone.into_iter().for_each(|gone| self.empty(gone));
                return;
            }
        }
    }

    /// Empties the counts of all workers, of a pool that is gone.
    pub(super) fn clear(&self) {
        for epoch in roll::decode(&host::shared(&self.roll_key()).value) {
            self.empty(epoch);
        }
        host::empty_shared(&self.roll_key());
    }

    fn is_gone(&self, epoch: u64, now: Instant) -> bool {
        self.head(epoch).is_none_or(|head| now.saturating_since(head.written_at) > GONE_AFTER)
    }

    /// Empties what a worker has written: Envoy forgets no key.
    fn empty(&self, epoch: u64) {
        let chunks = self.head(epoch).map_or(0, |head| head.versions.len());
        for number in (0..).take(chunks) {
            host::share(&self.chunk_key(epoch, number), &[]);
        }
        host::share(&self.head_key(epoch), &[]);
    }

    fn roll_key(&self) -> String {
        key(self.pool, "tally")
    }

    fn head_key(&self, epoch: u64) -> String {
        let mut key = key(self.pool, "tally/");
        key.push_hexadecimal(epoch);
        key
    }

    fn chunk_key(&self, epoch: u64, number: u32) -> String {
        let mut key = self.head_key(epoch);
        key.push('/');
        key.push_number(number.into());
        key
    }
}
