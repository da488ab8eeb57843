//! The scraper's own pages: the status page and its data, metrics, readiness, the plugin, and the
//! snapshots that gateways fetch.

mod freshness;
mod sample;

mod bands;
mod decision_log;
mod history;

mod sampler;
mod status;

mod html;
mod plugin;

mod connections;
mod page_cache;
mod server;

pub(crate) use history::History;
pub(crate) use sampler::Sampler;
pub(crate) use server::serve;
pub(crate) use status::Status;
