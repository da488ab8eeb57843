//! What Istio derives from each kustomization, written down.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{env, fs};

use serde_json::{Value, json};
use stack::{Template, Way};

use super::{
    agent,
    manifests::{self, root, text},
    pilot::Gateway,
};

pub(super) const GATEWAY: &str = include_str!("gateway.yaml");

/// One of the kustomizations in envoy/istio/.
#[derive(Clone, Copy, Debug)]
pub(in crate::envoy) struct Kustomization {
    pub(in crate::envoy) name: &'static str,
    /// The Service that the HTTPRoute names.
    service: &'static str,
    pub(in crate::envoy) way: Way,
}

impl Kustomization {
    pub(in crate::envoy) const ALL: [Self; 5] = [
        Self {
            name: "wasmplugin",
            service: "qwen-picked.models.svc.cluster.local",
            way: Way::BUFFER_FILTER_FILTER_STATE,
        },
        Self {
            name: "wasmplugin-failover",
            service: "qwen.models.svc.cluster.local",
            way: Way::BUFFER_FILTER_PROPERTY,
        },
        Self {
            name: "envoyfilter",
            service: "qwen.models.svc.cluster.local",
            way: Way::STOP_ITERATION_HEADER,
        },
        Self::KUADRANT_1_4,
        Self::KUADRANT_1_5,
    ];

    pub(super) const KUADRANT_1_4: Self = Self {
        name: "kuadrant-1.4",
        service: "qwen-kserve-workload-svc.demo-llmd.svc.cluster.local",
        way: Way::BUFFER_FILTER_PROPERTY,
    };

    pub(super) const KUADRANT_1_5: Self = Self {
        name: "kuadrant-1.5",
        service: "qwen-kserve-workload-svc.demo-llmd.svc.cluster.local",
        way: Way::STOP_ITERATION_HEADER,
    };

    /// What Istio makes of it.
    pub(super) fn gateway(self) -> Gateway {
        let bootstrap = manifests::objects(&GATEWAY.replace("${SERVICE}", self.service)).remove(0);
        Gateway::with(bootstrap, &manifests::build(self.name))
    }

    /// The same, with keys added to the picker's configuration: what the stories read, or are about.
    pub(in crate::envoy) fn template(self, keys: &Value) -> Template {
        let mut gateway = self.gateway();
        let configuration = configuration(&mut gateway);
        let mut config: Value = serde_json::from_str(configuration.as_str().unwrap()).unwrap();
        config.as_object_mut().unwrap().insert("decisionHeader".to_owned(), json!(true));
        config.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        *configuration = json!(config.to_string());
        agent::template(&gateway)
    }
}

/// The text that the picker is configured with.
fn configuration(gateway: &mut Gateway) -> &mut Value {
    let pointer = "/typed_config/config/configuration/value";
    gateway.extension("llm-picker").pointer_mut(pointer).unwrap()
}

#[test]
fn what_istio_derives_is_as_written_down() {
    for kustomization in Kustomization::ALL {
        let template = agent::template(&kustomization.gateway());
        let mut derived = template.bootstrap;
        for (name, text) in template.files {
            derived += &format!("--- # {name}\n{text}");
        }
        let file =
            root().join(format!("tests/it/envoy/istio/fixtures/{}.yaml", kustomization.name));
        if env::var_os("LLM_PICKER_UPDATE_FIXTURES").is_some() {
            fs::write(&file, &derived).unwrap();
        }
        let written = fs::read_to_string(&file).unwrap_or_default();
        assert!(
            written == derived,
            "envoy/istio/{} gives another Envoy than {} says. If that is meant, set \
             LLM_PICKER_UPDATE_FIXTURES and look at the difference:\n{derived}",
            kustomization.name,
            file.display()
        );
    }
}

#[test]
fn every_picker_configuration_is_one() {
    for kustomization in Kustomization::ALL {
        let mut gateway = kustomization.gateway();
        let json = configuration(&mut gateway).as_str().unwrap().to_owned();
        let parsed = wire::config::parse(json.as_bytes());
        assert!(parsed.is_ok(), "{}: {parsed:?}", kustomization.name);
        let ingest = gateway.extension("llm-picker-ingest");
        let json = text(ingest, "/typed_config/config/configuration/value");
        assert!(wire::config::parse(json.as_bytes()).is_ok(), "{}", kustomization.name);
    }
}
