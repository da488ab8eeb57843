//! Configurations of the EPPs of two years: each is taken, and nothing of it is lost in silence.

use std::fs;

use picker_core::{BLOCKS_MAX, Config, Handler};
use scraper::migrate_plugin;
use serde_json::{Value, json};
use wire::config::{ConfigDocument, Noted, PluginConfig, ScraperPace, parse_noted};

const FILES: [&str; 3] = ["gie.yaml", "kserve.yaml", "llm-d.yaml"];

/// Returns every configuration, with its name.
fn shipped() -> Vec<(String, Value)> {
    let read = |file: &&str| {
        let path = format!("{}/tests/data/older/{file}", env!("CARGO_MANIFEST_DIR"));
        let documents = ConfigDocument::read_all(&fs::read_to_string(path).unwrap()).unwrap();
        let documents = documents.into_iter().enumerate();
        let named = |(index, it): (usize, ConfigDocument)| {
            (format!("{file} {}", index + 1), it.value().clone())
        };
        documents.map(named).collect::<Vec<_>>()
    };
    let all: Vec<_> = FILES.iter().flat_map(read).collect();
    assert_eq!(all.len(), 28, "a new one is to be counted");
    all
}

pub(crate) fn parsed(config: &Value) -> Noted<PluginConfig> {
    parse_noted(config.to_string().as_bytes())
}

/// Paths and pointers of all values in a configuration that hold no others.
pub(crate) fn leaves(value: &Value, path: &str, pointer: &str, found: &mut Vec<(String, String)>) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                let dot = if path.is_empty() { "" } else { "." };
                let key_in_pointer = key.replace('~', "~0").replace('/', "~1");
                let pointer = format!("{pointer}/{key_in_pointer}");
                leaves(value, &format!("{path}{dot}{key}"), &pointer, found);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                leaves(item, &format!("{path}[{index}]"), &format!("{pointer}/{index}"), found);
            }
        }
        _ => found.push((path.to_owned(), pointer.to_owned())),
    }
}

/// Other values in the place of one. A name, which has to fit others, may be refused; no number may.
fn others(value: &Value) -> Vec<(Value, bool)> {
    match value {
        Value::Bool(flag) => vec![(json!(!flag), false)],
        Value::Number(number) => {
            let number = number.as_f64().unwrap();
            let more = [number + 1.0, number * 2.0 + 64.0, number / 2.0, number * 0.99, 0.0];
            more.into_iter().map(|it| (json!(it), false)).collect()
        }
        Value::String(text) => {
            let is_number = text.starts_with(|c: char| c.is_ascii_digit());
            vec![(json!("7"), false), (json!("7s"), false), (json!("other"), !is_number)]
        }
        _ => Vec::new(),
    }
}

/// True if another value in that place makes another configuration.
fn counts(config: &Value, pointer: &str) -> bool {
    let before = parsed(config).read;
    let mut config = config.clone();
    let value = config.pointer(pointer).unwrap().clone();
    others(&value).into_iter().any(|(other, may_be_refused)| {
        *config.pointer_mut(pointer).unwrap() = other;
        match parsed(&config).read {
            Ok(after) => before.as_ref() != Ok(&after),
            Err(_) => may_be_refused,
        }
    })
}

#[test]
fn every_configuration_of_older_epps_is_taken() {
    for (name, config) in shipped() {
        let refused = parsed(&config).read.err();
        assert_eq!(refused.map(|it| it.to_string()), None, "{name}");
    }
}

