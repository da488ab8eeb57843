//! The scraper between fake pods and fake Envoys, over loopback.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test may panic"
)]

mod api_server;
mod check;
mod envoys;
mod kubernetes;
mod list;
mod lives;
mod migrate;
mod older;
mod pages;
mod pods;
mod program;
mod schema;
mod server;
mod shipped;
mod tls;
mod world;
