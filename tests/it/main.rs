//! Everything that needs the built .wasm or a real Envoy, in one test binary.

mod envoy;
mod mock;
mod tidy;
