//! Pods in, snapshots out: reads the metrics of every pod of a pool many times a second and tells
//! every Envoy.
//!
//! ```text
//! a pool: discover -> fleet -> one pod task each -> board
//! all boards -> publisher -> one envoy task each
//! ```
//! Each arrow is a channel that holds only the newest value, so that whoever is slow misses what
//! is out of date and nobody waits for anybody. What is judged from the outcomes is in pure files:
//! `link` (is a peer down?), `schedule`, `board`, [`targets`] and `stamp`.

mod addresses;
mod board;
mod client;
mod codec;
pub mod config;
mod connections;
mod discover;
mod envoy;
mod explain;
mod fault;
mod fleet;
mod gateways;
mod history;
mod kubernetes;
mod link;
mod meters;
mod migrate;
mod notice;
pub mod objectives;
mod once;
mod page;
mod plugin;
mod pod;
mod publisher;
mod pulls;
mod sampler;
mod schedule;
mod scraper;
mod serve;
pub mod settings;
mod stamp;
mod status;
pub mod targets;
mod task;
pub mod tls;
mod waiting;

pub use explain::explain;
pub use migrate::migrate;
pub use once::{once, to_json};
pub use plugin::Plugin;
pub use scraper::{Scraper, StartError};
pub use settings::{EnvoyUrl, SECRET_BYTES_MIN, Secret, Settings};
