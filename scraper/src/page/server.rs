//! The routes of the scraper's own pages.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use axum::{
    Json, Router,
    extract::{Query, State},
    http::{
        HeaderMap, StatusCode,
        header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, VARY},
    },
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::net::TcpListener;

use super::{
    connections::{self, Limits},
    html, plugin,
    status::Status,
};
use crate::{push, settings::Plugin};

/// Content type of the metrics: prometheus-client writes OpenMetrics.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Serves the pages until aborted.
pub(crate) async fn serve(listener: TcpListener, status: Arc<Status>, plugin: Option<Plugin>) {
    let plugin = Router::new()
        .route("/plugin.wasm", get(plugin::module))
        .route("/plugin.wasm.sha256", get(plugin::checksum))
        .with_state(plugin);
    let snapshots = Router::new()
        .route("/v1/pools/{pool}/snapshot", get(push::snapshot).post(push::report_and_snapshot))
        .with_state(status.pulls.clone());
    let pages = Router::new()
        .route("/", get(front))
        .route("/overview", get(overview))
        .route("/api/v1/status", get(data))
        .route("/metrics", get(metrics))
        .route("/healthz", get("the process lives\n"))
        .route("/readyz", get(readyz))
        .with_state(status)
        .merge(plugin)
        .merge(snapshots);
    connections::serve(listener, pages, Limits::default()).await;
}

/// Answers with the status page for a browser, with the overview for a terminal.
async fn front(status: State<Arc<Status>>, asked: HeaderMap) -> Response {
    let accept = asked.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if accept.contains("text/html") {
        return ([(VARY, "accept")], html::page()).into_response();
    }
    ([(VARY, "accept")], overview(status).await).into_response()
}

async fn overview(State(status): State<Arc<Status>>) -> String {
    status.overview(Instant::now())
}

/// Answers with the data of the status page. Values of the query that can't be read count as left
/// out: their sender gets the whole history.
async fn data(
    State(status): State<Arc<Status>>,
    Query(query): Query<BTreeMap<String, String>>,
) -> impl IntoResponse {
    let get = |name: &str| query.get(name).map(String::as_str).unwrap_or_default();
    let after = get("after").parse().unwrap_or_default();
    let data = status.page(Instant::now(), after, get("epoch"));
    ([(CACHE_CONTROL, "no-store")], Json(data))
}

/// Answers with the metrics; with `?names=all`, under the EPP's former names too.
async fn metrics(
    State(status): State<Arc<Status>>,
    Query(query): Query<BTreeMap<String, String>>,
) -> impl IntoResponse {
    let has_former = query.get("names").is_some_and(|names| names == "all");
    match status.metrics(Instant::now(), has_former) {
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