/// Paths of values that make no difference and of which no note says why.
pub(crate) fn silent(name: &str, config: &Value) -> Vec<String> {
    let Noted { read, notes } = parsed(config);
    let Ok(PluginConfig::Picker(picker)) = read else { panic!("{name}") };
    let warnings = picker.warnings(config, ScraperPace::default());
    let mut told: Vec<_> = notes.into_iter().map(|note| note.path).collect();
    told.extend(warnings.into_iter().map(|warning| warning.path));
    let mut found = Vec::new();
    leaves(config, "", "", &mut found);
    let mut silent = Vec::new();
    for (path, pointer) in found {
        let is_noted = told.iter().any(|told| path.starts_with(told));
        // Versions are alike, a gate that is off does nothing, the scraper has the data layer's work, and
        // evictions can only be off.
        let is_common = [
            "apiVersion",
            "kind",
            "featureGates",
            "dataLayer",
            "data.",
            "flowControl.enableEviction",
        ]
        .iter()
        .any(|common| path.starts_with(common));
        let is_type = path.ends_with(".type") && path.matches('.').count() == 1;
        if !is_noted && !is_common && !is_type && !counts(config, &pointer) {
            silent.push(format!("{name}: {path}"));
        }
    }
    silent
}

/// A value in a shipped configuration makes a difference, or a note says why it makes none.
#[test]
fn every_parameter_arrives_or_is_named() {
    let silent: Vec<_> =
        shipped().into_iter().flat_map(|(name, config)| silent(&name, &config)).collect();
    assert_eq!(silent.join("\n"), "");
}

/// What is migrated is in the output, or on the list beside it.
#[test]
fn migration_loses_no_parameter_in_silence() {
    let mut silent = Vec::new();
    for (name, config) in shipped() {
        let migrated = migrate_plugin(&config.to_string()).unwrap();
        let after: Value = serde_json::from_str(&migrated.text).unwrap();
        let notes = migrated.notes.join("\n");
        let mut found = Vec::new();
        leaves(&config, "", "", &mut found);
        for (path, pointer) in found {
            let is_kept = after.pointer(&pointer) == config.pointer(&pointer);
            if !is_kept && !notes.contains(&path) && !path.starts_with("metadata") {
                silent.push(format!("{name}: {path}"));
            }
        }
        let kept = parse_noted(migrated.text.as_bytes());
        assert_eq!(kept.read, parsed(&config).read, "{name}");
    }
    assert_eq!(silent.join("\n"), "");
}

/// The older parameters as KServe converts them.
#[test]
fn older_parameters_mean_what_they_meant() {
    let handlers: Vec<_> = shipped()
        .iter()
        .filter_map(|(name, config)| {
            let Ok(PluginConfig::Picker(picker)) = parsed(config).read else { panic!("{name}") };
            let pool = &picker.pools[0];
            let index = (pool.prompt_blocks_max, pool.scheduler.default_capacity);
            let Handler::Disagg(disagg) = &pool.scheduler.scheduling.handler else {
                let is_told = index != (BLOCKS_MAX, Config::default().default_capacity);
                return is_told.then(|| format!("{name}: {index:?}"));
            };
            Some(format!("{name}: {index:?} {:?} {}", disagg.prefill_decider, disagg.decode))
        })
        .collect();
    insta::assert_snapshot!(handlers.join("\n"), @"
    gie.yaml 1: (256, 31250)
    gie.yaml 3: (1024, 100000)
    gie.yaml 8: (1024, 180000)
    kserve.yaml 2: (16384, 31250) Some(Always) decode
    kserve.yaml 3: (256, 31250)
    kserve.yaml 5: (16384, 31250) Some(PrefixBased { uncached: 3, prompt: 0 }) decode
    kserve.yaml 6: (16384, 125000)
    llm-d.yaml 2: (256, 31250) Some(PrefixBased { uncached: 3, prompt: 0 }) decode
    llm-d.yaml 3: (16384, 31250) Some(Always) decode
    llm-d.yaml 5: (16384, 20000) Some(PrefixBased { uncached: 101, prompt: 0 }) decode
    llm-d.yaml 6: (16384, 31250) Some(PrefixBased { uncached: 16, prompt: 0 }) decode
    llm-d.yaml 7: (16384, 31250) Some(Always) d
    llm-d.yaml 8: (16384, 31250) Some(PrefixBased { uncached: 64, prompt: 128 }) after
    ");
}
