//! The calls that no vLLM has: they make the server fail, and read what it saw.

use std::sync::{Arc, atomic::Ordering};

use axum::{extract::State, http::StatusCode, response::Response};
use serde_json::{Value, json};

use super::{error::json_response, fault::Fault, shared::Shared};

/// Returns counts since the start and the last ended prompts, oldest first.
pub(crate) fn state_json(shared: &Shared) -> Value {
    let desk = shared.desk();
    let (running, waiting) = desk.core.in_flight();
    let meter = desk.core.meter();
    json!({
        "requests": desk.seen,
        "running": running,
        "waiting": waiting,
        "http_in_flight": shared.load.load(Ordering::Relaxed),
        "steps": meter.steps,
        "prompt_tokens": meter.prefix_cache_queries,
        "cached_tokens": meter.prefix_cache_hits,
        "generated_tokens": meter.generation_tokens,
        "preemptions": meter.preemptions,
        "prompts": desk.log,
    })
}

pub(super) async fn state(State(shared): State<Arc<Shared>>) -> Response {
    json_response(StatusCode::OK, state_json(&shared).to_string())
}

pub(super) async fn fault(State(shared): State<Arc<Shared>>, body: String) -> Response {
    match serde_json::from_str::<Fault>(&body) {
        Ok(fault) => {
            shared.set_fault(fault);
            json_response(StatusCode::OK, "{}".to_owned())
        }
        Err(error) => {
            let body = json!({"error": {"message": error.to_string()}});
            json_response(StatusCode::BAD_REQUEST, body.to_string())
        }
    }
}
