//! The accounts of what is in flight on each endpoint.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use super::Sends;
use crate::model::{Instant, mix};

/// The name of an endpoint in eight bytes: the ledger is copied for every decision. Two of 4,096
/// endpoints share a key with a chance of one in 10^12, and would then count as one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointKey(pub u64);

impl From<SocketAddr> for EndpointKey {
    fn from(address: SocketAddr) -> Self {
        let [ip_high, ip_low] = match address.ip() {
            IpAddr::V4(v4) => [1, u64::from(v4.to_bits())],
            IpAddr::V6(v6) => {
                let bits = v6.to_bits();
                let half = |bits: u128| u64::try_from(bits & u128::from(u64::MAX)).unwrap_or(0);
                [half(bits >> 64), half(bits)]
            }
        };
        Self([ip_high, ip_low, u64::from(address.port())].into_iter().fold(0, mix))
    }
}

/// The account of what is in flight on one endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// The endpoint's key.
    pub endpoint: EndpointKey,
    /// Requests sent and not ended; of those that it only computes the prompt for, until they are
    /// answered.
    pub requests: u32,
    /// Prompt tokens of those requests that were not expected in the endpoint's cache, until it
    /// answers.
    pub tokens: u32,
    /// Tokens of KV cache that those requests are expected to take by their ends, beside what they find
    /// cached: the rest of their prompts and their answers.
    pub holds: u32,
    /// Requests of which those tokens are.
    pub uncomputed: u32,
    /// Time at which the endpoint is expected to have computed the tokens; zero where there
    /// are none. The tokens are counted and this is a guess: with each change it comes down to what
    /// they explain.
    pub free_at: Instant,
    /// Requests that were sent there within the last moments, whether they have ended or not.
    pub sends: Sends,
}

/// A prompt that an endpoint is to compute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Tokens of the prompt that are not expected in the endpoint's cache.
    pub tokens: u32,
    /// Time that the tokens are expected to take there.
    pub takes: Duration,
    /// Tokens of KV cache that the request is expected to take there by its end, beside what it finds cached;
    /// 0 where another endpoint answers.
    pub holds: u32,
}

impl Work {
    /// Returns the number of prompts that are to be computed: one, or none.
    fn prompts(self) -> u32 {
        u32::from(self.tokens > 0)
    }

    /// Returns the time that so many tokens take at the pace of this work.
    fn scaled_to(self, tokens: u32) -> Duration {
        let share = f64::from(tokens) / f64::from(self.tokens.max(1));
        Duration::try_from_secs_f64(self.takes.as_secs_f64() * share).unwrap_or(Duration::MAX)
    }
}

impl Account {
    /// Returns the seconds from `now` until the endpoint is expected to have computed the prompts that
    /// it was sent.
    pub(crate) fn busy_for(&self, now: Instant) -> f64 {
        self.free_at.saturating_since(now).as_secs_f64()
    }

    /// Brings the guess down to `latest`: tokens that are left take no longer than that, and none
    /// take no time.
    fn free_by(&mut self, latest: Instant) {
        self.free_at = if self.tokens == 0 { Instant::default() } else { self.free_at.min(latest) };
    }
}

/// The accounts of a pool, in the order of their keys. An endpoint without an account has nothing
/// in flight; an account that comes down to nothing is dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accounts(Vec<Account>);

