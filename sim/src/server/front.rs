//! The steps of every request before and after its handler.

use std::{sync::Arc, time::Instant};

use axum::{
    extract::{Request, State},
    http::{
        HeaderName, HeaderValue,
        header::{SERVER, VARY},
    },
    middleware::Next,
    response::Response,
};

use super::{fault::Kind, shared::Shared, traffic::Exchange};

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Hangs if it must; counts the request; adds the headers that all of vLLM's answers have.
pub(super) async fn front(
    State(shared): State<Arc<Shared>>,
    request: Request,
    next: Next,
) -> Response {
    if shared.fault().kind == Kind::Hang {
        std::future::pending::<()>().await;
    }
    let began = Instant::now();
    let path = request.uri().path().to_owned();
    let method = request.method().clone();
    let id = request.headers().get(REQUEST_ID).cloned();
    let length =
        request.headers().get("content-length").and_then(|n| n.to_str().ok()?.parse().ok());
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(SERVER, HeaderValue::from_static("uvicorn"));
    headers.insert(VARY, HeaderValue::from_static("Origin"));
    if let Some(id) = id.filter(|_| shared.options.enable_request_id_headers) {
        headers.insert(REQUEST_ID, id);
    }
    shared.traffic().count(&Exchange {
        path: &path,
        method,
        status: response.status(),
        took: began.elapsed(),
        length: length.unwrap_or(0),
    });
    response
}
