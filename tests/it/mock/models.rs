//! Requests that are sent to another model than the one that they ask for.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::collections::BTreeMap;

use host_mock::Stream;
use picker_core::{Model, ModelRewrite, RewriteRule, RewriteTarget};
use serde_json::{Value, json};

use super::{
    push::{Pod, Push},
    world::{CHAT, WORKERS, Way, World},
};

const NONE: &[(&str, &str)] = &[];

const HEADER: &str = "x-llm-d-model-name-rewrite";

fn rules(rules: &Value) -> Value {
    json!({"modelRewrites": [{"name": "test", "rules": rules}]})
}

fn to(model: &str) -> Value {
    json!([{"modelRewrite": model}])
}

fn only(asked: &str) -> Value {
    json!([{"model": {"value": asked}}])
}

/// A chat with this model, in bytes that no serialiser would print.
fn body(model: &str) -> String {
    format!(
        r#"{{ "temperature":1.0e0,"model" :{model}, "messages":[{{"role":"user","content":"\u0068i"}}] }}"#
    )
}

fn sent(stream: &Stream) -> String {
    String::from_utf8(stream.sent().unwrap().body).unwrap()
}

#[test]
fn only_the_models_name_changes_in_the_body_in_every_way() {
    let keys = rules(&json!([{"matches": only("gpt-4"), "targets": to("llama")}]));
    for way in Way::ALL {
        let world = World::with(way, &keys);
        world.pods(&[Pod::idle(1)]);
        for (asked, served) in [("\"gpt-4\"", "\"llama\""), ("\"gpt-5\"", "\"gpt-5\"")] {
            let body = body(asked);
            let length = [("content-length", body.len().to_string())];
            let stream = world.envoy.worker(1).post(CHAT, &length, body.as_bytes());
            assert_eq!(sent(&stream), body.replace(asked, served), "{way:?}");
            let said = stream.sent().unwrap().headers.text("content-length").map(str::to_owned);
            let right = sent(&stream).len().to_string();
            assert!(said.is_none_or(|said| said == right), "{way:?}: a wrong length");
        }
        world.is_well();
    }
}

