//! The bootstrap of each way into Envoy.

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
