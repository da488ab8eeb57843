//! Manifests, as kustomize builds them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

/// The objects of one of the kustomizations in envoy/istio/.
pub(super) fn build(kustomization: &str) -> Vec<Value> {
    let kubectl = installed("target/kube/kubectl");
    let folder = root().join("envoy/istio").join(kustomization);
    let output = Command::new(kubectl).arg("kustomize").arg(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    objects(&String::from_utf8(output.stdout).unwrap())
}

/// The objects that the chart makes of these settings, for a release called picker.
pub(super) fn render(settings: &[&str]) -> Vec<Value> {
    let mut helm = Command::new(installed("target/kube/helm"));
    helm.args(["template", "picker", "--namespace", "llm-picker"]);
    helm.arg(root().join("envoy/chart"));
    for setting in settings {
        helm.args(["--set-json", setting]);
    }
    let output = helm.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    objects(&String::from_utf8(output.stdout).unwrap())
}

/// The documents of a YAML stream.
pub(super) fn objects(yaml: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(yaml).unwrap_or_else(|error| panic!("{error}"))
}

/// A tool that `./build.sh test` installs.
pub(super) fn installed(path: &str) -> PathBuf {
    let file = root().join(path);
    assert!(file.is_file(), "{path} is missing: run ./build.sh test once");
    file
}

pub(super) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The text at a JSON pointer.
pub(super) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_else(|| panic!("no text at {pointer} in {value}"))
}
