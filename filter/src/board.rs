//! The board: what the workers of one Envoy know in common, in shared data.
//!
//! Per pool there is one snapshot, written by whichever worker took the scraper's push, and a ring
//! of notes in which each worker tells the others what it placed. A small value, the head, says how
//! far both have come, so that a worker learns all that is new with one read of 16 bytes before
//! each pick: no messages, nothing to wake up, and a worker that starts late reads on from what the
//! ring still holds.
//!
//! Shared data is keyed by vm_id only, and with a WasmPlugin that is shared with strangers, hence
//! the prefix; the version changes with any layout below.

use std::collections::VecDeque;

use engine::Note;
use wire::{
    board::{Head, Posted},
    push::Stamp,
};

use crate::host;

/// Notes kept for workers that have not read them yet. A worker that falls further behind has
/// served nothing while that many requests were placed: what it misses is re-learnt by use. At 1 to
/// 2 kB a note for long prompts this is at most 2 MB of Envoy's memory a pool.
const NOTES_KEPT: u64 = 1024;

/// Tries to move the head under contention. Each failed try means that another worker moved it, so
/// this many failures in a row take this many other workers in the same microseconds.
const TRIES_MAX: u32 = 64;

/// How long a note may be announced in the head and not be written: past that its writer is gone.
const GAP_MAX: u64 = 64;

/// One pool's part of shared data, as one worker uses it.
#[derive(Debug)]
pub(crate) struct Board {
    head_key: String,
    snapshot_key: String,
    note_key_prefix: String,
    /// What of the board this worker knows.
    seen: Head,
    /// Positions of this worker's own notes beyond what it has seen, oldest first. Taken in a second
    /// time, behind another's note about the same prompt, they would undo that one. At most
    /// [`NOTES_KEPT`]: the ring holds no older ones.
    own: VecDeque<u64>,
}

/// What is new on the board.
#[derive(Debug, Default)]
pub(crate) struct News {
    /// The scraper's latest push, if it is new to this worker.
    pub(crate) snapshot: Option<Posted>,
    /// Other workers' notes, oldest first.
    pub(crate) notes: Vec<Note>,
}

impl Board {
    /// The board of the pool of that name, of which nothing is known yet.
    pub(crate) fn of_pool(pool: &str) -> Self {
        let prefix = format!("llm-picker/{pool}/v1");
        Self {
            head_key: format!("{prefix}/head"),
            snapshot_key: format!("{prefix}/snapshot"),
            note_key_prefix: format!("{prefix}/note"),
            seen: Head::default(),
            own: VecDeque::new(),
        }
    }

    /// Reads what others put on the board since the last time.
    pub(crate) fn read(&mut self) -> News {
        let head = Head::decode(&host::shared(&self.head_key).value);
        let mut news = News::default();
        if head.notes < self.seen.notes {
            // Counts never go back: somebody else wrote here, and the board begins anew.
            self.seen = Head::default();
            self.own.clear();
        }
        if head.snapshots != self.seen.snapshots {
            news.snapshot = self.snapshot();
            self.seen.snapshots = head.snapshots;
        }
        self.seen.notes = self.seen.notes.max(head.notes.saturating_sub(NOTES_KEPT));
        while self.seen.notes < head.notes {
            let next = self.seen.notes;
            if !self.passes_own(next) {
                match wire::board::decode_notes(&host::shared(&self.note_key(next)).value) {
                    Some((position, notes)) if position == next => news.notes.extend(notes),
                    // Overwritten by a newer one: this worker was slow, and the note is lost on it.
                    Some((position, _)) if position > next => (),
                    // Announced and not written yet: its writer is at it right now, or died there.
                    _ if head.notes - next < GAP_MAX => break,
                    _ => (),
                }
            }
            self.seen.notes += 1;
        }
        news
    }

    /// Whether the note at this position is this worker's own.
    fn passes_own(&mut self, position: u64) -> bool {
        while self.own.front().is_some_and(|own| *own < position) {
            self.own.pop_front();
        }
        self.own.pop_front_if(|own| *own == position).is_some()
    }

    /// Tells the other workers.
    pub(crate) fn post_note(&mut self, note: &Note) {
        let Some(head) = self.advance(|head| head.notes += 1) else { return };
        let position = head.notes - 1;
        match wire::board::encode_notes(position, std::slice::from_ref(note)) {
            Ok(bytes) => host::share(&self.note_key(position), &bytes),
            Err(error) => log::warn!("a placement stays unknown to the other workers: {error}"),
        }
        if position == self.seen.notes {
            self.seen.notes = head.notes;
            return;
        }
        self.own.push_back(position);
        while self.own.front().is_some_and(|own| own + NOTES_KEPT < head.notes) {
            self.own.pop_front();
        }
    }

    /// Puts a verified snapshot on the board, if `admit` takes it after the one that is there. Two
    /// workers that take pushes at once cannot put the older one on top.
    pub(crate) fn post_snapshot<E>(
        &mut self,
        posted: &Posted,
        admit: impl Fn(Option<Stamp>) -> Result<(), E>,
    ) -> Result<(), E> {
        let bytes = posted.encode();
        for _ in 0..TRIES_MAX {
            let there = host::shared(&self.snapshot_key);
            admit(Posted::decode(&there.value).map(|posted| posted.stamp))?;
            if host::share_if_unchanged(&self.snapshot_key, &bytes, &there) {
                self.advance(|head| head.snapshots += 1);
                break;
            }
        }
        Ok(())
    }

    fn snapshot(&self) -> Option<Posted> {
        Posted::decode(&host::shared(&self.snapshot_key).value)
    }

    fn note_key(&self, position: u64) -> String {
        format!("{}/{}", self.note_key_prefix, position % NOTES_KEPT)
    }

    /// Moves the head; `None` when other workers kept moving it first.
    fn advance(&self, change: impl Fn(&mut Head)) -> Option<Head> {
        for _ in 0..TRIES_MAX {
            let read = host::shared(&self.head_key);
            let mut head = Head::decode(&read.value);
            change(&mut head);
            if host::share_if_unchanged(&self.head_key, &head.encode(), &read) {
                return Some(head);
            }
        }
        log::warn!("gave up on {} after {TRIES_MAX} tries", self.head_key);
        None
    }
}
