//! The state of a pool at one moment.

use crate::{Endpoint, Objective};

/// The scraper's view of one pool.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// The pool's name, as the plugin's configuration and the scraper's agree on.
    pub pool: String,
    /// Its endpoints, in the scraper's order. Empty when the pool is scaled to zero.
    pub endpoints: Vec<Endpoint>,
    /// Its objectives, by ascending name, each once.
    pub objectives: Vec<Objective>,
}
