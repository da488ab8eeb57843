//! The stories of routing and failover, in every way and every Envoy.

use serde_json::json;

use super::{fixture::Kustomization, versions};
use crate::envoy::{bodies, routing, world};

/// All of them in one stack for each way: starting a stack takes longer than any.
async fn tell_all(version: Option<&str>) {
    for kustomization in Kustomization::ALL {
        let builder = versions::stack(version)
            .way(kustomization.way)
            .template(kustomization.template(&json!({})))
            .endpoints(3);
        world::tell(builder, async |stack| {
            routing::comes_back_with_its_decision(stack).await;
            routing::share_a_pod_or_spread(stack).await;
            bodies::four_megabytes_are_placed(stack).await;
            bodies::over_the_limit_is_refused(stack).await;
            bodies::without_a_body_passes(stack).await;
            routing::move_from_a_killed_pod(stack).await;
        })
        .await;
    }
}

#[tokio::test]
async fn in_envoy_1_36_all_is_told() {
    tell_all(Some(versions::OLDER[0])).await;
}

#[tokio::test]
async fn in_envoy_1_37_all_is_told() {
    tell_all(Some(versions::OLDER[1])).await;
}

#[tokio::test]
async fn in_envoy_1_39_all_is_told() {
    tell_all(Some(versions::OLDER[2])).await;
}

#[tokio::test]
async fn in_the_newest_envoy_all_is_told() {
    tell_all(None).await;
}
