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

/// Returns the plugin's configuration with the settings that follow from the way.
///
/// # Errors
/// If it is no object.
pub fn with_way(mut plugin: Value, way: Way) -> Result<Value> {
    // Every template has Envoy add that header.
    let settings = json!({
        "hold": way.hold().name(),
        "destination": way.destination().name(),
        "servedByHeader": "x-served-by",
    });
    let object = plugin.as_object_mut();
    let object = object.context("the plugin's configuration must be a JSON object")?;
    object.insert("envoy".to_owned(), settings);
    Ok(plugin)
}
