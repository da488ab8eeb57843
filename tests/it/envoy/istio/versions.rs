//! The Envoys that an Istio in use has.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use stack::{Builder, Programs, Stack};

use super::manifests::{installed, root};

/// Istio 1.28, 1.29 and the one between 1.31 and the stack's own.
pub(in crate::envoy) const OLDER: [&str; 3] = ["1.36.4", "1.37.0", "1.39.3"];

/// A stack in this Envoy; `None` is the one that all other stories use.
pub(in crate::envoy) fn stack(version: Option<&str>) -> Builder {
    let programs = Programs::built_in(root()).unwrap();
    let programs = match version {
        Some(version) => {
            programs.with_envoy(installed(&format!("target/envoy-{version}/bin/envoy")))
        }
        None => programs,
    };
    Stack::builder(programs).pod_args(&["--profile", "instant"])
}
