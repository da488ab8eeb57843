//! The placements that a gateway which starts anew learns from the exchange.

use std::{collections::BTreeMap, net::SocketAddr};

use crate::model::{BlockHash, EventKind, PlacementEvent};

/// Placements that are kept for gateways that start: at 600 bytes each 10 MB of the scraper a pool.
/// All beyond is learnt again by use.
const KEPT_MAX: usize = 16_384;

/// The latest placements that still hold, in the order of their last use.
#[derive(Clone, Debug, Default)]
pub(super) struct KeptEvents {
    by_use: BTreeMap<u64, PlacementEvent>,
    by_prompt: BTreeMap<(SocketAddr, BlockHash), u64>,
    /// Number of the next use.
    next: u64,
}

impl KeptEvents {
    /// Takes in what a gateway tells. Only what says where a prefix is cached is kept.
    pub(super) fn take(&mut self, event: &PlacementEvent) {
        let Some(tail) = event.chain.hashes.last() else { return };
        let prompt = (event.endpoint, *tail);
        match event.verdict {
            EventKind::Placed => {
                self.forget(prompt);
                self.insert(prompt, event.clone());
            }
            EventKind::Used => {
                if let Some(kept) = self.forget(prompt) {
                    self.insert(prompt, kept);
                }
            }
            EventKind::Withdrawn | EventKind::Failed(_) => {
                self.forget(prompt);
            }
            EventKind::Broke(_) | EventKind::Served | EventKind::Bound(_) | EventKind::Kept(_) => {}
        }
    }

    /// Returns the placements from this use on, with the number of each, least recently used first.
    pub(super) fn since(&self, first: u64) -> impl Iterator<Item = (u64, &PlacementEvent)> {
        self.by_use.range(first..).map(|(number, event)| (*number, event))
    }

    fn forget(&mut self, prompt: (SocketAddr, BlockHash)) -> Option<PlacementEvent> {
        let number = self.by_prompt.remove(&prompt)?;
        self.by_use.remove(&number)
    }

    fn insert(&mut self, prompt: (SocketAddr, BlockHash), event: PlacementEvent) {
        self.by_prompt.insert(prompt, self.next);
        self.by_use.insert(self.next, event);
        self.next += 1;
        if self.by_use.len() > KEPT_MAX
            && let Some((_, oldest)) = self.by_use.pop_first()
            && let Some(tail) = oldest.chain.hashes.last()
        {
            self.by_prompt.remove(&(oldest.endpoint, *tail));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Chain, Fault, Instant};

    fn event(prompt: u64, verdict: EventKind) -> PlacementEvent {
        PlacementEvent {
            at: Instant::default(),
            endpoint: ([10, 0, 0, 1], 8000).into(),
            chain: Chain { hashes: vec![BlockHash(prompt)], blocks: 1 },
            verdict,
        }
    }

    fn kept(events: &[PlacementEvent]) -> Vec<u64> {
        let mut kept = KeptEvents::default();
        events.iter().for_each(|event| kept.take(event));
        let prompts = kept.since(0).map(|(_, event)| event.chain.hashes[0].0);
        let prompts: Vec<u64> = prompts.collect();
        assert_eq!(kept.by_prompt.len(), prompts.len());
        prompts
    }

    #[test]
    fn what_still_holds_is_kept_in_the_order_of_use() {
        use EventKind::{Failed, Placed, Served, Used, Withdrawn};
        let events = [
            event(1, Placed),
            event(2, Placed),
            event(3, Placed),
            event(4, Placed),
            event(1, Used),
            event(3, Withdrawn),
            event(4, Failed(Fault::Endpoint)),
            event(5, Used),
            event(2, Served),
        ];
        assert_eq!(kept(&events), [2, 1]);
    }

    #[test]
    fn the_table_is_bounded() {
        let events: Vec<_> =
            (0..KEPT_MAX as u64 + 3).map(|it| event(it, EventKind::Placed)).collect();
        let kept = kept(&events);
        assert_eq!((kept.len(), kept[0]), (KEPT_MAX, 3));
    }
}
