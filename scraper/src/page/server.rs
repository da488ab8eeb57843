//! The routes of the scraper's own pages.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use axum::{
    Router,
    body::Bytes,
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
    html,
    page_cache::{NoPage, PageCache},
    plugin,
    status::Status,
};
use crate::{push, settings::Plugin};

/// Content type of the metrics: prometheus-client writes OpenMetrics.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Columns of the history that a browser may lack and have made for it alone: its page asks every second.
const RECENT_COLUMNS: u64 = 10;

/// The pages, and those of them that were made last.
#[derive(Clone, Debug)]
struct Pages {
    status: Arc<Status>,
    overview: PageCache<()>,
    /// Metrics, with the EPP's former names too or not.
    metrics: PageCache<bool>,
    /// Data by the first column of the history: of little of it, and of much.
    recent: PageCache<u64>,
    whole: PageCache<u64>,
}

/// Serves the pages until aborted.
pub(crate) async fn serve(listener: TcpListener, status: Arc<Status>, plugin: Option<Plugin>) {
    let plugin = Router::new()
        .route("/plugin.wasm", get(plugin::module))
        .route("/plugin.wasm.sha256", get(plugin::checksum))
        .with_state(plugin);
    let pulls = status.pulls.clone();
    let snapshots = Router::new()
        .route("/v1/pools/{pool}/snapshot", get(push::snapshot).post(push::report_and_snapshot))
        .with_state(pulls.clone());
    let pages = Pages {
        status,
        overview: PageCache::default(),
        metrics: PageCache::default(),
        recent: PageCache::default(),
        whole: PageCache::default(),
    };
    let pages = Router::new()
        .route("/", get(front))
        .route("/overview", get(overview))
        .route("/api/v1/status", get(data))
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .with_state(pages)
        .merge(plugin)
        .merge(snapshots);
    let is_known = |address| pulls.is_known(address, Instant::now());
    connections::serve(listener, pages, Limits::default(), is_known).await;
}

/// Answers with the status page for a browser, with the overview for a terminal.
async fn front(pages: State<Pages>, asked: HeaderMap) -> Response {
    let accept = asked.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if accept.contains("text/html") {
        return ([(VARY, "accept")], html::page()).into_response();
    }
    ([(VARY, "accept")], overview(pages).await).into_response()
}

async fn overview(State(pages): State<Pages>) -> Response {
    let make = || Ok(pages.status.overview(Instant::now()).into_bytes());
    answer(pages.overview.get((), make).await, "text/plain; charset=utf-8")
}

/// Answers with the data of the status page. Values of the query that can't be read count as left
/// out: their sender gets the whole history.
async fn data(
    State(pages): State<Pages>,
    Query(query): Query<BTreeMap<String, String>>,
) -> impl IntoResponse {
    let get = |name: &str| query.get(name).map(String::as_str).unwrap_or_default();
    let after = get("after").parse().unwrap_or_default();
    let first = pages.status.first_column(after, get("epoch"));
    let is_recent = first.saturating_add(RECENT_COLUMNS) >= pages.status.next_column();
    let cache = if is_recent { &pages.recent } else { &pages.whole };
    let make = || {
        let data = pages.status.page(Instant::now(), first);
        serde_json::to_vec(&data).map_err(|why| why.to_string())
    };
    ([(CACHE_CONTROL, "no-store")], answer(cache.get(first, make).await, "application/json"))
}

/// Answers with the metrics; with `?names=all`, under the EPP's former names too.
async fn metrics(
    State(pages): State<Pages>,
    Query(query): Query<BTreeMap<String, String>>,
) -> impl IntoResponse {
    let has_former = query.get("names").is_some_and(|names| names == "all");
    let make = || {
        let page = pages.status.metrics(Instant::now(), has_former);
        page.map(String::into_bytes).map_err(|why| why.to_string())
    };
    answer(pages.metrics.get(has_former, make).await, OPEN_METRICS)
}

fn answer(page: Result<Bytes, NoPage>, kind: &'static str) -> Response {
    page.map(|page| ([(CONTENT_TYPE, kind)], page)).into_response()
}

/// Answers whether the process does its work: one that makes no snapshots any more is to be started again.
async fn healthz(State(pages): State<Pages>) -> (StatusCode, String) {
    match pages.status.stuck_for(Instant::now()) {
        None => (StatusCode::OK, "the process lives\n".to_owned()),
        Some(silence) => {
            let said = format!("the process is stuck: no snapshots for {} s\n", silence.as_secs());
            (StatusCode::SERVICE_UNAVAILABLE, said)
        }
    }
}

async fn readyz(State(pages): State<Pages>) -> (StatusCode, String) {
    match pages.status.missing() {
        missing if missing.is_empty() => (StatusCode::OK, "ready\n".to_owned()),
        missing => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {}\n", missing.join(", ")))
        }
    }
}
