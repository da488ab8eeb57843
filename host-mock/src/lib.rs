//! A small Envoy on wasmtime, for tests of proxy-wasm filters (ABI 0.2.1).
//!
//! Several worker VMs, shared data, shared queues, a fake clock; everything belongs to one
//! [`Envoy`], nothing is static. The mock knows no filter: any proxy-wasm module runs in it. A
//! pause, a resume, a local reply, a disconnect and a trap have the consequences that they have in
//! Envoy 1.40, also where these are unkind; `tests/agreement.rs` holds the cases that both must
//! agree on.
//!
//! ```
//! use host_mock::{Envoy, Module, Plugin};
//!
//! # fn main() -> anyhow::Result<()> {
//! let module = Module::new(br#"(module
//!     (memory (export "memory") 1)
//!     (func (export "proxy_abi_version_0_2_1")))"#)?;
//! let envoy = Envoy::builder(&module).workers(2).plugin(Plugin::new("picker", "{}")).start()?;
//! let stream = envoy.worker(0).post("/v1/chat/completions", &[("x-a", "1")], b"{}");
//! assert_eq!(stream.sent().unwrap().body, b"{}");
//! stream.respond(200, &[("x-b", "2")], b"hello");
//! assert_eq!(stream.response().unwrap().text(), "hello");
//! # Ok(())
//! # }
//! ```
//!
//! Left out are gRPC calls and `proxy_get_status` (a plugin that calls them dies with a
//! message), retries, HTTP/2 framing, back-pressure, and the merging of duplicate inline headers.

// The handles that a test holds.
mod envoy;
mod stream;
mod worker;
// An Envoy is started of these.
mod headers;
mod module;
mod plugin;
// The loop, and the VMs that it calls.
mod machine;
mod vm;
// The calls that come back from a VM.
mod abi;
// The state that these work on.
mod exchange;
mod vm_state;
mod world;
// The results of host calls.
mod status;

pub use envoy::{Builder, Envoy};
pub use exchange::{Response, Upstream};
pub use headers::HeaderMap;
pub use machine::LatePart;
pub use module::Module;
pub use plugin::{FailPolicy, Plugin};
pub use stream::Stream;
pub use worker::Worker;
pub use world::{Crossings, Level, LogLine, calls::HttpCall, metrics::Metric, queues::Delivery};
