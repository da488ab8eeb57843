//! `build.sh bench replay`: real traffic over simulated pods, placed by our engine and by the
//! formulas of its peers.
//!
//! In reading order: what is replayed (`trace`), who serves it (`fleet`), who places it (`router`:
//! the peers' policies over `peer`, ours in `picker`), how both meet (`world`), what comes of it
//! (`figures`, `bound`), and what is compared with what (`study`).

mod trace;

mod fleet;
mod prompts;
mod router;

mod peer;
mod picker;
mod policy;

mod world;

mod bound;
mod figures;

mod plot;
mod study;

#[cfg(test)]
mod laws;

pub use study::{Options, Part, run};
