//! The plan of a step: which tokens it computes.

use std::time::Duration;

use super::{
    EngineCore, Work, adapters,
    blocks::BlockPool,
    request::{Sequence, Turn},
};

impl EngineCore {
    /// Plans a step and starts it; false if there is nothing to do.
    pub(super) fn begin_step(&mut self, at: Duration) -> bool {
        if self.running.is_empty() && self.waiting.is_empty() {
            return false;
        }
        let mut work = Work::default();
        let mut budget = self.config.max_step_tokens;
        let preempted = self.grant_running(&mut budget, &mut work);
        if !preempted {
            self.admit(at, &mut budget, &mut work);
        }
        if work == Work::default() {
            return false;
        }
        self.last_work = work;
        self.step = Some(at + self.config.cost.step_time(work));
        true
    }

    /// Gives running requests their next tokens, in order. The last of them is preempted when the
    /// blocks run out; true if that happened.
    fn grant_running(&mut self, budget: &mut usize, work: &mut Work) -> bool {
        let turns: Vec<Turn> = self.running.keys().copied().collect();
        let mut preempted = false;
        for turn in turns {
            while let Some(sequence) = self.running.get_mut(&turn) {
                let granted = sequence.pending().min(*budget);
                if granted == 0 {
                    break;
                }
                if grow(&mut self.pool, self.config.block_tokens, sequence, granted) {
                    *budget -= granted;
                    count(work, sequence, granted);
                    break;
                }
                preempted = true;
                self.preempt_last();
            }
        }
        preempted
    }

    /// Frees the blocks of the last running request, which starts again from its first token (and
    /// from whatever the prefix cache still has of it).
    fn preempt_last(&mut self) {
        let Some((turn, mut sequence)) = self.running.pop_last() else { return };
        self.pool.release(&sequence.blocks);
        sequence.blocks.clear();
        sequence.published = 0;
        sequence.computed = 0;
        sequence.preemptions += 1;
        self.meter.preemptions += 1;
        self.waiting.insert(turn, sequence);
    }

    fn admit(&mut self, at: Duration, budget: &mut usize, work: &mut Work) {
        let turns: Vec<Turn> = self.waiting.keys().copied().take(self.candidates()).collect();
        for turn in turns {
            if *budget == 0 || self.running.len() >= self.config.max_running {
                return;
            }
            if self.waiting.get(&turn).is_none_or(|sequence| !self.adapter_fits(sequence)) {
                continue;
            }
            let Some(mut sequence) = self.waiting.remove(&turn) else { continue };
            let Some(granted) =
                place(&mut self.pool, self.config.block_tokens, &mut sequence, *budget)
            else {
                self.waiting.insert(turn, sequence);
                return;
            };
            *budget -= granted;
            work.admitted_tokens += small(sequence.prompt);
            count(work, &mut sequence, granted);
            self.meter.admit(at, &mut sequence);
            self.running.insert(turn, sequence);
        }
    }

    /// Returns how far down the queue one step looks: all of it only if adapters make it skip.
    fn candidates(&self) -> usize {
        let skips = self.waiting.values().any(|sequence| sequence.adapter.is_some());
        if skips { usize::MAX } else { self.config.max_running }
    }

    /// Returns the number of waiting requests that wait for an adapter slot and not for capacity.
    pub(super) fn deferred(&self) -> usize {
        self.waiting.values().filter(|sequence| !self.adapter_fits(sequence)).count()
    }

    /// True if the batch has the request's adapter already, or a slot for one more.
    fn adapter_fits(&self, sequence: &Sequence) -> bool {
        let Some(adapter) = &sequence.adapter else { return true };
        let loaded = adapters(&self.running);
        loaded.contains(&adapter.as_str()) || loaded.len() < self.config.max_adapters
    }
}

/// Puts a waiting request onto what the cache has of it, at most all but its last token, and grants
/// it a first chunk. `None`, and nothing changed, if the blocks don't suffice.
fn place(
    pool: &mut BlockPool,
    block_tokens: usize,
    sequence: &mut Sequence,
    budget: usize,
) -> Option<usize> {
    let most = (sequence.tokens.tokens().saturating_sub(1)) / block_tokens;
    let hashes = sequence.tokens.hashes();
    let found = pool.find(hashes.get(..most).unwrap_or(hashes));
    let hit = found.len() * block_tokens;
    let all = sequence.tokens.tokens();
    let computed = if sequence.is_received { hit.max(all.saturating_sub(1)) } else { hit };
    let granted = (all - computed).min(budget);
    let fresh = (computed + granted).div_ceil(block_tokens) - found.len();
    sequence.blocks = pool.acquire(&found, fresh)?;
    // What a preemption frees is computed here: it is sent once.
    sequence.is_received = false;
    sequence.computed = computed;
    sequence.published = found.len();
    publish(pool, block_tokens, sequence, granted);
    Some(granted)
}

/// Adds the blocks that `granted` more tokens need; false, and nothing changed, if there are none.
fn grow(
    pool: &mut BlockPool,
    block_tokens: usize,
    sequence: &mut Sequence,
    granted: usize,
) -> bool {
    let needed = (sequence.computed + granted).div_ceil(block_tokens);
    let fresh = needed.saturating_sub(sequence.blocks.len());
    let Some(blocks) = pool.acquire(&[], fresh) else { return false };
    sequence.blocks.extend(blocks);
    publish(pool, block_tokens, sequence, granted);
    true
}

/// Makes the blocks findable that this step fills: as in vLLM, already when it is planned.
fn publish(pool: &mut BlockPool, block_tokens: usize, sequence: &mut Sequence, granted: usize) {
    let full = (sequence.computed + granted) / block_tokens;
    let ready = sequence.blocks.iter().zip(sequence.tokens.hashes()).take(full);
    for (block, hash) in ready.skip(sequence.published) {
        pool.publish(*block, *hash);
    }
    sequence.published = sequence.published.max(full);
}

fn count(work: &mut Work, sequence: &mut Sequence, granted: usize) {
    sequence.granted = granted;
    let from = sequence.computed as u64;
    let tokens = granted as u64;
    work.attended_tokens += from * tokens + tokens * tokens / 2;
    if sequence.generated > 0 && granted == 1 {
        work.decodes += 1;
    } else {
        work.prefill_tokens += small(granted);
    }
}

fn small(tokens: usize) -> u32 {
    u32::try_from(tokens).unwrap_or(u32::MAX)
}
