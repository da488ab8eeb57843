//! A simulated vLLM: OpenAI API, continuous batching, prefix cache and metrics without a model.
//!
//! [`EngineCore`](engine_core::EngineCore) is pure and takes the time as an argument; the
//! [`Server`] around it is thin. In a test:
//!
//! ```
//! let server = sim::Server::start(sim::Options::default()).unwrap();
//! assert_ne!(server.addr.port(), 0);
//! ```

pub mod engine_core;
mod options;
mod server;

pub use options::{LoraModule, Options, Policy, Profile};
pub use server::{
    Server,
    fault::{Fault, Kind},
};
