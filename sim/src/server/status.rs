//! The small GETs: health, version, models, load, and responses that are kept.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{
    error::{Refusal, json_response},
    fault::Kind,
    shared::Shared,
};

pub(super) async fn health(State(shared): State<Arc<Shared>>) -> Response {
    let dead = shared.fault().kind == Kind::Health503;
    if dead { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }.into_response()
}

pub(super) async fn version() -> Response {
    json_response(StatusCode::OK, r#"{"version":"0.32.0"}"#.to_owned())
}

pub(super) async fn load(State(shared): State<Arc<Shared>>) -> Response {
    let load = shared.load.load(Ordering::Relaxed);
    json_response(StatusCode::OK, format!(r#"{{"server_load":{load}}}"#))
}

pub(super) async fn models(State(shared): State<Arc<Shared>>) -> Response {
    let options = &shared.options;
    let created = Duration::from_secs_f64(*shared.created()).as_secs();
    let model = |id: &str, root: &str, parent: Option<&str>| {
        let max_model_len = parent.is_none().then_some(options.max_model_len);
        json!({
            "id": id, "object": "model", "created": created, "owned_by": "vllm",
            "root": root, "parent": parent, "max_model_len": max_model_len, "permission": [],
        })
    };
    let bases = options.served_model_name.iter().map(|name| model(name, options.model(), None));
    let loras = options.lora_modules.iter();
    let loras = loras.map(|lora| model(&lora.name, &lora.path, Some(options.model())));
    let data: Vec<Value> = bases.chain(loras).collect();
    json_response(StatusCode::OK, json!({"object": "list", "data": data}).to_string())
}

/// Answers with a response that is kept. One that is kept is whole, and can't be cancelled any more.
pub(super) async fn response(
    State(shared): State<Arc<Shared>>,
    Path(name): Path<String>,
) -> Response {
    let body = shared.kept().body(&name);
    body.map_or_else(
        || Refusal::NoSuchResponse(name).into_response(),
        |body| json_response(StatusCode::OK, body),
    )
}
