//! The requests at each endpoint that did not come from this gateway, as far as pages show them.

use crate::pool::Slot;

/// Pages that must all have shown requests of others before they are believed: a page has many of
/// our own that ended since it was read, and another gateway's load is there on all eight, 0.4 s at
/// the scraper's rhythm. The first page of an endpoint is believed at once, as nothing of ours has ended there.
const PAGES: usize = 8;

/// The excess of each endpoint's last pages over the requests that this gateway had there.
#[derive(Clone, Debug, Default)]
pub(crate) struct Strangers {
    by_slot: Vec<Option<Pages>>,
}

/// The excess of one endpoint's last pages, in a ring.
#[derive(Clone, Copy, Debug)]
struct Pages {
    excess: [u32; PAGES],
    next: usize,
}

impl Strangers {
    /// Learns that a page showed `excess` requests more than this gateway had there.
    pub(crate) fn seen(&mut self, slot: Slot, excess: u32) {
        if self.by_slot.len() <= slot.index() {
            self.by_slot.resize(slot.index() + 1, None);
        }
        let Some(pages) = self.by_slot.get_mut(slot.index()) else { return };
        let pages = pages.get_or_insert(Pages { excess: [excess; PAGES], next: 0 });
        if let Some(oldest) = pages.excess.get_mut(pages.next) {
            *oldest = excess;
        }
        pages.next = (pages.next + 1) % PAGES;
    }

    /// Returns the requests of others that all of the endpoint's last pages showed.
    pub(crate) fn requests(&self, slot: Slot) -> u32 {
        let pages = self.by_slot.get(slot.index()).copied().flatten();
        pages.and_then(|pages| pages.excess.into_iter().min()).unwrap_or(0)
    }

    pub(super) fn forget(&mut self, slot: Slot) {
        if let Some(pages) = self.by_slot.get_mut(slot.index()) {
            *pages = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_others_if_eight_pages_in_a_row_show_them() {
        let mut strangers = Strangers::default();
        let mut see = |excess: &[u32]| {
            excess.iter().for_each(|excess| strangers.seen(Slot(3), *excess));
            strangers.requests(Slot(3))
        };
        assert_eq!(see(&[9]), 9, "the first page");
        assert_eq!(see(&[5]), 5);
        assert_eq!(see(&[0]), 0, "one page without them, and they were ours");
        assert_eq!(see(&[4; 7]), 0);
        assert_eq!(see(&[4]), 4);
        assert_eq!(strangers.requests(Slot(0)), 0);
        strangers.forget(Slot(3));
        assert_eq!(strangers.requests(Slot(3)), 0);
    }
}
