//! `build.sh bench replay`: real traffic over simulated pods, placed by our engine and by the
//! formulas of its peers.
//!
//! In reading order: the requests (`trace`), the pods that serve them (`fleet`), the routers that
//! place them (`router`: the peers' policies over `peer`, ours in `picker`), the replay in which
//! these meet (`world`), its figures (`figures`, `bound`), and the comparison (`study`).

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

// Gates beside each other, over the same engines.
pub mod adaptive;

#[cfg(test)]
mod laws;

pub use study::{Options, Part, run};
