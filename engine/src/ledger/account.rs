//! What is in flight on each endpoint.

use std::net::{IpAddr, SocketAddr};

use crate::prompt::mix;

/// Names an endpoint in eight bytes: the ledger is copied for every decision. Two of 4,096 endpoints
/// share a key with a chance of one in 10^12, and would then count as one.
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

/// What is in flight on one endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// Which endpoint.
    pub endpoint: EndpointKey,
    /// Requests sent and not ended; of those that it only computes the prompt for, until they are
    /// answered.
    pub requests: u32,
    /// Their prompt tokens that were not expected in the endpoint's cache, until it answers.
    pub tokens: u32,
}

/// The accounts of a pool, in the order of their keys. An endpoint without an account has nothing in
/// flight; an account that comes down to nothing is dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accounts(Vec<Account>);

impl Accounts {
    /// The accounts in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = &Account> {
        self.0.iter()
    }

    /// What is in flight on an endpoint.
    #[must_use]
    pub fn of(&self, endpoint: EndpointKey) -> Account {
        let found = self.find(endpoint).ok().and_then(|index| self.0.get(index));
        found.copied().unwrap_or(Account { endpoint, requests: 0, tokens: 0 })
    }

    /// Requests in flight on all endpoints.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.0.iter().map(|account| u64::from(account.requests)).sum()
    }

    /// Counts a request that is sent there.
    pub fn open(&mut self, endpoint: EndpointKey, tokens: u32) {
        self.add(Account { endpoint, requests: 1, tokens });
    }

    /// Counts one whose prompt the endpoint has read: the tokens are no load any more.
    pub(crate) fn answered(&mut self, endpoint: EndpointKey, tokens: u32) {
        self.subtract(Account { endpoint, requests: 0, tokens });
    }

    /// Counts one that is over there. `tokens` are those that were not taken off before.
    pub fn close(&mut self, endpoint: EndpointKey, tokens: u32) {
        self.subtract(Account { endpoint, requests: 1, tokens });
    }

    pub(crate) fn take_back(&mut self, other: &Self) {
        for account in &other.0 {
            self.subtract(*account);
        }
    }

    fn add(&mut self, more: Account) {
        match self.find(more.endpoint) {
            Ok(index) => self.change(index, |account| {
                account.requests = account.requests.saturating_add(more.requests);
                account.tokens = account.tokens.saturating_add(more.tokens);
            }),
            Err(index) => self.0.insert(index, more),
        }
    }

    /// Down to zero and no further: what was taken back once is not owed again.
    fn subtract(&mut self, less: Account) {
        let Ok(index) = self.find(less.endpoint) else { return };
        self.change(index, |account| {
            account.requests = account.requests.saturating_sub(less.requests);
            account.tokens = account.tokens.saturating_sub(less.tokens);
        });
        if self.0.get(index).is_some_and(|account| account.requests == 0) {
            self.0.remove(index);
        }
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
    /// In any order; accounts of the same endpoint are added up. Those that come in the order of
    /// their keys, as from another ledger, are taken as they are.
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
