//! What the scraper reads off Kubernetes objects, as an API server sends them.
//!
//! Each object is read by itself, so that one that makes no sense costs only itself.

mod endpoint_slice;
mod inference;
mod pod;

pub use endpoint_slice::EndpointSlice;
pub use inference::{GROUPS, InferenceModelRewrite, InferenceObjective, InferencePool, POOL_GROUP};
pub use pod::{Pod, ZONE_LABEL};
