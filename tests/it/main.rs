//! Everything that needs the built .wasm or a real Envoy, in one test binary.

mod cluster;
mod docs;
mod envoy;
mod hermetic;
mod mock;
mod tidy;
