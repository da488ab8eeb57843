//! The scraping of a pool's pods: two tasks for each pod of the discovered list, of which one asks for its models.

mod life;
mod pod_scraper;
mod schedule;

mod models_task;
mod pod_models;
mod pod_task;

mod fleet;

pub(crate) use fleet::Fleet;
pub(crate) use pod_task::{PodTask, ScrapePermits};
