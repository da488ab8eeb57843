//! Operations: what a request asks for, by method, path, content type and upgrade.

use wire::{
    body::{Api, Form},
    operation::{Class, Methods, OPERATIONS, Recognized, RequestHead},
};

fn head<'a>(method: &'a str, path: &'a str) -> RequestHead<'a> {
    let has_body = method == "POST";
    RequestHead {
        method: method.as_bytes(),
        path: path.as_bytes(),
        has_body,
        ..RequestHead::default()
    }
}

fn class(method: &str, path: &str) -> Class {
    Recognized::by_head(&head(method, path)).class
}

/// Each entry with something in the place of what differs.
fn example(path: &str) -> String {
    format!(
        "/{}",
        path.replace("{model}", "m")
            .replace("{id}", "1")
            .replace("{version}", "2")
            .replace("{item}", "3")
            .replace("{method}", "4")
            .replace("{region}", "5")
            .replace("{digest}", "6")
            .replace("{slot}", "7")
            .replace("{worker}", "8")
    )
}

#[test]
fn every_entry_is_found_and_none_hides_another() {
    for operation in OPERATIONS {
        let method = match operation.methods {
            Methods::Post => "POST",
            Methods::Change => "DELETE",
            Methods::Get | Methods::Any => "GET",
        };
        for base in ["", "/team/a"] {
            let path = format!("{base}{}", example(operation.path()));
            assert_eq!(class(method, &path), operation.class, "{method} {path}");
            let has_model = Recognized::by_head(&head(method, &path)).model.is_some();
            assert_eq!(has_model, operation.path().contains("{model}"), "{path}");
            let has_id = Recognized::by_head(&head(method, &path)).id() == Some(b"1");
            assert_eq!(has_id, operation.path().contains("{id}"), "{path}");
        }
    }
}

#[test]
fn the_known_apis_are_told_by_whole_parts_of_their_path() {
    let other = Class::Read(Api::Other);
    let read = Class::Read;
    for (path, expected) in [
        ("/v1/chat/completions", read(Api::ChatCompletions)),
        ("/v1/completions?x=/chat/completions", read(Api::Completions)),
        ("/team/a/v1/chat/completions?beta=1", read(Api::ChatCompletions)),
        ("/chat/completions", read(Api::ChatCompletions)),
        ("/v1/chat%2Fcompletions", read(Api::ChatCompletions)),
        ("//v1//chat//completions//", read(Api::ChatCompletions)),
        ("/v1/./chat/completions", read(Api::ChatCompletions)),
        ("/v1/chat/completions/", read(Api::ChatCompletions)),
        ("/openai/deployments/gpt/chat/completions?api-version=1", read(Api::ChatCompletions)),
        ("/v1/completions/render", read(Api::RenderCompletions)),
        ("/v1/messages", read(Api::Messages)),
        ("/v1/messages/count_tokens?beta=true", read(Api::CountTokens)),
        ("/inference/v1/generate", read(Api::Generate)),
        ("/generate", read(Api::SglangGenerate)),
        ("/v1/regenerate", other),
        ("/v1/Chat/Completions", other),
        ("/v1/threads/t/messages", other),
        ("/v2/models/ensemble/generate", read(Api::TritonGenerate)),
        ("/v2/models/ensemble/versions/1/generate", read(Api::TritonGenerate)),
        ("/api/generate", read(Api::OllamaGenerate)),
        ("/v1/xresponses", other),
        ("/v1/rerank", other),
        ("/", other),
        ("/v1/responses/r1/cancel", Class::Direct),
        ("/abort_request", Class::Named),
        ("/v1/load_lora_adapter", Class::Refused),
        ("/sleep?level=1", Class::Refused),
        ("/v1/%73leep/", Class::Refused),
    ] {
        assert_eq!(class("POST", path), expected, "{path}");
    }
}

