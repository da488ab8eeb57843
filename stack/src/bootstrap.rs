//! Envoy's configuration, from the templates in envoy/local/.

use std::{net::SocketAddr, path::Path};

use anyhow::{Result, bail};
use serde_json::{Value, json};

use crate::{Way, way::template};

/// A configuration of Envoy from elsewhere, with the same placeholders as the templates in envoy/local/. `${DIR}` is where
/// its files are written.
#[derive(Clone, Debug)]
pub struct Template {
    /// The bootstrap, with listeners called `gateway` and `ingest`.
    pub bootstrap: String,
    /// Files that it names, such as extensions that Envoy discovers: name and text.
    pub files: Vec<(String, String)>,
}

/// How an Envoy without our filter balances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Balancing {
    /// One endpoint after the other.
    RoundRobin,
    /// The one of two with fewer requests in flight.
    LeastRequest,
    /// By a ring of hashes of the header `x-conversation`, with at most 1.25 times the mean in flight on each.
    RingHash,
}

/// What a template leaves open.
#[derive(Debug)]
pub(crate) struct Bootstrap<'a> {
    pub(crate) way: Way,
    /// The template that takes the place of the way's own.
    pub(crate) template: Option<&'a Template>,
    pub(crate) dir: &'a Path,
    /// The gateway's port; 0 lets the system choose, as it does for the other two.
    pub(crate) port: u16,
    pub(crate) wasm: &'a Path,
    /// The plugin's configuration, with `envoy` filled in.
    pub(crate) plugin: &'a Value,
    /// The ingest instance's.
    pub(crate) ingest: &'a Value,
    pub(crate) endpoints: &'a [SocketAddr],
    /// How Envoy balances by itself, if our filter is not in it.
    pub(crate) alone: Option<Balancing>,
}

impl Bootstrap<'_> {
    /// The YAML for Envoy.
    pub(crate) fn render(&self) -> Result<String> {
        if let Some(template) = self.template {
            return self.fill(&template.bootstrap);
        }
        let template = template(self.way)?;
        match self.alone {
            None => self.fill(template),
            Some(balancing) => self.fill(&without_filters(template, balancing)),
        }
    }

    /// The files that belong to it: name and text.
    pub(crate) fn files(&self) -> Result<Vec<(&str, String)>> {
        let files = self.template.map(|template| &*template.files).unwrap_or_default();
        files.iter().map(|(name, text)| Ok((&**name, self.fill(text)?))).collect()
    }

    fn fill(&self, template: &str) -> Result<String> {
        let endpoints: Vec<Value> = self.endpoints.iter().copied().map(lb_endpoint).collect();
        fill(template, |name| {
            Some(match name {
                "GATEWAY_PORT" => self.port.to_string(),
                "INGEST_PORT" | "ADMIN_PORT" => "0".to_owned(),
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

/// The template with our filters cut out, and what stands between them and the router: the same Envoy in all else.
fn without_filters(template: &str, balancing: Balancing) -> String {
    let mut cut = false;
    let kept = template.split_inclusive('\n').filter(|line| {
        match line.trim_start().strip_prefix("- name: ").map(str::trim_end) {
            Some("llm-picker" | "llm-picker-ingest") => cut = true,
            Some("envoy.filters.http.router") => cut = false,
            _ => (),
        }
        !cut
    });
    let kept: String = kept.collect();
    match balancing {
        Balancing::RoundRobin => kept,
        Balancing::LeastRequest => {
            kept.replace("round_robin", "least_request").replace("RoundRobin", "LeastRequest")
        }
        Balancing::RingHash => ring_hash(&kept),
    }
}

/// Envoy's consistent hashing with bounded loads.
fn ring_hash(template: &str) -> String {
    const ROUTE: &str = "cluster: models\n";
    const BY: &str = "hash_policy: [{header: {header_name: x-conversation}}]";
    const TYPE: &str = "round_robin.v3.RoundRobin\n";
    const BOUND: &str = "consistent_hashing_lb_config: {hash_balance_factor: 125}";
    template
        .replace(ROUTE, &format!("{ROUTE}                  {BY}\n"))
        .replace(TYPE, &format!("{TYPE}                    {BOUND}\n"))
        .replace("round_robin", "ring_hash")
        .replace("RoundRobin", "RingHash")
}

fn lb_endpoint(address: SocketAddr) -> Value {
    let socket = json!({"address": address.ip().to_string(), "port_value": address.port()});
    json!({"endpoint": {"address": {"socket_address": socket}}})
}

/// Replaces each `${NAME}`. Anything else in braces, and a name that nobody knows, is left to no one to guess.
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
            let bootstrap = Bootstrap {
                way,
                template: None,
                dir: Path::new("."),
                port: 8080,
                wasm: Path::new("f.wasm"),
                plugin: &plugin,
                ingest: &json!({"ingest": {}}),
                endpoints: &[SocketAddr::from(([127, 0, 0, 1], 8000))],
                alone: None,
            };
            let yaml = bootstrap.render().unwrap();
            assert!(yaml.contains(r#"value: "{\"a\":\"it's \\\"quoted\\\"\"}""#), "{way}");
            assert!(!yaml.contains("${PLUGIN"), "{way}");
        }
    }

    #[test]
    fn without_our_filters_nothing_of_wasm_is_left() {
        let template = template(Way::STOP_ITERATION_HEADER).unwrap();
        let plain = without_filters(template, Balancing::RoundRobin);
        assert!(template.contains("filters.http.wasm"));
        assert!(!plain.contains("${WASM}") && !plain.contains("${PLUGIN_JSON}"), "{plain}");
        assert_eq!(plain.matches("- name: envoy.filters.http.router").count(), 2);
        assert!(plain.contains("override_host") && plain.contains("${ENDPOINTS}"));
        assert!(plain.contains("round_robin.v3.RoundRobin"));
        let plain = without_filters(template, Balancing::LeastRequest);
        assert!(plain.contains("least_request.v3.LeastRequest") && !plain.contains("ound"));
        let plain = without_filters(template, Balancing::RingHash);
        assert!(plain.contains("ring_hash.v3.RingHash") && !plain.contains("ound_"));
        assert!(plain.contains("hash_policy") && plain.contains("hash_balance_factor"));
    }
}
