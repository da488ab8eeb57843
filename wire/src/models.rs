//! The answer to `GET /v1/models` for a whole pool.

use std::collections::BTreeMap;

use serde::Serialize;

#[derive(Serialize)]
struct List<'a> {
    object: &'static str,
    data: Vec<Entry<'a>>,
}

/// Entry as vLLM writes it, without the fields that only one server could fill.
#[derive(Serialize)]
struct Entry<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    owned_by: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<&'a str>,
}

/// True if a path asks for the list; the query does not count.
#[must_use]
pub fn is_asked_for(path: &[u8]) -> bool {
    path.split(|byte| *byte == b'?').next().is_some_and(|path| path.ends_with(b"/v1/models"))
}

/// Returns the body that names these models, each with the one that it adapts; `created` is in
/// seconds since 1970.
#[must_use]
pub fn list(models: &BTreeMap<&str, Option<&str>>, created: u64) -> String {
    let data = models.iter().map(|(&id, &parent)| Entry {
        id,
        object: "model",
        created,
        owned_by: "llm-picker",
        parent,
    });
    // Text and numbers always serialise.
    serde_json::to_string(&List { object: "list", data: data.collect() }).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_the_one_of_the_openai_api() {
        let models = BTreeMap::from([("base", None), ("sql", Some("base"))]);
        insta::assert_snapshot!(
            list(&models, 7),
            @r#"{"object":"list","data":[{"id":"base","object":"model","created":7,"owned_by":"llm-picker"},{"id":"sql","object":"model","created":7,"owned_by":"llm-picker","parent":"base"}]}"#
        );
        assert!(is_asked_for(b"/v1/models?x=1") && is_asked_for(b"/team/v1/models"));
        assert!(!is_asked_for(b"/v1/models/base") && !is_asked_for(b"/v1/model"));
    }
}
