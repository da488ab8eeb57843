//! Metrics of requests, queues and endpoints, in Envoy's own stats.
//!
//! Metrics that were defined are kept in the VM's state; Envoy is called between two looks at it, never
//! within one.

mod flow;
mod label;
mod pool;
mod request;

pub(crate) use flow::{count_grant, count_outcome, show_pool, take_over};
pub(crate) use request::{Done, SentRequest, count_rewrite, record};
