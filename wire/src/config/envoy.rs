//! How the choice gets into Envoy.

use super::{At, ConfigError};

/// How the choice gets into Envoy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EnvoyConfig {
    /// How headers are held until the body is read.
    pub hold: Hold,
    /// How the endpoint is handed over.
    pub destination: Destination,
    /// Bytes of a body at most; larger requests are refused. By default 8 MiB.
    pub max_body_bytes: u64,
}

/// How headers are held until the body is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// By pausing at the headers; needs `allow_on_headers_stop_iteration`.
    StopIteration,
    /// By Envoy's buffer filter, placed behind this one.
    BufferFilter,
}

/// How the endpoint is handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// As the header `x-gateway-destination-endpoint`.
    Header,
    /// As a property, of which Envoy's header_mutation makes that header.
    Property,
    /// As filter state that an ORIGINAL_DST cluster reads.
    FilterState,
}

impl Default for EnvoyConfig {
    fn default() -> Self {
        Self {
            hold: Hold::StopIteration,
            destination: Destination::Header,
            max_body_bytes: 8 << 20,
        }
    }
}

pub(super) fn read(at: &At<'_>) -> Result<EnvoyConfig, ConfigError> {
    let object = at.object(&["hold", "destination", "maxBodyBytes"])?;
    let default = EnvoyConfig::default();
    let holds = [("stopIteration", Hold::StopIteration), ("bufferFilter", Hold::BufferFilter)];
    let destinations = [
        ("header", Destination::Header),
        ("property", Destination::Property),
        ("filterState", Destination::FilterState),
    ];
    let envoy = EnvoyConfig {
        hold: object.get("hold").map_or(Ok(default.hold), |at| at.one_of(&holds))?,
        destination: object
            .get("destination")
            .map_or(Ok(default.destination), |at| at.one_of(&destinations))?,
        max_body_bytes: object
            .get("maxBodyBytes")
            .map_or(Ok(default.max_body_bytes), |at| at.bytes())?,
    };
    if envoy.hold == Hold::BufferFilter && envoy.destination == Destination::Header {
        return Err(at.problem(
            "found hold bufferFilter with destination header; allowed: property or filterState \
             there, because headers can no longer be written once they went on"
                .to_owned(),
        ));
    }
    Ok(envoy)
}
