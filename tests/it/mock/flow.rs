//! Flow control over four workers: who waits, who goes next, and who is told to come again.

pub(super) mod script;
pub(super) mod world;

mod bands;
mod order;
mod tenants;

mod empty;
mod evicting;
mod full;
mod patience;
mod room;

mod admission;
mod deaths;
mod instances;
mod leaving;
mod outcomes;
mod removed;
mod stale;
mod updates;

mod law;
