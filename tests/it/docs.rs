//! The documents say what the code does.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may panic")]

use std::{collections::BTreeSet, fs, path::Path};

mod operations;

const MARKER: &str = "<!-- checked: ";

/// Each table names a configuration with an unknown field: the refusal lists all that are known.
fn check_tables(document: &str, text: &str) -> usize {
    let sections = text.split(MARKER).skip(1);
    sections
        .map(|section| {
            let (wrong, rest) = section.split_once(" -->").unwrap();
            let table: Vec<&str> =
                rest.lines().skip(1).take_while(|line| line.starts_with('|')).collect();
            let documented: BTreeSet<&str> =
                table.iter().filter_map(|row| row.strip_prefix("| `")?.split('`').next()).collect();
            assert_eq!(documented, allowed(wrong), "{document}, the table of {wrong}");
        })
        .count()
}

/// What the refusal of a wrong configuration says would have been right.
fn allowed(wrong: &str) -> BTreeSet<&'static str> {
    let refused = wire::config::parse(wrong.as_bytes()).unwrap_err();
    let refusal = refused.faults()[0].to_string().leak();
    let (_, allowed) = refusal.split_once("allowed: ").unwrap();
    allowed.split(", ").collect()
}

fn read(document: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(document))
        .unwrap()
}

#[test]
fn every_key_of_the_configuration_is_documented_and_no_other() {
    let document = "docs/configuration.md";
    let tables = check_tables(document, &read(document));
    assert!(tables > 10, "found {tables} tables only");
}

/// Every type is named, and if it has parameters there is a table of them: for one of two names of the same.
#[test]
fn every_plugin_is_documented_with_its_parameters() {
    const ALIKE: [&str; 5] = [
        "session-affinity-filter",
        "by-label-selector",
        "random-picker",
        "weighted-random-picker",
        "prefill-header-handler",
    ];
    let document = "docs/plugins.md";
    let text = read(document);
    assert!(check_tables(document, &text) > 30);
    for name in allowed(r#"{"plugins": [{"type": "?"}]}"#) {
        assert!(text.contains(&format!("`{name}`")), "{document} does not name {name}");
        let wrong = format!(r#"{{"plugins": [{{"type": "{name}", "parameters": {{"?": 1}}}}]}}"#);
        let is_told = ALIKE.contains(&name) || text.contains(&format!("{MARKER}{wrong}"));
        let takes_any = wire::config::parse(wrong.as_bytes()).is_ok();
        let has_none = takes_any || allowed(&wrong).contains("none");
        assert!(is_told || has_none, "{document} has no table of {name}");
    }
}

/// The chart refuses a key of an EndpointPickerConfig exactly where the plugin would.
#[test]
fn the_charts_schema_has_every_key_of_an_endpoint_picker_config() {
    let schema: serde_json::Value =
        serde_json::from_str(&read("envoy/chart/values.schema.json")).unwrap();
    let keys = |pointer: &str| -> BTreeSet<String> {
        let found = schema.pointer(&format!("/definitions/config{pointer}/properties")).unwrap();
        found.as_object().unwrap().keys().cloned().collect()
    };
    let known = |wrong: &str| -> BTreeSet<String> {
        allowed(wrong).into_iter().map(str::to_owned).collect()
    };
    let older = ["data", "metadata", "parser"].map(str::to_owned);
    let today = known(r#"{"pools": [{"config": {"?": 1}}]}"#);
    assert_eq!(keys(""), today.into_iter().chain(older).collect());
    assert_eq!(keys("/properties/plugins/items"), known(r#"{"plugins": [{"?": 1}]}"#));
    let profile = "/properties/schedulingProfiles/items";
    assert_eq!(keys(profile), known(r#"{"schedulingProfiles": [{"?": 1}]}"#));
    let reference = known(r#"{"schedulingProfiles": [{"plugins": [{"?": 1}]}]}"#);
    assert_eq!(keys(&format!("{profile}/properties/plugins/items")), reference);
}
