//! The whole stack on loopback: Envoy with the filter, the scraper and vLLM pods, simulated or given. For `build.sh run`,
//! tests and benches.
//!
//! The stack knows the programs by their command lines only, so it starts what a user would start.

mod builder;

mod running;
// The gateways of a stack.
mod gateways;
// The programs of a stack.
mod envoy;
mod pod;
mod scraper;
// Their configuration.
mod bootstrap;
mod way;
// Their processes.
mod child;
mod clock;
mod http;
mod programs;

pub use bootstrap::{Balancing, Template};
pub use builder::{Builder, faults};
pub use child::Exit;
pub use clock::Clock;
pub use http::{Answer, get};
pub use pod::Pod;
pub use programs::Programs;
pub use running::Stack;
pub use way::with_way;
pub use wire::config::{Destination, Hold, Way};
