//! The whole stack on loopback: Envoy with the filter, the scraper and vLLM pods, simulated or given. For `build.sh run`,
//! tests and benches.
//!
//! The programs are known by their command lines only, so what is started is what a user would start.

mod bootstrap;
mod builder;
mod child;
mod envoy;
mod http;
mod pod;
mod programs;
mod scraper;
mod way;

pub use bootstrap::{Balancing, Template};
pub use builder::{Builder, Stack};
pub use child::Exit;
pub use http::{Answer, get};
pub use pod::Pod;
pub use programs::Programs;
pub use wire::config::{Destination, Hold, Way};
