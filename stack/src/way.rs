//! The bootstrap of each way into Envoy.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use wire::config::{Destination, Hold, ImpossibleWay, Way};

/// Returns the template of Envoy's configuration for a way.
pub(crate) const fn template(way: Way) -> Result<&'static str, ImpossibleWay> {
    Ok(match (way.hold(), way.destination()) {
        (Hold::StopIteration, Destination::Header) => {
            include_str!("../../envoy/local/stop-iteration-header.yaml")
        }
        (Hold::StopIteration, Destination::Property) => {
            include_str!("../../envoy/local/stop-iteration-property.yaml")
        }
        (Hold::StopIteration, Destination::FilterState) => {
            include_str!("../../envoy/local/stop-iteration-filter-state.yaml")
        }
        (Hold::BufferFilter, Destination::Property) => {
            include_str!("../../envoy/local/buffer-filter-property.yaml")
        }
        (Hold::BufferFilter, Destination::FilterState) => {
            include_str!("../../envoy/local/buffer-filter-filter-state.yaml")
        }
        (Hold::BufferFilter, Destination::Header) => return Err(ImpossibleWay),
    })
}

/// Returns the plugin's configuration with the settings that follow from the way, beside its own others.
///
/// # Errors
/// If it is no object.
pub fn with_way(mut plugin: Value, way: Way) -> Result<Value> {
    // Every template has Envoy add that header.
    let settings = [
        ("hold", way.hold().name()),
        ("destination", way.destination().name()),
        ("servedByHeader", "x-served-by"),
    ];
    let object = plugin.as_object_mut();
    let object = object.context("the plugin's configuration must be a JSON object")?;
    let envoy = object.entry("envoy").or_insert_with(|| json!({}));
    // What is no object is the plugin's to refuse.
    if let Some(envoy) = envoy.as_object_mut() {
        envoy.extend(settings.map(|(key, value)| (key.to_owned(), value.into())));
    }
    Ok(plugin)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    #[test]
    fn a_users_own_settings_of_envoy_stay() {
        let plugin = json!({"envoy": {"maxBodyBytes": 4096, "hold": "bufferFilter"}});
        let set = with_way(plugin, Way::STOP_ITERATION_HEADER).unwrap();
        let expected = json!({
            "hold": "stopIteration", "destination": "header", "servedByHeader": "x-served-by", "maxBodyBytes": 4096,
        });
        assert_eq!(set["envoy"], expected);
        let faulty = with_way(json!({"envoy": 7}), Way::STOP_ITERATION_HEADER).unwrap();
        assert_eq!(faulty["envoy"], 7);
        assert!(with_way(json!([]), Way::STOP_ITERATION_HEADER).is_err());
    }
}
