//! The scraper's own pages.

use crate::world::{Envoy, Pod, anywhere, get, page, poll, settings, start};

#[tokio::test]
async fn it_is_ready_once_every_pod_was_tried_and_an_envoy_has_a_snapshot() {
    let gone = Pod::start(page(0)).await;
    let envoy_address = gone.address;
    gone.stop().await;
    let pod = Pod::start(page(3)).await;
    let scraper = start(settings(&[pod.address], &[envoy_address])).await;

    let refused = |page: &str| {
        page.starts_with("HTTP/1.1 503")
            && page.contains("no Envoy has taken a snapshot")
            && page.contains("connection refused")
            && !page.contains("not tried yet")
    };
    poll(&scraper, "/readyz", refused).await;
    assert!(get(&scraper, "/healthz").await.starts_with("HTTP/1.1 200"));

    let _envoy =
        Envoy::start_at(envoy_address, |_| crate::server::Reply::Whole(204, Vec::new())).await;
    poll(&scraper, "/readyz", |page| page.starts_with("HTTP/1.1 200")).await;
}

#[tokio::test]
async fn its_metrics_are_what_dashboards_expect() {
    let (pod, envoy) = (Pod::start(page(3)).await, Envoy::start().await);
    let gone = Pod::start_at(anywhere(), page(0)).await;
    let gone_address = gone.address;
    gone.stop().await;
    let scraper = start(settings(&[pod.address, gone_address], &[envoy.address])).await;
    envoy.wait("two pushes", |it| it.count >= 2).await;
    poll(&scraper, "/metrics", |page| page.contains("state=\"up\"} 1")).await;
    let page = get(&scraper, "/metrics").await;
    let wanted = [
        format!(
            "llm_scraper_scrapes_total{{pool=\"default\",endpoint=\"{}\",outcome=\"ok\"}}",
            pod.address
        ),
        format!(
            "llm_scraper_scrapes_total{{pool=\"default\",endpoint=\"{gone_address}\",outcome=\"refused\"}}"
        ),
        format!("llm_scraper_pushes_total{{envoy=\"http://{}\",outcome=\"ok\"}}", envoy.address),
        format!("llm_scraper_snapshot_age_seconds{{envoy=\"http://{}\"}} 0.", envoy.address),
        "llm_scraper_scrape_duration_seconds_bucket".to_owned(),
        "llm_scraper_reading_age_seconds_bucket".to_owned(),
        "llm_scraper_endpoints{pool=\"default\",state=\"down\"} 1".to_owned(),
        "llm_scraper_endpoints{pool=\"default\",state=\"up\"} 1".to_owned(),
    ];
    for line in wanted {
        assert!(page.contains(&line), "{line} is missing in {page}");
    }
}
