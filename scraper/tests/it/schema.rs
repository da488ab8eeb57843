//! Checks objects by the structural schema of a CustomResourceDefinition: types, bounds and
//! choices, and no unknown field, which an API server would drop.

use serde_json::Value;

/// Panics with the path to the first thing that the schema does not allow.
pub(crate) fn check(schema: &Value, found: &Value, path: &str) {
    if let Some(choices) = schema["enum"].as_array() {
        assert!(choices.contains(found), "{path}: {found} is none of {choices:?}");
    }
    match schema["type"].as_str().unwrap_or("object") {
        "object" => object(schema, found, path),
        "array" => {
            let items = found.as_array().unwrap_or_else(|| panic!("{path}: {found} is no list"));
            within(schema, "Items", items.len() as f64, path);
            for (index, item) in items.iter().enumerate() {
                check(&schema["items"], item, &format!("{path}[{index}]"));
            }
        }
        "string" => {
            let text = found.as_str().unwrap_or_else(|| panic!("{path}: {found} is no string"));
            within(schema, "Length", text.chars().count() as f64, path);
        }
        "integer" => {
            let number = found.as_i64().unwrap_or_else(|| panic!("{path}: {found} is no integer"));
            within(schema, "imum", number as f64, path);
        }
        "boolean" => assert!(found.is_boolean(), "{path}: {found} is no boolean"),
        other => panic!("{path}: the schema has the unknown type {other}"),
    }
}

fn object(schema: &Value, found: &Value, path: &str) {
    let members = found.as_object().unwrap_or_else(|| panic!("{path}: {found} is no object"));
    for required in schema["required"].as_array().into_iter().flatten() {
        let name = required.as_str().unwrap();
        assert!(members.contains_key(name), "{path}: {name} is missing");
    }
    // Metadata has a schema of its own, which no definition repeats.
    let (properties, others) = (schema.get("properties"), schema.get("additionalProperties"));
    if properties.is_none() && others.is_none() {
        return;
    }
    for (name, value) in members {
        let path = format!("{path}.{name}");
        match properties.and_then(|it| it.get(name)).or(others) {
            Some(schema) => check(schema, value, &path),
            None => panic!("{path}: there is no such field"),
        }
    }
}

fn within(schema: &Value, what: &str, size: f64, path: &str) {
    let bound = |end: &str| schema[format!("{end}{what}")].as_f64();
    assert!(bound("min").is_none_or(|min| size >= min), "{path}: below the minimum");
    assert!(bound("max").is_none_or(|max| size <= max), "{path}: above the maximum");
}

#[test]
fn what_a_definition_does_not_allow_is_found() {
    let text = include_str!("../data/crds/inference.networking.k8s.io_inferencepools.yaml");
    let definition: Value = serde_saphyr::from_str(text).unwrap();
    let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let good = || {
        serde_json::json!({
            "spec": {"selector": {"matchLabels": {"a": "b"}}, "targetPorts": [{"number": 1}]},
        })
    };
    check(schema, &good(), "");
    let wrong: [fn(&mut Value); 6] = [
        |it| it["spec"]["targetPorts"] = serde_json::json!([]),
        |it| it["spec"]["targetPorts"][0]["number"] = serde_json::json!(0),
        |it| it["spec"]["targetPorts"][0]["number"] = serde_json::json!("1"),
        |it| it["spec"]["appProtocol"] = serde_json::json!("grpc"),
        |it| it["spec"]["selectr"] = serde_json::json!({}),
        |it| drop(it["spec"].as_object_mut().unwrap().remove("selector")),
    ];
    for change in wrong {
        let mut object = good();
        change(&mut object);
        let checked = std::panic::catch_unwind(|| check(schema, &object, ""));
        assert!(checked.is_err(), "{object} passed");
    }
}
