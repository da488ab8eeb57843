//! Commits to the ledger by many workers at once: the loop of `core/src/worker/turn.rs` over a cell like Envoy's shared data,
//! without an Envoy.

use std::{
    sync::{
        Barrier, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;
use picker_core::ledger::{Account, EndpointKey, Ledger, Work};
use serde_json::{Value, json};

use crate::{
    report::{Report, Table},
    summary::Rounds,
};

/// Numbers of workers that commit without pause. Beyond the machine's cores they take turns.
const CONTENDERS: [usize; 5] = [1, 2, 4, 8, 16];

/// Numbers of accounts in the ledger: endpoints with a request in flight.
const ACCOUNTS: [u64; 3] = [10, 100, 1_000];

/// Work of each request and its time: neither changes the cost of a commit.
const WORK: Work = Work { tokens: 100, takes: Duration::from_millis(5), holds: 400 };
const NOW: picker_core::Instant = picker_core::Instant::from_nanos(1_000_000_000);

/// Time of a round.
const DURATION: Duration = Duration::from_millis(300);

/// Number of tries of a commit, as in the filter.
const TRIES_MAX: u32 = 256;

/// A value with its version behind a lock, which is held while the value is copied: so is Envoy's.
struct Cell(Mutex<(Vec<u8>, u32)>);

impl Cell {
    fn read(&self) -> (Vec<u8>, u32) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Writes a value. False if the cell was written since this version.
    fn write_if(&self, version: u32, value: &[u8]) -> bool {
        let mut there = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let unchanged = there.1 == version;
        if unchanged {
            *there = (value.to_vec(), version.wrapping_add(1));
        }
        unchanged
    }
}

/// Figures of a round, or of a worker in it.
#[derive(Clone, Copy, Debug, Default)]
struct Found {
    commits: u64,
    tries: u64,
    /// Most tries of one commit.
    tries_most: u32,
    given_up: u64,
}

impl Found {
    fn and(self, other: Self) -> Self {
        Self {
            commits: self.commits + other.commits,
            tries: self.tries + other.tries,
            tries_most: self.tries_most.max(other.tries_most),
            given_up: self.given_up + other.given_up,
        }
    }

    fn count(&mut self, tries: Option<u32>) {
        self.tries += u64::from(tries.unwrap_or(TRIES_MAX));
        self.tries_most = self.tries_most.max(tries.unwrap_or(TRIES_MAX));
        match tries {
            Some(_) => self.commits += 1,
            None => self.given_up += 1,
        }
    }
}

/// Adds the table, and returns the raw figures.
pub(super) fn measure(report: &mut Report, rounds: usize) -> Result<Value> {
    let cells: Vec<(u64, usize)> = ACCOUNTS
        .iter()
        .flat_map(|&accounts| CONTENDERS.map(|workers| (accounts, workers)))
        .collect();
    let mut found: Vec<Vec<Found>> = cells.iter().map(|_| Vec::new()).collect();
    for _ in 0..rounds {
        for (&(accounts, workers), found) in cells.iter().zip(&mut found) {
            found.push(contend(accounts, workers));
        }
    }
    report.say(format!(
        "A commit reads and decodes the ledger, opens or closes a request and writes it back, again if another was faster. \
         Each worker makes one after the other for {} ms and nothing else, which no worker of Envoy does: it is the most \
         contention that can be. Given up is a commit that failed {TRIES_MAX} times.",
        DURATION.as_millis()
    ));
    let mut table = Table::new(&[
        "accounts",
        "workers",
        "thousand commits/s, all together",
        "tries a commit",
        "most tries",
        "given up",
    ]);
    let mut raw = Vec::new();
    for ((accounts, workers), found) in cells.into_iter().zip(&found) {
        let all = |figure: fn(&Found) -> f64| Rounds::new(found.iter().map(figure));
        table.row(&[
            accounts.to_string(),
            workers.to_string(),
            format!("{:.0}", all(|it| it.commits as f64 / DURATION.as_secs_f64() / 1e3)),
            format!("{:.3}", all(|it| it.tries as f64 / it.commits.max(1) as f64)),
            found.iter().map(|it| it.tries_most).max().unwrap_or_default().to_string(),
            found.iter().map(|it| it.given_up).sum::<u64>().to_string(),
        ]);
        let rounds = found.iter().map(|it| {
            json!({"commits": it.commits, "tries": it.tries, "tries_most": it.tries_most, "given_up": it.given_up})
        });
        raw.push(
            json!({"accounts": accounts, "workers": workers, "rounds": rounds.collect::<Vec<_>>()}),
        );
    }
    report.show(table);
    Ok(Value::from(raw))
}

/// Runs one round of one row.
fn contend(accounts: u64, workers: usize) -> Found {
    let account = |number| Account {
        endpoint: key(number),
        requests: 3,
        tokens: 900,
        free_at: NOW,
        ..Account::default()
    };
    let ledger = Ledger { accounts: (0..accounts).map(account).collect(), ..Ledger::default() };
    let cell = Cell(Mutex::new((wire::ledger::encode(&ledger), 0)));
    let ready = Barrier::new(workers + 1);
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let worker = |number: usize| {
            let cell = &cell;
            let ready = &ready;
            let over = &over;
            scope.spawn(move || {
                ready.wait();
                work(cell, number as u64, accounts, over)
            })
        };
        let workers: Vec<_> = (0..workers).map(worker).collect();
        ready.wait();
        let end = Instant::now() + DURATION;
        thread::sleep(end.saturating_duration_since(Instant::now()));
        over.store(true, Ordering::Relaxed);
        let found = workers.into_iter().filter_map(|worker| worker.join().ok());
        found.fold(Found::default(), Found::and)
    })
}

