//! Flow control: stories, and laws over random scripts.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may panic")]

mod laws;
mod model;
mod saturation;
mod story;
mod ticket;
mod tokens;
