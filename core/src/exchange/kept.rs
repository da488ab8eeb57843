//! What a gateway that starts anew learns from the exchange: where prefixes are cached, and where things are that have names.

use std::{collections::BTreeMap, net::SocketAddr};

use crate::model::{BlockHash, EventKind, KeptName, PlacementEvent};

/// Events of each kind that are kept for gateways that start: placements at 600 bytes each, and names at 100, are 12 MB
/// of the scraper a pool. All beyond is learnt again by use, and of a name that is not known a follow-up goes to any pod.
const KEPT_MAX: usize = 16_384;

/// The latest placements that still hold, and the latest names, in the order of their last use.
#[derive(Clone, Debug, Default)]
pub(super) struct KeptEvents {
    prompts: Recent<(SocketAddr, BlockHash)>,
    names: Recent<KeptName>,
    /// Number of the next use.
    next: u64,
}

/// The latest events of one kind, by what they are about. At most [`KEPT_MAX`].
#[derive(Clone, Debug)]
struct Recent<K> {
    by_use: BTreeMap<u64, (K, PlacementEvent)>,
    last_use: BTreeMap<K, u64>,
}

impl KeptEvents {
    /// Takes in what a gateway tells. Only what says where a prefix is cached or what an endpoint keeps is kept.
    pub(super) fn take(&mut self, event: &PlacementEvent) {
        if let EventKind::Kept(name) = event.verdict {
            self.names.insert(self.next, name, event.clone());
            self.next += 1;
        } else if let Some(tail) = event.chain.hashes.last() {
            self.take_prompt((event.endpoint, *tail), event);
        }
    }

    fn take_prompt(&mut self, prompt: (SocketAddr, BlockHash), event: &PlacementEvent) {
        let kept = match event.verdict {
            EventKind::Placed => Some(event.clone()),
            EventKind::Used => self.prompts.forget(prompt),
            EventKind::Withdrawn | EventKind::Failed(_) => {
                let _ = self.prompts.forget(prompt);
                None
            }
            EventKind::Broke(_) | EventKind::Served | EventKind::Bound(_) | EventKind::Kept(_) => {
                None
            }
        };
        if let Some(kept) = kept {
            self.prompts.insert(self.next, prompt, kept);
            self.next += 1;
        }
    }

    /// Returns the first `most` events from this use on, with the number of each, least recently used first.
    pub(super) fn since(&self, first: u64, most: usize) -> Vec<(u64, &PlacementEvent)> {
        let prompts = self.prompts.since(first).take(most);
        let mut events: Vec<_> = prompts.chain(self.names.since(first).take(most)).collect();
        events.sort_unstable_by_key(|(number, _)| *number);
        events.truncate(most);
        events
    }
}

impl<K: Copy + Ord> Recent<K> {
    fn forget(&mut self, key: K) -> Option<PlacementEvent> {
        let number = self.last_use.remove(&key)?;
        self.by_use.remove(&number).map(|(_, event)| event)
    }

    fn insert(&mut self, number: u64, key: K, event: PlacementEvent) {
        let _ = self.forget(key);
        let _ = self.last_use.insert(key, number);
        let _ = self.by_use.insert(number, (key, event));
        if self.by_use.len() > KEPT_MAX
            && let Some((_, (oldest, _))) = self.by_use.pop_first()
        {
            let _ = self.last_use.remove(&oldest);
        }
    }

    fn since(&self, first: u64) -> impl Iterator<Item = (u64, &PlacementEvent)> {
        self.by_use.range(first..).map(|(number, (_, event))| (*number, event))
    }
}

impl<K> Default for Recent<K> {
    fn default() -> Self {
        Self { by_use: BTreeMap::new(), last_use: BTreeMap::new() }
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
        let all = kept.since(0, usize::MAX).into_iter();
        let prompts: Vec<u64> = all.map(|(_, event)| event.chain.hashes[0].0).collect();
        assert_eq!(kept.prompts.last_use.len(), prompts.len());
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

    #[test]
    fn names_are_kept_beside_placements_in_the_order_of_both() {
        let mut kept = KeptEvents::default();
        let name = |name, port| {
            let endpoint = ([10, 0, 0, 1], port).into();
            PlacementEvent::of_kept(Instant::default(), endpoint, KeptName(name))
        };
        for it in [name(1, 1), event(1, EventKind::Placed), name(2, 1), name(1, 2)] {
            kept.take(&it);
        }
        let told = |first, most| {
            kept.since(first, most).into_iter().map(|(n, it)| (n, it.endpoint.port()))
        };
        assert_eq!(told(0, 9).collect::<Vec<_>>(), [(1, 8000), (2, 1), (3, 2)]);
        assert_eq!(told(2, 1).collect::<Vec<_>>(), [(2, 1)]);
        (0..KEPT_MAX as u64 + 3).for_each(|it| kept.take(&name(it, 3)));
        assert_eq!(kept.names.last_use.len(), KEPT_MAX);
        assert_eq!(kept.prompts.last_use.len(), 1, "names push no placement out");
    }
}