/// Runs one worker: opens a request here, closes it, goes on to the next endpoint.
fn work(cell: &Cell, worker: u64, accounts: u64, over: &AtomicBool) -> Found {
    let mut found = Found::default();
    // Spread, so that workers are not at the same endpoint.
    let mut number = worker * 7;
    while !over.load(Ordering::Relaxed) {
        let endpoint = key(number % accounts);
        found.count(commit(cell, |ledger| ledger.accounts.open(NOW, endpoint, WORK)));
        found.count(commit(cell, |ledger| ledger.accounts.close(NOW, endpoint, WORK)));
        number += 1;
    }
    found
}

/// Commits a change and returns the number of tries; none if it was given up.
fn commit(cell: &Cell, change: impl Fn(&mut Ledger)) -> Option<u32> {
    (1..=TRIES_MAX).find(|_| {
        let (bytes, version) = cell.read();
        let mut ledger = wire::ledger::decode(&bytes);
        change(&mut ledger);
        cell.write_if(version, &wire::ledger::encode(&ledger))
    })
}

fn key(number: u64) -> EndpointKey {
    EndpointKey(number << 40 | number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_commit_of_several_workers_is_lost() {
        let cell = Cell(Mutex::new((wire::ledger::encode(&Ledger::default()), 0)));
        let open = |ledger: &mut Ledger| ledger.accounts.open(NOW, key(1), WORK);
        let open = || (0..100).filter(|_| commit(&cell, open).is_some());
        let opened: usize = thread::scope(|scope| {
            let workers: Vec<_> = (0..4).map(|_| scope.spawn(|| open().count())).collect();
            workers.into_iter().map(|worker| worker.join().unwrap()).sum()
        });
        let ledger = wire::ledger::decode(&cell.read().0);
        assert_eq!(ledger.accounts.requests(), opened as u64);
        assert!(opened > 0);
    }

    #[test]
    fn a_write_over_a_newer_value_is_refused() {
        let cell = Cell(Mutex::new((Vec::new(), 7)));
        assert!(cell.write_if(7, b"first"));
        assert!(!cell.write_if(7, b"second"));
        assert_eq!(cell.read(), (b"first".to_vec(), 8));
    }
}
