//! A small Envoy on wasmtime, for tests of proxy-wasm filters (ABI 0.2.1).
//!
//! Several worker VMs, shared data, shared queues, a fake clock; everything belongs to one
//! [`Envoy`], nothing is static. It knows no filter: any proxy-wasm module runs in it. What a
//! pause, a resume, a local reply, a disconnect or a trap leads to is what Envoy 1.40 does, also
//! where that is unkind; `tests/agreement.rs` holds the cases that both must agree on.
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
//! What it leaves out: gRPC calls and `proxy_get_status` (a plugin that calls them dies with a
//! message), retries, HTTP/2 framing, back-pressure, and the merging of duplicate inline headers.

mod envoy;
mod stream;
mod worker;

mod headers;
mod module;
mod plugin;

mod abi;
mod exchange;
mod machine;
mod vm;
mod world;

pub use envoy::{Builder, Envoy};
pub use exchange::{Response, Upstream};
pub use headers::HeaderMap;
pub use module::Module;
pub use plugin::{FailPolicy, Plugin};
pub use stream::Stream;
pub use worker::Worker;
pub use world::{Crossings, Level, LogLine, calls::HttpCall, metrics::Metric, queues::Delivery};