#[test]
fn what_asks_for_no_work_goes_at_once() {
    for (method, path) in [
        ("GET", "/health"),
        ("HEAD", "/"),
        ("GET", "/v1/models"),
        ("GET", "/v1/chat/completions"),
        ("OPTIONS", "/v1/chat/completions"),
        ("OPTIONS", "/sleep"),
        ("GET", "/v1/responses/r1"),
        ("DELETE", "/v1/responses/r1"),
        ("GET", "/metrics"),
    ] {
        assert_eq!(class(method, path), Class::Direct, "{method} {path}");
    }
    let empty = RequestHead { has_body: false, ..head("POST", "/v1/chat/completions") };
    assert_eq!(Recognized::by_head(&empty).class, Class::Direct, "nothing to compute");
    assert_eq!(class("GET", "/flush_cache"), Class::Refused);
    let upgrade = RequestHead { upgrades: true, ..head("GET", "/v1/realtime") };
    assert_eq!(Recognized::by_head(&upgrade).class, Class::Upgraded);
}

#[test]
fn an_upgrade_hides_no_call() {
    let class = |method: &'static str, path| {
        Recognized::by_head(&RequestHead { upgrades: true, ..head(method, path) }).class
    };
    assert_eq!(class("CONNECT", "/v1/realtime"), Class::Upgraded);
    assert_eq!(class("GET", "/anything"), Class::Upgraded);
    for (method, path) in [
        ("POST", "/sleep"),
        ("POST", "/v1/load_lora_adapter"),
        ("GET", "/flush_cache"),
        ("CONNECT", "/sleep"),
    ] {
        assert_eq!(class(method, path), Class::Refused, "{method} {path}");
    }
    assert_eq!(class("POST", "/v1/chat/completions"), Class::Read(Api::ChatCompletions));
}

#[test]
fn the_content_type_tells_how_a_body_is_read() {
    let found = |path, content_type: &'static str| {
        let content_type = content_type.as_bytes();
        let found = Recognized::by_head(&RequestHead { content_type, ..head("POST", path) });
        (found.class, found.form)
    };
    let (chat, other) = (Class::Read(Api::ChatCompletions), Class::Read(Api::Other));
    let form = Form::Multipart(b"b".to_vec());
    let of_form = "multipart/form-data; boundary=b";
    assert_eq!(found("/v1/chat/completions", "text/plain"), (chat, Form::Json));
    assert_eq!(found("/v1/chat/completions", of_form), (other, form.clone()));
    assert_eq!(found("/v1/audio/transcriptions", of_form), (other, form));
    assert_eq!(found("/v1/rerank", "application/json"), (other, Form::Json));
    assert_eq!(found("/v1/rerank", ""), (other, Form::Json));
    let gzip = RequestHead { content_encoding: b"gzip", ..head("POST", "/v1/chat/completions") };
    assert_eq!(Recognized::by_head(&gzip).form, Form::Encoded);
    let plain = RequestHead { content_encoding: b" Identity", ..gzip };
    assert_eq!(Recognized::by_head(&plain).form, Form::Json);
    assert_eq!(found("/v2/models/m/infer", "application/octet-stream"), (other, Form::Opaque));
}

#[test]
fn a_path_may_name_the_model() {
    for (method, path, expected) in [
        ("POST", "/openai/deployments/gpt-4/chat/completions", Some("gpt-4")),
        ("POST", "/v1beta/models/gemini-2:streamGenerateContent?alt=sse", Some("gemini-2")),
        ("POST", "/model/anthropic.claude%3A0/converse", Some("anthropic.claude:0")),
        ("POST", "/v2/models/llama/versions/3/generate", Some("llama")),
        ("GET", "/v1/models/org/llama", Some("org/llama")),
        ("GET", "/v1/models/org%2Fllama", Some("org/llama")),
        ("GET", "/v1/models", None),
        ("POST", "/v1/chat/completions", None),
    ] {
        let found = Recognized::by_head(&head(method, path));
        assert_eq!(found.model().as_deref(), expected, "{path}");
    }
}
