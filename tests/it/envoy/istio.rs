//! The manifests of envoy/istio/, as Istio would carry them out, in every Envoy that an Istio in use has.
//!
//! istiod and its agent are played by [`pilot`] and [`agent`], which do what Istio's code does with these kinds; what comes
//! out is written down in fixtures/, so that a change of a manifest shows what it changes in Envoy.

mod agent;
mod beside;
mod chart;
mod epp;
mod fixture;
mod identity;
mod manifests;
mod pilot;
mod pool;
mod retries;
mod stories;
mod updates;
pub(super) mod versions;

pub(super) use fixture::Kustomization;
