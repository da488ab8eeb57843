//! The time that a request may wait.

use std::time::Duration;

use crate::model::Instant;

/// A limit on waiting. In the EPP's configuration `0s` spells [`Ttl::Unlimited`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ttl {
    /// The client's patience is the only limit.
    Unlimited,
    /// At most this long.
    Within(Duration),
}

impl From<Duration> for Ttl {
    fn from(limit: Duration) -> Self {
        if limit.is_zero() { Self::Unlimited } else { Self::Within(limit) }
    }
}

impl Ttl {
    /// Returns the limit of a request that asks for `header`, which may shorten a limit or set one
    /// where there is none, but never lengthen or lift one (EPP v0.11: `x-llm-d-inference-ttl`).
    #[must_use]
    pub fn shortened_by(self, header: Option<Duration>) -> Self {
        match (self, header.map_or(Self::Unlimited, Self::from)) {
            (Self::Within(limit), Self::Within(asked)) => Self::Within(limit.min(asked)),
            (Self::Unlimited, asked) => asked,
            (limit, Self::Unlimited) => limit,
        }
    }

    /// Returns the time at which waiting that counts from `start` must end.
    pub(super) fn deadline(self, start: Instant) -> Option<Instant> {
        match self {
            Self::Unlimited => None,
            Self::Within(limit) => Some(start + limit),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_shortens_or_sets_but_never_lengthens() {
        let seconds = Duration::from_secs;
        let minute = Ttl::Within(seconds(60));
        assert_eq!(minute.shortened_by(Some(seconds(5))), Ttl::Within(seconds(5)));
        assert_eq!(minute.shortened_by(Some(seconds(90))), minute);
        assert_eq!(minute.shortened_by(Some(Duration::ZERO)), minute);
        assert_eq!(minute.shortened_by(None), minute);
        assert_eq!(Ttl::Unlimited.shortened_by(Some(seconds(5))), Ttl::Within(seconds(5)));
        assert_eq!(Ttl::Unlimited.shortened_by(Some(Duration::ZERO)), Ttl::Unlimited);
    }
}
