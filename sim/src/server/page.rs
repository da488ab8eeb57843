//! `/metrics`: the families, labels and order of a vLLM 0.32 page.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{Query, State},
    http::{HeaderValue, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use tokio::time::sleep;

use super::{fault::Kind, shared::Shared};
use exposition::Exposition;

mod engine;
mod exposition;
mod http;
mod process;

/// Content type of vLLM's page, whatever the client accepts.
const FORMAT: HeaderValue = HeaderValue::from_static("text/plain; version=1.0.0; charset=utf-8");

/// A body that is neither text nor metrics: a wrong port or a broken proxy could answer so.
const GARBAGE: &[u8] =
    b"<html>\xff\xfe vllm:num_requests_running{engine=\"0\" NaN\nvllm:num_requests_waiting}1{ x\n";

pub(super) async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    answer(&shared, |page| page).await
}

/// Answers with the series that the query names as `name[]`, all without a name:
/// prometheus-client's own page, which vLLM has behind the slash.
pub(super) async fn selected(
    State(shared): State<Arc<Shared>>,
    Query(query): Query<Vec<(String, String)>>,
) -> Response {
    let names: Vec<_> =
        query.into_iter().filter(|(key, _)| key == "name[]").map(|(_, name)| name).collect();
    let wanted = |line: &&str| {
        let comment = line.strip_prefix("# HELP ").or_else(|| line.strip_prefix("# TYPE "));
        let name = comment.unwrap_or(line).split(['{', ' ']).next().unwrap_or_default();
        names.iter().any(|wanted| wanted == name)
    };
    let select = |page: String| match names.is_empty() {
        true => page,
        false => page.split_inclusive('\n').filter(wanted).collect(),
    };
    answer(&shared, select).await
}

async fn answer(shared: &Shared, select: impl FnOnce(String) -> String) -> Response {
    let fault = shared.fault();
    sleep(fault.metrics_delay().unwrap_or(Duration::ZERO)).await;
    let mut page = select(render(shared)).into_bytes();
    if fault.kind == Kind::TruncatedMetrics {
        page.truncate(cut(&page));
    } else if fault.kind == Kind::GarbageMetrics {
        page = GARBAGE.to_vec();
    }
    ([(CONTENT_TYPE, FORMAT)], page).into_response()
}

/// Returns the place of the cut, in the middle of the line after `vllm:num_requests_running`: one
/// gauge whole, one not.
fn cut(page: &[u8]) -> usize {
    const LINE: &[u8] = b"\nvllm:num_requests_waiting{engine";
    let at = page.windows(LINE.len()).position(|window| window == LINE);
    at.map_or(page.len() / 2, |at| at + LINE.len())
}

/// Writes the whole page.
fn render(shared: &Shared) -> String {
    let mut page = Exposition::new(*shared.created());
    process::write(&mut page);
    engine::write(&mut page, shared);
    http::write(&mut page, &shared.traffic());
    page.finish()
}
