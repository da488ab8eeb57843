//! The scraper between fake pods and fake Envoys, over loopback.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test may panic"
)]

mod envoys;
mod list;
mod migrate;
mod pages;
mod pods;
mod program;
mod server;
mod world;
