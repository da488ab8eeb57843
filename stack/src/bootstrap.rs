//! Envoy's configuration, from the templates in envoy/local/.

mod balancing;
mod discovered;
mod tree;

pub use balancing::Balancing;
pub(crate) use discovered::{Discovered, discovered};

use std::{net::SocketAddr, path::Path};

use anyhow::{Result, bail};
use serde_json::{Value, json};

use crate::{Way, way::template};
use balancing::without_filters;

/// A configuration of Envoy from elsewhere, with the same placeholders as the templates in
/// envoy/local/. `${DIR}` stands for the folder of its files.
#[derive(Clone, Debug)]
pub struct Template {
    /// The bootstrap, with listeners called `gateway` and `ingest`.
    pub bootstrap: String,
    /// Name and text of the files that the bootstrap names, such as extensions that Envoy
    /// discovers.
    pub files: Vec<(String, String)>,
}

/// Ports of one Envoy's listeners; 0 lets the system choose.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ports {
    pub(crate) gateway: u16,
    pub(crate) ingest: u16,
}

/// The values that a template leaves open.
#[derive(Debug)]
pub(crate) struct Bootstrap<'a> {
    pub(crate) way: Way,
    /// Template that takes the place of the way's own.
    pub(crate) template: Option<&'a Template>,
    pub(crate) dir: &'a Path,
    /// Ports of the gateway and of its ingest; 0 lets the system choose, as it does for the third.
    pub(crate) ports: Ports,
    pub(crate) wasm: &'a Path,
    /// Configuration of the plugin, with `envoy` filled in.
    pub(crate) plugin: &'a Value,
    /// Configuration of the ingest instance.
    pub(crate) ingest: &'a Value,
    pub(crate) endpoints: &'a [SocketAddr],
    /// Balancing of an Envoy without our filter; `None` with our filter.
    pub(crate) alone: Option<Balancing>,
}

impl Bootstrap<'_> {
    /// Returns the YAML for Envoy.
    pub(crate) fn render(&self) -> Result<String> {
        if let Some(template) = self.template {
            return self.fill(&template.bootstrap);
        }
        let template = template(self.way)?;
        match self.alone {
            None => self.fill(template),
            // JSON is YAML too.
            Some(balancing) => {
                Ok(format!("{:#}\n", without_filters(&self.fill(template)?, balancing)?))
            }
        }
    }

    /// Returns the files that belong to the bootstrap: name and text.
    pub(crate) fn files(&self) -> Result<Vec<(&str, String)>> {
        let files = self.template.map(|template| &*template.files).unwrap_or_default();
        files.iter().map(|(name, text)| Ok((&**name, self.fill(text)?))).collect()
    }

    fn fill(&self, template: &str) -> Result<String> {
        let endpoints: Vec<Value> = self.endpoints.iter().copied().map(lb_endpoint).collect();
        fill(template, |name| {
            Some(match name {
                "GATEWAY_PORT" => self.ports.gateway.to_string(),
                "INGEST_PORT" => self.ports.ingest.to_string(),
                "ADMIN_PORT" => "0".to_owned(),
                "WASM" => self.wasm.display().to_string(),
                "DIR" => self.dir.display().to_string(),
                "PLUGIN_JSON" => Value::from(self.plugin.to_string()).to_string(),
                "INGEST_JSON" => Value::from(self.ingest.to_string()).to_string(),
                "ENDPOINTS" => Value::from(endpoints.clone()).to_string(),
                _ => return None,
            })
        })
    }
}

fn lb_endpoint(address: SocketAddr) -> Value {
    let socket = json!({"address": address.ip().to_string(), "port_value": address.port()});
    json!({"endpoint": {"address": {"socket_address": socket}}})
}

/// Replaces each `${NAME}`. An unknown name is an error and not left as it is, since Envoy would
/// take it for a value.
fn fill(template: &str, value: impl Fn(&str) -> Option<String>) -> Result<String> {
    let mut pieces = template.split("${");
    let mut filled = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let Some((name, rest)) = piece.split_once('}') else { bail!("a ${{ without its }}") };
        // The templates' own comments speak of ${…}.
        if name == "…" {
            filled.push_str("${…}");
        } else if let Some(value) = value(name) {
            filled.push_str(&value);
        } else {
            bail!("${{{name}}} is no placeholder of the stack");
        }
        filled.push_str(rest);
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{IpAddr, Ipv4Addr};

    const ENDPOINTS: [SocketAddr; 1] = [SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8000)];

    fn bootstrap(way: Way) -> Bootstrap<'static> {
        Bootstrap {
            way,
            template: None,
            dir: Path::new("."),
            ports: Ports { gateway: 8080, ingest: 0 },
            wasm: Path::new("f.wasm"),
            plugin: &Value::Null,
            ingest: &Value::Null,
            endpoints: &ENDPOINTS,
            alone: None,
        }
    }

    #[test]
    fn a_placeholder_is_replaced_wherever_it_stands() {
        let filled = fill("a: ${X}, b: \"${X}\" # ${…}", |_| Some("1".to_owned())).unwrap();
        insta::assert_snapshot!(filled, @r#"a: 1, b: "1" # ${…}"#);
    }

    #[test]
    fn an_unknown_placeholder_is_named() {
        let error = fill("a: ${Y}", |_| None).unwrap_err();
        insta::assert_snapshot!(error, @"${Y} is no placeholder of the stack");
    }

    #[test]
    fn every_template_takes_quotes_in_the_plugin_json() {
        let plugin = json!({"a": "it's \"quoted\""});
        for way in Way::ALL {
            let bootstrap = Bootstrap { plugin: &plugin, ..bootstrap(way) };
            let yaml = bootstrap.render().unwrap();
            assert!(yaml.contains(r#"value: "{\"a\":\"it's \\\"quoted\\\"\"}""#), "{way}");
            assert!(!yaml.contains("${PLUGIN"), "{way}");
        }
    }

    #[test]
    fn without_our_filters_the_rest_is_filled_in() {
        let bootstrap =
            Bootstrap { alone: Some(Balancing::RingHash), ..bootstrap(Way::STOP_ITERATION_HEADER) };
        let tree: Value = serde_json::from_str(&bootstrap.render().unwrap()).unwrap();
        let endpoint =
            tree.pointer("/static_resources/clusters/0/load_assignment/endpoints/0/lb_endpoints/0");
        assert_eq!(endpoint, Some(&lb_endpoint(ENDPOINTS[0])));
        assert!(!tree.to_string().contains("${"), "{tree}");
    }
}
