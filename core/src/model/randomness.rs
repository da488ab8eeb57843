//! The random numbers that a worker starts from, which the host draws.

use super::{Rng, TableKey};

/// Random numbers of one worker. Tests and the replay draw them from one number, so that a run can
/// be repeated; a worker that serves needs a key that no client can guess.
#[derive(Clone, Copy, Debug)]
pub struct Randomness {
    /// Seed of the dice that break ties. Decisions show what these give, so that it is no secret.
    pub seed: u64,
    /// Secret by which hash tables place what clients choose.
    pub table_key: TableKey,
    /// Secret by which the tables of what was learnt do, which know prefixes, models and tenants by numbers.
    pub learned_key: u64,
}

impl Randomness {
    /// Returns numbers that all follow from `seed`, and are as little of a secret.
    #[must_use]
    pub const fn from_seed(seed: u64) -> Self {
        let mut rng = Rng::new(!seed);
        let table_key = TableKey::new([rng.draw(), rng.draw(), rng.draw()]);
        Self { seed, table_key, learned_key: seed }
    }
}
