//! Pods in, snapshots out: reads the metrics of every pod of a pool many times a second and sends
//! them to every Envoy.
//!
//! ```text
//! each pool: discover -> scrape (one task a pod) -> PodReadings
//! all pools: PodReadings -> push (one publisher, one task a gateway)
//! ```
//! Each arrow is a channel that holds only the newest value. A slow reader skips values that are
//! out of date, and no task waits for another.
//!
//! In reading order: the checked `settings` and the `config` file that they come from; how one
//! `peer` is talked to, and the watches of `kubernetes`; the scraper's own `meters`; then a `pool`
//! as it is known, from `discover` through `scrape` to `push`, the `tallies` of what gateways reply,
//! and the `page` that shows all of it; the
//! `scraper` that ties these tasks together; last the commands `once`, `check`, `explain`, `migrate` and `ready`.
//!
//! Judgements are in pure files that take outcomes and the time: `peer/link.rs` (is a peer down?),
//! `scrape/schedule.rs`, `push/stamp.rs`, `pool/snapshot.rs` and `page/status/problems.rs`.

pub mod settings;

pub mod config;

mod clock;
mod peer;
mod task;

mod kubernetes;
mod meters;

mod pool;

mod discover;
mod scrape;

mod exchange;
mod tallies;

mod push;

mod page;
mod scraper;

mod check;
mod explain;
mod migrate;
mod once;
mod ready;

pub use check::{CheckReport, CheckedFile, check};
pub use explain::{
    DebugHeader, DebugWish, ExplainedRequest, GatewayQuestion, ask_gateway, debug_header, explain,
    read_plugin,
};
pub use migrate::{Migrated, migrate, migrate_plugin};
pub use once::{once, to_json};
pub use ready::ready;
pub use scraper::{Scraper, StartError};
pub use settings::{EnvoyUrl, Plugin, SECRET_BYTES_MIN, Secret, Settings};
pub use task::abort_on_panic;
