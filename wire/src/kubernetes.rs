//! Kubernetes objects that the scraper reads, as an API server sends them.
//!
//! Objects are read one by one, so that one that makes no sense costs only itself.

mod inference;
mod pod;

mod endpoint_slice;

pub use endpoint_slice::EndpointSlice;
pub use inference::{GROUPS, InferenceModelRewrite, InferenceObjective, InferencePool, POOL_GROUP};
pub use pod::{Pod, ZONE_LABEL};
