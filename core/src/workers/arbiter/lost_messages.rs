//! The messages between the arbiter and the workers that were lost, by what each says of them.

use super::Arbiter;
use crate::ledger::{Exchange, Ledger, Row};

impl Arbiter {
    /// Compares the exchange with the members, as these rows show it, with what this arbiter has heard and
    /// said; true if a message was lost, or if granted places are counted wrong. Messages take less than
    /// the time between two looks, so what was said by the last look has been heard by now.
    ///
    /// Part of a proposal: nothing changes.
    pub(in crate::workers) fn misses_messages(&self, ledger: &Ledger, rows: &[Row]) -> bool {
        if self.epoch != Some(ledger.lease.epoch) || !ledger.is_in_step(rows) {
            return false;
        }
        let mut granted = 0;
        let mut is_lost = false;
        for (worker, client) in &self.clients {
            let heard = rows.iter().find(|row| row.worker == *worker).map(|row| self.exchange(row));
            let heard = heard.unwrap_or_default();
            granted += client.said.granted.saturating_sub(heard.granted);
            is_lost |= client.received < client.noted.submitted
                || heard.granted < client.noted.granted
                || heard.rejected < client.noted.rejected;
        }
        let unheard_of = |row: &&Row| !self.clients.contains_key(&row.worker);
        is_lost |= rows.iter().filter(unheard_of).any(|row| {
            let noted = self.unheard.get(&row.worker);
            noted.is_some_and(|submitted| *submitted > 0)
        });
        is_lost || granted != u64::from(ledger.granted)
    }

    /// Notes what was said by now.
    pub(in crate::workers) fn note_exchange(&mut self, rows: &[Row]) {
        self.unheard.clear();
        for row in rows {
            let submitted = self.exchange(row).submitted;
            match self.clients.get_mut(&row.worker) {
                Some(client) => client.noted = Exchange { submitted, ..client.said },
                None => {
                    self.unheard.insert(row.worker, submitted);
                }
            }
        }
    }

    /// Returns what a member says of its exchange in this term.
    fn exchange(&self, row: &Row) -> Exchange {
        let said = row.heartbeat.as_ref().map(|heartbeat| heartbeat.exchange);
        said.filter(|said| Some(said.epoch) == self.epoch).unwrap_or_default()
    }
}