impl Accounts {
    /// Returns the accounts in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = &Account> {
        self.0.iter()
    }

    /// Returns the account of an endpoint.
    #[must_use]
    pub fn for_endpoint(&self, endpoint: EndpointKey) -> Account {
        let found = self.find(endpoint).ok().and_then(|index| self.0.get(index));
        found.copied().unwrap_or_else(|| Account { endpoint, ..Account::default() })
    }

    /// Returns the number of requests in flight on all endpoints.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.0.iter().map(|account| u64::from(account.requests)).sum()
    }

    /// Counts a request that is sent there, with the part of the prompt that the endpoint computes.
    pub fn open(&mut self, now: Instant, endpoint: EndpointKey, work: Work) {
        self.limit_backlog(now, endpoint, work);
        let Work { tokens, takes, holds } = work;
        let begins = self.for_endpoint(endpoint).free_at.max(now);
        let free_at = if tokens == 0 { Instant::default() } else { begins + takes };
        let uncomputed = work.prompts();
        let sends = Sends::default();
        self.add(Account { endpoint, requests: 1, tokens, holds, uncomputed, free_at, sends });
        if let Ok(index) = self.find(endpoint) {
            self.change(index, |account| account.sends.add(now));
        }
    }

    /// Counts the prompt of a request as computed: its tokens are no load any more.
    pub(crate) fn answered(&mut self, now: Instant, endpoint: EndpointKey, work: Work) {
        self.subtract(endpoint, 0, Work { holds: 0, ..work });
        self.limit_backlog(now, endpoint, work);
    }

    /// Counts a request that is over there. `work` is the part that was not taken off before.
    pub fn close(&mut self, now: Instant, endpoint: EndpointKey, work: Work) {
        self.subtract(endpoint, 1, work);
        self.limit_backlog(now, endpoint, work);
    }

    /// Adds all that a worker has counted.
    pub(crate) fn add_all(&mut self, other: &Self) {
        other.iter().for_each(|account| self.add(*account));
    }

    /// True if these count the same requests and tokens.
    pub(crate) fn counts_like(&self, other: &Self) -> bool {
        let counts = |it: &Account| (it.endpoint, it.requests, it.tokens, it.holds, it.uncomputed);
        self.iter().map(counts).eq(other.iter().map(counts))
    }

    /// Counts the requests and tokens of `other` from now on. A guess of when an endpoint is free is kept
    /// as far as the tokens explain it.
    pub(crate) fn become_like(&mut self, now: Instant, other: &Self) {
        let before = std::mem::replace(self, other.clone());
        for account in &mut self.0 {
            let known = before.for_endpoint(account.endpoint);
            if known.requests > 0 {
                // The rows have the sends of their own workers; the account counted those of all.
                account.sends = known.sends;
            }
            if known.tokens < account.tokens {
                // Tokens that were missing: the workers that count them say how long they take.
                account.free_at = account.free_at.max(known.free_at);
                continue;
            }
            let takes = known.free_at.saturating_since(now);
            let pace = Work { tokens: known.tokens, takes, holds: 0 };
            account.free_at = known.free_at;
            account.free_by(now + pace.scaled_to(account.tokens));
        }
    }

    fn add(&mut self, more: Account) {
        match self.find(more.endpoint) {
            Ok(index) => self.change(index, |account| {
                account.requests = account.requests.saturating_add(more.requests);
                account.tokens = account.tokens.saturating_add(more.tokens);
                account.holds = account.holds.saturating_add(more.holds);
                account.uncomputed = account.uncomputed.saturating_add(more.uncomputed);
                account.free_at = account.free_at.max(more.free_at);
            }),
            Err(index) => self.0.insert(index, more),
        }
    }

    /// Takes off down to zero and no further: counts that were taken back already are not owed again.
    fn subtract(&mut self, endpoint: EndpointKey, requests: u32, less: Work) {
        let Ok(index) = self.find(endpoint) else { return };
        self.change(index, |account| {
            account.requests = account.requests.saturating_sub(requests);
            account.tokens = account.tokens.saturating_sub(less.tokens);
            account.holds = account.holds.saturating_sub(less.holds);
            account.uncomputed = account.uncomputed.saturating_sub(less.prompts());
            account.free_by(account.free_at);
        });
        if self.0.get(index).is_some_and(|account| account.requests == 0) {
            self.0.remove(index);
        }
    }

    /// Brings the backlog down to the tokens that are left there: it takes no longer than they do at
    /// the pace of the work that was done.
    fn limit_backlog(&mut self, now: Instant, endpoint: EndpointKey, done: Work) {
        if done.tokens == 0 {
            return;
        }
        let Ok(index) = self.find(endpoint) else { return };
        self.change(index, |left| left.free_by(now + done.scaled_to(left.tokens)));
    }

    fn change(&mut self, index: usize, change: impl FnOnce(&mut Account)) {
        if let Some(account) = self.0.get_mut(index) {
            change(account);
        }
    }

    fn find(&self, endpoint: EndpointKey) -> Result<usize, usize> {
        self.0.binary_search_by_key(&endpoint, |account| account.endpoint)
    }
}

