//! The simulator against recorded and live vLLM servers, its laws, and stories over HTTP.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that can't go on should say where"
)]

mod api;
mod calibration;
mod client;
mod faults;
mod figures;
mod laws;
mod other_apis;
mod page;
mod real;
mod streams;
