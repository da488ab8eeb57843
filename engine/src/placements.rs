//! Requests that were sent and not answered yet.

use std::{collections::BTreeMap, net::SocketAddr};

use crate::{Chain, RequestId};

/// The most requests of one worker that are remembered: with 1.4 kB for the longest chain, below
/// 25 MB. One placed beyond is served as any other; only, if it fails, its prefix stays learnt.
const MAX_PLACEMENTS: usize = 16_384;

/// Where each unanswered request went.
#[derive(Debug, Default)]
pub(crate) struct Placements {
    by_request: BTreeMap<RequestId, Placement>,
}

/// A prompt on its way.
#[derive(Debug)]
pub(crate) struct Placement {
    pub(crate) endpoint: SocketAddr,
    pub(crate) chain: Chain,
}

impl Placements {
    /// Remembers a placement, if there is room.
    pub(crate) fn insert(&mut self, request: RequestId, placement: Placement) {
        if self.by_request.len() < MAX_PLACEMENTS {
            self.by_request.insert(request, placement);
        }
    }

    /// Whether a placement is remembered.
    pub(crate) fn contains(&self, request: RequestId) -> bool {
        self.by_request.contains_key(&request)
    }

    /// Forgets a placement, if it was remembered.
    pub(crate) fn remove(&mut self, request: RequestId) -> Option<Placement> {
        self.by_request.remove(&request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_bounded() {
        let mut placements = Placements::default();
        for request in 0..20_000 {
            let endpoint = SocketAddr::from(([10, 0, 0, 1], 8000));
            placements.insert(RequestId(request), Placement { endpoint, chain: Chain::default() });
        }
        assert_eq!(placements.by_request.len(), MAX_PLACEMENTS);
        assert!(placements.remove(RequestId(0)).is_some());
        assert!(placements.remove(RequestId(19_999)).is_none());
    }
}