#[test]
fn a_rewrite_may_bring_the_model_that_a_request_lacks() {
    let world = World::with(Way::STOP_ITERATION_HEADER, &rules(&json!([{"targets": to("llama")}])));
    world.pods(&[Pod::idle(1)]);
    let without = r#"{"messages":[{"role":"user","content":"hi"}]}"#;
    let stream = world.envoy.worker(0).post(CHAT, NONE, without.as_bytes());
    assert_eq!(sent(&stream), without.replacen('{', r#"{"model":"llama","#, 1));
}

#[test]
fn the_header_comes_before_the_rules_and_needs_none() {
    for mut keys in [json!({}), rules(&json!([{"targets": to("llama")}]))] {
        keys["identity"] = json!({"trusted": [HEADER]});
        let world = World::with(Way::BUFFER_FILTER_PROPERTY, &keys);
        world.pods(&[Pod::idle(1)]);
        let body = body("\"gpt-4\"");
        let stream = world.envoy.worker(0).post(CHAT, &[(HEADER, "named")], body.as_bytes());
        assert_eq!(sent(&stream), body.replace("gpt-4", "named"));
    }
}

#[test]
fn requests_are_shared_out_by_weight() {
    let targets = json!([
        {"modelRewrite": "stable", "weight": 9}, {"modelRewrite": "canary", "weight": 1}
    ]);
    let world = World::with(Way::STOP_ITERATION_HEADER, &rules(&json!([{"targets": targets}])));
    world.pods(&[Pod::idle(1)]);
    let mut counts = BTreeMap::new();
    for n in 0..1000 {
        let stream = world.envoy.worker(n % WORKERS).post(CHAT, NONE, body("\"m\"").as_bytes());
        let body: Value = serde_json::from_str(&sent(&stream)).unwrap();
        *counts.entry(body["model"].as_str().unwrap().to_owned()).or_insert(0) += 1;
    }
    let canary = counts.get("canary").copied().unwrap_or_default();
    // 100 of 1,000 with a deviation of 9.5: seven of those are no chance.
    assert!((30..170).contains(&canary), "{counts:?}");
    assert_eq!(counts.values().sum::<u32>(), 1000);
}

/// The prefix is the target's: who asks for another name finds what it has cached.
#[test]
fn two_names_of_one_model_share_its_cache() {
    let keys = rules(&json!([{"matches": only("alias"), "targets": to("tiny")}]));
    let world = World::with(Way::STOP_ITERATION_HEADER, &keys);
    world.pods(&Pod::idles(4));
    let prompt = super::world::about("rivers");
    let home = world.pod(&world.chat(0, &prompt));
    let message = json!({"role": "user", "content": prompt});
    let body = json!({"model": "alias", "messages": [message]}).to_string();
    for worker in 0..WORKERS {
        let stream = world.envoy.worker(worker).post(CHAT, NONE, body.as_bytes());
        assert_eq!(world.pod(&stream), home);
    }
}

/// Rules that a snapshot brings count on every worker, and stop with it.
#[test]
fn snapshots_bring_rules_and_take_them_away() {
    let world = World::with(Way::BUFFER_FILTER_PROPERTY, &json!({}));
    let push = |rewrites: Vec<ModelRewrite>| {
        let push =
            Push { body: Push::with_rewrites(&[Pod::idle(1)], rewrites).body, ..world.push(&[]) };
        let stream = world.ingest(0, &push.headers(), &push.body);
        assert_eq!(stream.status(), Some(204), "{:?}", stream.response());
    };
    let target = RewriteTarget { model: "llama".to_owned(), weight: 1 };
    let rule = RewriteRule { models: vec!["gpt-4".to_owned()], targets: vec![target] };
    push(vec![ModelRewrite { name: "r".to_owned(), rules: vec![rule] }]);
    let sent_from = |worker| {
        let body = body("\"gpt-4\"");
        let length = [("content-length", body.len().to_string())];
        let stream = world.envoy.worker(worker).post(CHAT, &length, body.as_bytes());
        sent(&stream).contains("llama")
    };
    assert!((0..WORKERS).all(sent_from), "from the first request on");
    push(Vec::new());
    // What is read a second too late at most.
    world.envoy.run_for(std::time::Duration::from_millis(1_100));
    assert!(!(0..WORKERS).any(sent_from));
    world.is_well();
}

/// Who asks for the models of a pool is not told those of one pod.
#[test]
fn the_pools_models_are_listed_once_they_are_known() {
    let keys = rules(&json!([{"matches": only("gpt-4"), "targets": to("base")}]));
    let world = World::with(Way::STOP_ITERATION_HEADER, &keys);
    world.pods(&[Pod::idle(1)]);
    let get = || world.envoy.worker(1).get("/v1/models?limit=9", NONE);
    assert_eq!(world.pod(&get()).number, 1, "nobody has said what is served");
    let model = |name: &str, parent: Option<&str>| Model {
        name: name.to_owned(),
        parent: parent.map(str::to_owned),
        members: match parent {
            Some(parent) => format!(r#""max_model_len":4096,"parent":"{parent}""#),
            None => r#""max_model_len":4096"#.to_owned(),
        },
    };
    let models = vec![model("base", None), model("sql", Some("base"))];
    let push = Push { body: Push::with_models(&[Pod::idle(1)], models).body, ..world.push(&[]) };
    assert_eq!(world.ingest(0, &push.headers(), &push.body).status(), Some(204));
    let response = get().response().unwrap();
    let list: Value = serde_json::from_slice(&response.body).unwrap();
    let names: Vec<_> =
        list["data"].as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap()).collect();
    assert_eq!((response.status, names), (200, vec!["base", "gpt-4", "sql"]));
    assert_eq!(list["data"][2]["parent"], "base");
    let other = world.envoy.worker(1).get("/v1/models/base", NONE);
    assert_eq!(world.pod(&other).number, 1, "one model is a pod's to describe");
    world.is_well();
}

/// Without a snapshot requests are let through, in the name that the rewrite gave them; the client knows its own.
#[test]
fn an_answer_to_what_was_let_through_has_the_name_that_was_asked_for() {
    let mut keys = rules(&json!([{"matches": only("gpt-4"), "targets": to("llama")}]));
    keys["failureMode"] = json!("FailOpen");
    for way in Way::ALL {
        let world = World::with(way, &keys);
        let stream = world.envoy.worker(1).post(CHAT, NONE, body("\"gpt-4\"").as_bytes());
        assert!(sent(&stream).contains("llama"), "{way:?}");
        stream.respond(200, &[("content-type", "application/json")], br#"{"model":"llama"}"#);
        assert_eq!(stream.response().unwrap().text(), r#"{"model":"gpt-4"}"#, "{way:?}");
        world.is_well();
    }
}
