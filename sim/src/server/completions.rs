//! The APIs that generate: `/v1/completions`, `/v1/chat/completions`, `/v1/messages` and `/v1/responses`.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};

use super::{
    answer::{Answer, Asked},
    body,
    desk::News,
    error::{Refusal, json_response},
    fault::Kind,
    front::REQUEST_ID,
    gate::Peer,
    glance, orca,
    prompt::{self, Api, Ask, Delivery},
    shared::{Shared, Ticket},
    sse::Stream,
};
use crate::Profile;

pub(super) async fn completions(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request,
) -> Response {
    complete(shared, peer, Api::Completions, request).await.unwrap_or_else(Refusal::into_response)
}

pub(super) async fn chat(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request,
) -> Response {
    complete(shared, peer, Api::Chat, request).await.unwrap_or_else(Refusal::into_response)
}

pub(super) async fn messages(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request,
) -> Response {
    complete(shared, peer, Api::Messages, request).await.unwrap_or_else(Refusal::into_message)
}

pub(super) async fn responses(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request,
) -> Response {
    complete(shared, peer, Api::Responses, request).await.unwrap_or_else(Refusal::into_response)
}

async fn complete(
    shared: Arc<Shared>,
    peer: Peer,
    api: Api,
    request: Request,
) -> Result<Response, Refusal> {
    let (head, body) = request.into_parts();
    let headers = head.headers;
    let ask = ask(&shared, api, &headers, body).await?;
    let fault = shared.fault().kind;
    if fault == Kind::Health503 {
        return Err(Refusal::Dead);
    }
    if fault == Kind::Busy || shared.is_full() {
        return Err(Refusal::Busy);
    }
    let Ask { model, delivery, request, previous } = ask;
    let given = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok());
    let prompt_tokens = request.prompt.tokens();
    let ticket = shared.submit(request, delivery != Delivery::Whole);
    // A response's id is the server's own, as a client asks for it by that.
    let given = given.filter(|_| api != Api::Responses);
    let id = given.map_or_else(|| ticket.random_id(), str::to_owned);
    let asked = Asked { id: &id, model: &model, prompt_tokens, previous };
    let answer = Answer::new(api, asked, &shared.options);
    if let Delivery::Stream { include_usage } = delivery {
        const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream; charset=utf-8");
        let fault = shared.faults();
        let stream = Stream::new(answer, ticket, include_usage, fault, peer)
            .keep_alive(shared.options.sse_keep_alive_interval);
        return Ok(([(CONTENT_TYPE, EVENTS)], Body::new(stream)).into_response());
    }
    let response = whole(&shared, &headers, &answer, ticket).await;
    response.ok_or(Refusal::Dead)
}

/// Waits for the end; `None` if the engine was restarted meanwhile.
async fn whole(
    shared: &Shared,
    headers: &HeaderMap,
    answer: &Answer,
    mut ticket: Ticket,
) -> Option<Response> {
    loop {
        if let News::End(text, finish, usage) = ticket.news.recv().await? {
            let body = answer.whole(&text, finish, usage);
            answer.keep_in(&mut ticket.kept(), &text, finish, usage);
            let mut response = json_response(StatusCode::OK, body);
            let report = orca::report(headers, &shared.desk().core.meter().gauges);
            response.headers_mut().extend(report);
            return Some(response);
        }
    }
}

async fn ask(shared: &Shared, api: Api, headers: &HeaderMap, body: Body) -> Result<Ask, Refusal> {
    let json = headers
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    if !json {
        return Err(Refusal::NotJsonType);
    }
    let priority = headers.get("x-vllm-priority").and_then(|text| text.to_str().ok()?.parse().ok());
    let body = body::read(body).await?;
    let is_plain = matches!(api, Api::Chat | Api::Completions);
    if is_plain && shared.options.profile == Profile::Instant && body.len() > glance::WHOLE_MAX {
        return glance::read(&shared.options, &body);
    }
    prompt::read(&shared.options, api, &body, priority, &|name| shared.kept().text(name))
}
