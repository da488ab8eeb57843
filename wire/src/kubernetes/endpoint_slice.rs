//! EndpointSlices: the addresses behind a Service.

use std::net::{IpAddr, SocketAddr};

use serde::Deserialize;
use serde_json::Value;

/// Part of the addresses behind a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSlice {
    addresses: Vec<IpAddr>,
    ports: Vec<u16>,
}

impl EndpointSlice {
    /// Reads an EndpointSlice.
    ///
    /// # Errors
    /// For any other object.
    pub fn read(object: &Value) -> Result<Self, String> {
        let SliceObject { endpoints, ports } =
            SliceObject::deserialize(object).map_err(|why| why.to_string())?;
        // A gateway that is not ready yet needs its first snapshot all the more; one that goes away
        // does not.
        let stays = |endpoint: &Endpoint| !endpoint.conditions.terminating.unwrap_or(false);
        let addresses = endpoints.into_iter().flatten().filter(stays);
        let addresses = addresses.filter_map(|it| it.addresses.first()?.parse().ok());
        let ports =
            ports.into_iter().flatten().filter_map(|port| port.port.filter(|port| *port > 0));
        Ok(Self { addresses: addresses.collect(), ports: ports.collect() })
    }

    /// Returns every address with `port`, or with the first port of the Service.
    #[must_use]
    pub fn addresses(&self, port: Option<u16>) -> Vec<SocketAddr> {
        let Some(port) = port.or_else(|| self.ports.first().copied()) else { return Vec::new() };
        self.addresses.iter().map(|address| (*address, port).into()).collect()
    }
}

#[derive(Deserialize)]
struct SliceObject {
    endpoints: Option<Vec<Endpoint>>,
    ports: Option<Vec<SlicePort>>,
}

#[derive(Deserialize)]
struct Endpoint {
    /// Addresses of one endpoint, of which the first is enough.
    addresses: Vec<String>,
    #[serde(default)]
    conditions: Conditions,
}

#[derive(Default, Deserialize)]
struct Conditions {
    terminating: Option<bool>,
}

#[derive(Deserialize)]
struct SlicePort {
    port: Option<u16>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn all_but_those_that_go_away() {
        let slice = EndpointSlice::read(&json!({
            "addressType": "IPv4",
            "endpoints": [
                {"addresses": ["10.0.0.1"], "conditions": {"ready": true}},
                {"addresses": ["10.0.0.2"], "conditions": {"ready": false}},
                {"addresses": ["10.0.0.3"], "conditions": {"ready": false, "terminating": true}},
                {"addresses": ["example.org"]}
            ],
            "ports": [{"name": "ingest", "port": 15080}]
        }));
        let slice = slice.unwrap();
        let address = |text: &str| text.parse().unwrap();
        assert_eq!(slice.addresses(None), [address("10.0.0.1:15080"), address("10.0.0.2:15080")]);
        assert_eq!(slice.addresses(Some(1)), [address("10.0.0.1:1"), address("10.0.0.2:1")]);
        let empty = EndpointSlice::read(&json!({"endpoints": null, "ports": null})).unwrap();
        assert_eq!(empty.addresses(None), []);
        assert!(EndpointSlice::read(&json!({"endpoints": 7})).is_err());
    }
}
