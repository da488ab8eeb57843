//! The time of a push.

use std::fmt;

/// Bits of [`Stamp::sequence`] that say for how long the scraper has been up, in milliseconds: 34 years.
const UPTIME_BITS: u32 = 40;

/// Time of a push; of one scraper's, the greater one is the newer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp {
    /// Unix milliseconds by the scraper's clock. The first field, so that a scraper that starts
    /// again goes on.
    pub time_ms: u64,
    /// Number that grows with every push of one scraper process. Its upper 24 bits are the name of the
    /// process, drawn at its start; the lower 40 bits are its uptime in milliseconds, by a clock that is
    /// never set. The name is 0 in a scraper of before, which counts its pushes.
    pub sequence: u64,
}

impl Stamp {
    /// Makes the stamp of a push of the scraper process `start`.
    #[must_use]
    pub const fn new(time_ms: u64, start: u32, uptime_ms: u64) -> Self {
        let uptime = uptime_ms & ((1 << UPTIME_BITS) - 1);
        Self { time_ms, sequence: (start as u64) << UPTIME_BITS | uptime }
    }

    /// Returns the name of the scraper process; `None` for a scraper of before.
    #[must_use]
    pub fn start(self) -> Option<u32> {
        u32::try_from(self.sequence >> UPTIME_BITS).ok().filter(|start| *start > 0)
    }

    /// Returns the scraper's uptime in milliseconds.
    #[must_use]
    pub const fn uptime_ms(self) -> u64 {
        self.sequence & ((1 << UPTIME_BITS) - 1)
    }

    /// Returns the stamp as the entity tag of a snapshot that is fetched (RFC 9110, 8.8.3).
    #[must_use]
    pub fn entity_tag(self) -> String {
        format!("\"{}-{}\"", self.time_ms, self.sequence)
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "time {} sequence {}", self.time_ms, self.sequence)
    }
}
