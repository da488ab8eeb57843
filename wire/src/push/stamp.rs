//! The time of a push.

use std::fmt;

/// Time of a push; the greater one is the newer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp {
    /// Unix milliseconds by the scraper's clock. The first field, so that a scraper that starts
    /// again at sequence 0 goes on.
    pub time_ms: u64,
    /// Number that grows with every push of one scraper process.
    pub sequence: u64,
}

impl Stamp {
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
