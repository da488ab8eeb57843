//! Lists of models: the answer to `GET /v1/models`, as an engine gives it and for a whole pool.

use std::collections::{BTreeMap, btree_map::Entry};

use picker_core::{MODEL_MEMBERS_MAX, MODELS_MAX, MODELS_MEMBERS_MAX, Model};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{operation::plain, snapshot::MODEL_NAME_MAX};

/// Bytes of the longest list of an engine that is read: as many models as a pool may have, with half of the members that
/// one may have.
pub const LIST_BYTES_MAX: usize = 1 << 20;

/// The list of one engine.
#[derive(Deserialize)]
struct EngineList {
    data: Vec<Map<String, Value>>,
}

/// Entry for a model of which no more is known than its name, and the one that it adapts.
#[derive(Serialize)]
struct BareEntry<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    owned_by: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<&'a str>,
}

/// True if a path asks for the list, as engines understand it; the query does not count.
#[must_use]
pub fn is_asked_for(path: &[u8]) -> bool {
    plain(path).ends_with(b"/v1/models")
}

/// Reads an engine's list. `None` if it is none; entries without a name that a model may have are left out.
#[must_use]
pub fn parse(body: &[u8]) -> Option<Vec<Model>> {
    let list: EngineList = serde_json::from_slice(body).ok()?;
    Some(list.data.into_iter().filter_map(model).take(MODELS_MAX).collect())
}

fn model(mut entry: Map<String, Value>) -> Option<Model> {
    let is_name = |name: &String| (1..=MODEL_NAME_MAX).contains(&name.len());
    let name = entry.remove("id")?.as_str().map(str::to_owned).filter(is_name)?;
    let parent = entry.get("parent").and_then(Value::as_str).map(str::to_owned).filter(is_name);
    let object = serde_json::to_string(&entry).unwrap_or_default();
    let members = object.strip_prefix('{').and_then(|it| it.strip_suffix('}')).unwrap_or_default();
    let members = if members.len() <= MODEL_MEMBERS_MAX { members } else { "" };
    Some(Model { name, parent, members: members.to_owned() })
}

/// Returns the models of all lists by ascending name, each once, as the first list has it. What is beyond a pool's bounds
/// is left out: members before models.
#[must_use]
pub fn union<'a>(lists: impl IntoIterator<Item = &'a [Model]>) -> Vec<Model> {
    let mut models: BTreeMap<&str, &Model> = BTreeMap::new();
    for model in lists.into_iter().flatten() {
        let is_full = models.len() >= MODELS_MAX;
        if let Entry::Vacant(room) = models.entry(&model.name)
            && !is_full
        {
            room.insert(model);
        }
    }
    let mut room = MODELS_MEMBERS_MAX;
    let bounded = models.into_values().map(|model| {
        let fits = model.members.len() <= room;
        room -= if fits { model.members.len() } else { 0 };
        let members = if fits { model.members.clone() } else { String::new() };
        Model { name: model.name.clone(), parent: model.parent.clone(), members }
    });
    bounded.collect()
}

/// Returns the body that names these models, each with what an engine says of the one that serves it; `created`, in
/// seconds since 1970, is for those of which no engine says anything.
#[must_use]
pub fn list(models: &BTreeMap<&str, Option<&Model>>, created: u64) -> String {
    let entries: Vec<String> =
        models.iter().map(|(id, model)| entry(id, *model, created)).collect();
    format!(r#"{{"object":"list","data":[{}]}}"#, entries.join(","))
}

fn entry(id: &str, model: Option<&Model>, created: u64) -> String {
    match model.map(|model| model.members.as_str()).filter(|members| !members.is_empty()) {
        Some(members) => format!(r#"{{"id":{},{members}}}"#, Value::from(id)),
        None => {
            let parent = model.and_then(|model| model.parent.as_deref());
            let bare = BareEntry { id, object: "model", created, owned_by: "llm-picker", parent };
            // Text and numbers always serialise.
            serde_json::to_string(&bare).unwrap_or_default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str, members: &str) -> Model {
        Model { name: name.to_owned(), parent: None, members: members.to_owned() }
    }

    #[test]
    fn an_engines_members_are_kept_for_its_names_and_for_aliases() {
        let page = br#"{"object":"list","data":[
            {"id":"base","created":5,"max_model_len":4096,"object":"model","owned_by":"vllm","parent":null,"root":"/m"},
            {"id":"sql \"x\"","object":"model","parent":"base"}, {"id":7}, {"object":"model"}, {"id":""}]}"#;
        let models = parse(page).unwrap();
        assert_eq!(models.len(), 2);
        assert_eq!(models[1].parent.as_deref(), Some("base"));
        let [base, adapter] = [Some(&models[0]), Some(&models[1])];
        let wordy = Model { members: String::new(), ..models[1].clone() };
        let listed = BTreeMap::from([
            ("alias", base),
            ("base", base),
            ("gone", None),
            ("sql \"x\"", adapter),
            ("wordy", Some(&wordy)),
        ]);
        let own = r#""created":5,"max_model_len":4096,"object":"model","owned_by":"vllm","parent":null,"root":"/m""#;
        let bare = r#""object":"model","created":7,"owned_by":"llm-picker""#;
        let entries = [
            format!(r#"{{"id":"alias",{own}}}"#),
            format!(r#"{{"id":"base",{own}}}"#),
            format!(r#"{{"id":"gone",{bare}}}"#),
            r#"{"id":"sql \"x\"","object":"model","parent":"base"}"#.to_owned(),
            format!(r#"{{"id":"wordy",{bare},"parent":"base"}}"#),
        ];
        let expected = format!(r#"{{"object":"list","data":[{}]}}"#, entries.join(","));
        assert_eq!(list(&listed, 7), expected);
    }

    #[test]
    fn what_is_no_list_is_none() {
        for page in [&b""[..], b"{}", b"[]", br#"{"data":{}}"#, br#"{"data":[1]}"#] {
            assert_eq!(parse(page), None);
        }
        assert_eq!(parse(br#"{"data":[]}"#), Some(Vec::new()));
    }

    #[test]
    fn a_union_is_within_the_bounds_of_a_pool() {
        let one = [named("b", "1"), named("a", "2")];
        let other = [named("c", "3"), named("b", "4")];
        let all = union([&one[..], &other[..]]);
        assert_eq!(all, [named("a", "2"), named("b", "1"), named("c", "3")]);
        let many: Vec<Model> =
            (0..2_000).map(|n| named(&format!("m{n}"), &"x".repeat(MODEL_MEMBERS_MAX))).collect();
        let all = union([&many[..]]);
        assert_eq!(all.len(), MODELS_MAX);
        let bytes: usize = all.iter().map(|it| it.members.len()).sum();
        assert_eq!(bytes, MODELS_MEMBERS_MAX);
        let snapshot = picker_core::Snapshot { models: all, ..Default::default() };
        assert!(crate::snapshot::encode(&snapshot).is_ok());
        let page = format!(r#"{{"data":[{{"id":"a","x":"{}"}}]}}"#, "y".repeat(MODEL_MEMBERS_MAX));
        assert_eq!(parse(page.as_bytes()).unwrap(), [named("a", "")]);
    }

    #[test]
    fn the_path_of_the_list() {
        assert!(is_asked_for(b"/v1/models?x=1") && is_asked_for(b"/team/v1/models"));
        assert!(
            [&b"/v1/models/"[..], b"/v1//models", b"/v1/%6dodels?x"].into_iter().all(is_asked_for)
        );
        assert!(!is_asked_for(b"/v1/models/base") && !is_asked_for(b"/v1/model"));
    }
}
