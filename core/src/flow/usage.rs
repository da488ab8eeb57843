//! Sizes of queues, and their limits.

/// The size of what waits somewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Requests.
    pub requests: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
}

/// The limits on what may wait somewhere. `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Requests.
    pub max_requests: Option<u64>,
    /// Bytes of their bodies.
    pub max_bytes: Option<u64>,
}

impl Usage {
    pub(super) fn of_one(bytes: u64) -> Self {
        Self { requests: 1, bytes }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.bytes = self.bytes.saturating_add(other.bytes);
    }

    pub(super) fn remove(&mut self, other: Self) {
        self.requests = self.requests.saturating_sub(other.requests);
        self.bytes = self.bytes.saturating_sub(other.bytes);
    }
}

impl Limits {
    /// True if `more` may join `used`.
    pub(super) fn admit(self, used: Usage, more: Usage) -> bool {
        let within = |max: Option<u64>, used: u64, more: u64| {
            max.is_none_or(|max| used.saturating_add(more) <= max)
        };
        within(self.max_requests, used.requests, more.requests)
            && within(self.max_bytes, used.bytes, more.bytes)
    }
}
