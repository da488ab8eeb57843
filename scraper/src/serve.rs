//! The scraper's own pages.

use std::{sync::Arc, time::Instant};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
    routing::get,
};
use tokio::net::TcpListener;
use tracing::error;

use crate::status::Status;

/// What Prometheus is told that the page is: prometheus-client writes OpenMetrics.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Serves until aborted.
pub(crate) async fn run(listener: TcpListener, status: Arc<Status>) {
    let pages = Router::new()
        .route("/", get(overview))
        .route("/metrics", get(metrics))
        .route("/healthz", get("the process lives\n"))
        .route("/readyz", get(readyz))
        .with_state(status);
    if let Err(why) = axum::serve(listener, pages).await {
        error!("the scraper's own pages are gone: {why}");
    }
}

async fn overview(State(status): State<Arc<Status>>) -> String {
    status.overview(Instant::now())
}

async fn metrics(State(status): State<Arc<Status>>) -> impl IntoResponse {
    match status.metrics(Instant::now()) {
        Ok(page) => Ok(([(CONTENT_TYPE, OPEN_METRICS)], page)),
        Err(why) => Err((StatusCode::INTERNAL_SERVER_ERROR, why.to_string())),
    }
}

async fn readyz(State(status): State<Arc<Status>>) -> (StatusCode, String) {
    match status.missing() {
        missing if missing.is_empty() => (StatusCode::OK, "ready\n".to_owned()),
        missing => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {}\n", missing.join(", ")))
        }
    }
}
