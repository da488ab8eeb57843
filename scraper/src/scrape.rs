//! The scraping of a pool's pods: one task for each pod of the discovered list.

mod life;
mod pod_scraper;
mod schedule;

mod pod_task;

mod fleet;

pub(crate) use fleet::Fleet;
pub(crate) use pod_task::PodTask;