impl FromIterator<Account> for Accounts {
    /// Takes accounts in any order; those of the same endpoint are added up. Accounts in the order
    /// of their keys, as from another ledger, are taken as they are.
    fn from_iter<T: IntoIterator<Item = Account>>(accounts: T) -> Self {
        let accounts: Vec<Account> = accounts.into_iter().collect();
        if accounts.is_sorted_by(|before, after| before.endpoint < after.endpoint) {
            return Self(accounts);
        }
        let mut sum = Self::default();
        for account in accounts {
            sum.add(account);
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: EndpointKey = EndpointKey(1);

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(1_000_000_000_000 + ms * 1_000_000)
    }

    /// Returns work of which a token takes a millisecond.
    fn work(tokens: u32) -> Work {
        Work { tokens, takes: Duration::from_millis(tokens.into()), holds: 0 }
    }

    #[track_caller]
    fn is_free(accounts: &Accounts, when: Instant) {
        assert_eq!(accounts.for_endpoint(ONE).free_at, when, "{accounts:?}");
    }

    #[test]
    fn a_backlog_drains_and_what_comes_lines_up_behind_it() {
        let mut accounts = Accounts::default();
        accounts.open(at(0), ONE, work(100));
        is_free(&accounts, at(100));
        accounts.open(at(60), ONE, work(50));
        is_free(&accounts, at(150));
        assert!((accounts.for_endpoint(ONE).busy_for(at(140)) - 0.01).abs() < 1e-9);
        assert!(
            accounts.for_endpoint(ONE).busy_for(at(400)).abs() < 1e-9,
            "late, but not for longer than that"
        );
        accounts.open(at(400), ONE, work(10));
        is_free(&accounts, at(410));
        accounts.open(at(400), ONE, Work::default());
        is_free(&accounts, at(410));
    }

    #[test]
    fn an_answer_or_an_end_leaves_what_the_tokens_explain() {
        let mut accounts = Accounts::default();
        for tokens in [400, 100, 50] {
            accounts.open(at(0), ONE, work(tokens));
        }
        accounts.answered(at(200), ONE, work(400));
        is_free(&accounts, at(350));
        accounts.close(at(210), ONE, work(100));
        is_free(&accounts, at(260));
        accounts.close(at(220), ONE, Work::default());
        is_free(&accounts, at(260));
        accounts.answered(at(300), ONE, work(50));
        is_free(&accounts, Instant::default());
    }

    #[test]
    fn a_recount_leaves_what_the_tokens_explain() {
        let (mut all, mut left) = (Accounts::default(), Accounts::default());
        left.open(at(0), ONE, work(100));
        all.open(at(0), ONE, work(100));
        all.open(at(0), ONE, work(300));
        assert!(!all.counts_like(&left));
        all.become_like(at(200), &left);
        // Half of 400 tokens was left, of which a quarter is counted still.
        is_free(&all, at(250));
        all.become_like(at(200), &left);
        assert!(all.counts_like(&left));
        is_free(&all, at(250));
        all.become_like(at(200), &Accounts::default());
        assert_eq!(all, Accounts::default());
    }

    #[test]
    fn tokens_that_were_missing_take_as_long_as_their_workers_say() {
        let (mut all, mut more) = (Accounts::default(), Accounts::default());
        more.open(at(0), ONE, work(300));
        all.open(at(0), ONE, work(100));
        all.become_like(at(50), &more);
        is_free(&all, at(300));
    }

    #[test]
    fn what_a_request_will_take_counts_until_its_end() {
        let mut accounts = Accounts::default();
        let long = Work { holds: 5_000, ..work(100) };
        accounts.open(at(0), ONE, long);
        accounts.open(at(0), ONE, Work { holds: 300, ..work(200) });
        let found = |accounts: &Accounts| {
            let Account { tokens, holds, .. } = accounts.for_endpoint(ONE);
            (tokens, holds)
        };
        assert_eq!(found(&accounts), (300, 5_300));
        accounts.answered(at(9), ONE, long);
        assert_eq!(found(&accounts), (200, 5_300));
        accounts.close(at(9), ONE, Work { holds: 5_000, ..Work::default() });
        assert_eq!(found(&accounts), (200, 300));
        accounts.close(at(9), ONE, Work { holds: 9_000, ..work(200) });
        assert_eq!(accounts, Accounts::default());
    }

    #[test]
    fn a_pace_beyond_all_bounds_is_survived() {
        let mut accounts = Accounts::default();
        let endless = Work { tokens: 1, takes: Duration::MAX, holds: 0 };
        for work in [endless, work(u32::MAX), endless] {
            accounts.open(at(0), ONE, work);
        }
        accounts.answered(at(1), ONE, endless);
        accounts.close(at(2), ONE, work(u32::MAX));
        is_free(&accounts, Instant::default());
    }
}
