//! The configuration file: YAML, of which JSON is a part.
//!
//! A part that is not understood is refused with its line, its path, the value found and the values
//! allowed, as in the plugin's configuration.

mod engines;
mod gateways;
mod pool;
mod tls;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use wire::{
    config::{At, ConfigDocument, ConfigError, Object},
    snapshot::is_object_name,
};

use crate::settings::{Gateways, PoolSettings, duration};
use gateways::GatewaysConfig;

/// Settings of the file. Flags and environment variables take precedence over them.
#[derive(Debug, Default)]
pub struct FileConfig {
    /// Field `listen`.
    pub listen: Option<SocketAddr>,
    /// Field `secretEnv`.
    pub secret_env: Option<String>,
    /// Field `secretFile`.
    pub secret_file: Option<PathBuf>,
    /// Field `interval`.
    pub interval: Option<Duration>,
    /// Field `idleInterval`.
    pub idle_interval: Option<Duration>,
    /// Field `timeout`.
    pub timeout: Option<Duration>,
    /// Field `concurrentScrapes`.
    pub scrapes: Option<u32>,
    /// Field `kubeconfig`.
    pub kubeconfig: Option<PathBuf>,
    /// Field `gateways`.
    pub gateways: Gateways,
    /// Field `gateways.pull`.
    pub pull: bool,
    /// Field `plugin`.
    pub plugin: Option<PathBuf>,
    /// Field `pools`.
    pub pools: Vec<PoolSettings>,
}

/// Reads the file at `path`.
///
/// # Errors
/// If it can't be read, or for all that is not understood of it: each on a line of its own.
pub fn load(path: &Path) -> Result<FileConfig, String> {
    let name = path.display().to_string();
    let bytes = std::fs::read(path).map_err(|why| format!("{name}: {why}"))?;
    let text = String::from_utf8(bytes).map_err(|_| format!("{name}: must be UTF-8"))?;
    parse(&name, &text)
}

/// Reads the text of a file of that name.
///
/// # Errors
/// If the text is no YAML, or for all that is not understood of it: each on a line of its own.
pub fn parse(name: &str, text: &str) -> Result<FileConfig, String> {
    let document = ConfigDocument::read(text).map_err(|why| why.refusal(name))?;
    document.gathered(read).read.map_err(|refused| document.refusal(name, &refused))
}

const KEYS: [&str; 11] = [
    "listen",
    "secretEnv",
    "secretFile",
    "interval",
    "idleInterval",
    "timeout",
    "concurrentScrapes",
    "kubeconfig",
    "gateways",
    "plugin",
    "pools",
];

/// Reads the settings.
pub(crate) fn read(root: &At<'_>) -> Result<FileConfig, ConfigError> {
    let object = root.object(&KEYS)?;
    let GatewaysConfig { gateways, pull } =
        object.read("gateways", GatewaysConfig::default(), gateways::read)?;
    Ok(FileConfig {
        listen: optional(&object, "listen", parsed)?,
        secret_env: optional(&object, "secretEnv", |at| at.text().map(str::to_owned))?,
        secret_file: optional(&object, "secretFile", |at| at.text().map(PathBuf::from))?,
        interval: optional(&object, "interval", |at| checked(at, duration))?,
        idle_interval: optional(&object, "idleInterval", |at| checked(at, duration))?,
        timeout: optional(&object, "timeout", |at| checked(at, duration))?,
        scrapes: optional(&object, "concurrentScrapes", |at| at.whole(1, 4096))?,
        kubeconfig: optional(&object, "kubeconfig", |at| at.text().map(Into::into))?,
        gateways,
        pull,
        plugin: optional(&object, "plugin", |at| at.text().map(PathBuf::from))?,
        pools: object.read("pools", Vec::new(), pool::read_all)?,
    })
}

fn optional<T>(
    object: &Object<'_>,
    key: &str,
    read: impl FnOnce(&At<'_>) -> Result<T, ConfigError>,
) -> Result<Option<T>, ConfigError> {
    object.read(key, None, |at| read(at).map(Some))
}

/// Reads a string by a reader that returns its own error text.
fn checked<T>(at: &At<'_>, read: impl FnOnce(&str) -> Result<T, String>) -> Result<T, ConfigError> {
    read(at.text()?).map_err(|why| at.problem(why))
}

fn port(at: &At<'_>) -> Result<u16, ConfigError> {
    let port = at.whole(1, u32::from(u16::MAX))?;
    u16::try_from(port).map_err(|_| at.refuse("a port"))
}

/// Reads a name that goes into paths and selectors of the API server.
fn object_name(at: &At<'_>) -> Result<String, ConfigError> {
    match at.text()? {
        name if is_object_name(name) => Ok(name.to_owned()),
        _ => Err(at.refuse("a Kubernetes object's name: 1 to 253 of a-z 0-9 - .")),
    }
}

fn parsed(at: &At<'_>) -> Result<SocketAddr, ConfigError> {
    at.text()?.parse().map_err(|_| at.refuse("IP:PORT"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_pools() {
        let file = parse(
            "s.yaml",
            "listen: 0.0.0.0:9091
interval: 50ms
kubeconfig: /k
gateways:
  urls: [http://10.0.0.1:15080, http://gateway]
  service: {name: gateway-ingest, port: 15080}
pools:
- name: chat
  endpoints: [10.1.0.1:8000, vllm.chat.svc:8000]
  objectives: [{name: paid, priority: 10}, {name: batch, priority: -5}]
- name: code
  endpointsFile: /etc/llm-scraper/code
  metrics: {scheme: https, insecureSkipVerify: true, port: 8443}
- inferencePool: {name: qwen, namespace: demo}
  defaultEngine: mine
  engineConfigs: [{name: mine, queuedRequestsSpec: q, runningRequestsSpec: 'r{a=b}'}]
- name: llama
  pods: {labels: {app: llama}, port: 8000, namespace: demo}
",
        )
        .unwrap();
        let pools = file.pools.iter().map(|it| {
            let labels = [("llm-d.ai/engine-type".to_owned(), String::new())];
            let engine = it.engines.for_labels(&labels).name.clone();
            format!("{} {engine} {:?} {:?} {:?}", it.name, it.discovery, it.source, it.objectives)
        });
        let lines: Vec<_> =
            [format!("{:?} {:?}", file.interval, file.gateways)].into_iter().chain(pools).collect();
        insta::assert_snapshot!(lines.join("\n"), @r#"
        Some(50ms) Gateways { urls: [EnvoyUrl { https: false, authority: "10.0.0.1:15080" }, EnvoyUrl { https: false, authority: "gateway:80" }], service: Some(GatewayService { name: "gateway-ingest", namespace: None, port: Some(15080), kubeconfig: None }), tls: None }
        chat vllm Listed(ListedEndpoints { endpoints: [Target { authority: "10.1.0.1:8000", labels: [] }, Target { authority: "vllm.chat.svc:8000", labels: [] }], file: None }) MetricsSource { path: None, port: None, tls: None } Objectives([Objective { name: "batch", priority: Priority(-5) }, Objective { name: "paid", priority: Priority(10) }])
        code vllm Listed(ListedEndpoints { endpoints: [], file: Some("/etc/llm-scraper/code") }) MetricsSource { path: None, port: Some(8443), tls: Some(TlsSettings { ca: None, client: None, server_name: None }) } Objectives([])
        qwen mine InferencePool(InferencePool { name: "qwen", namespace: Some("demo"), kubeconfig: None, node_zones: false }) MetricsSource { path: None, port: None, tls: None } Objectives([])
        llama vllm Pods(SelectedPods { labels: {"app": "llama"}, port: 8000, namespace: Some("demo"), kubeconfig: None, node_zones: false }) MetricsSource { path: None, port: None, tls: None } Objectives([])
        "#);
    }

    #[test]
    fn a_known_engine_is_told_what_is_different_only() {
        let custom = "customMetrics: [{attributeKey: heat, metricSpec: 'my:heat{kind=gpu}'}]";
        let text =
            format!("pools: [{{endpoints: [a:1], engineConfigs: [{{name: vllm, {custom}}}]}}]");
        let engine = parse("s.yaml", &text).unwrap().pools.first().unwrap().engines.for_labels(&[]);
        let custom = vec![("heat".to_owned(), "my:heat{kind=gpu}".parse().unwrap())];
        assert_eq!(*engine, wire::metrics::Engine { custom, ..wire::metrics::Engine::vllm() });
    }

    #[test]
    fn nothing_of_a_name_makes_another_path_or_selector() {
        for pool in [
            "inferencePool: {name: a, namespace: b/c}",
            "pods: {labels: {app: a}, port: 1, namespace: 'b,c'}",
            "pods: {labels: {'app,b': a}, port: 1}",
            "pods: {labels: {app: 'a,b!=c'}, port: 1}",
        ] {
            let said = parse("s.yaml", &format!("pools: [{{{pool}}}]")).unwrap_err();
            assert!(said.contains("must be"), "{pool}: {said}");
        }
        let service = "gateways: {service: {name: 'a,b'}}\npools: [{endpoints: [a:1]}]";
        assert!(parse("s.yaml", service).is_err());
        let good = "pools: [{pods: {labels: {x.io/a_b: 'C-1.d', c: ''}, port: 1}}]";
        let said = parse("s.yaml", good).err();
        assert!(said.as_ref().is_none_or(|it| it.contains("not empty")), "{said:?}");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let texts = [
            "pools: [",
            "pools: {}",
            "intervall: 50ms",
            "interval: 50",
            "interval: 2h",
            "listen: localhost",
            "gateways: {urls: [https://a/b]}",
            "pools: [{name: a/b, endpoints: [c:1]}]",
            "pools: [{name: a, endpoints: [10.0.0.1]}]",
            "pools: [{name: a}]",
            "pools: [{endpoints: [a:1], inferencePool: {name: a}}]",
            "pools: [{pods: {labels: {a: b}, port: 1}, inferencePool: {name: a}}]",
            "pools: [{pods: {labels: {}, port: 8000}}]",
            "pools: [{pods: {labels: {a: b}}}]",
            "pools: [{endpoints: [a:1], defaultEngine: b}]",
            "pools: [{endpoints: [a:1], engineConfigs: [{name: b}]}]",
            "pools: [{endpoints: [a:1], engineConfigs: [{name: vllm, customMetrics: [{attributeKey: a, metricSpec: m}, {attributeKey: a, metricSpec: n}]}]}]",
            "pools: [{endpoints: [a:1], metrics: {path: stats, port: 8443}}]",
            "pools: [{endpoints: [a:1], metrics: {port: 0}}]",
            "pools: [{endpoints: [a:1], metrics: {scheme: https}}]",
            "pools: [{endpoints: [a:1], metrics: {caCertPath: /x}}]",
            "pools: [{endpoints: [a:1], metrics: {scheme: https, caCertPath: /nowhere}}]",
            "gateways: {urls: ['https://a']}",
            "pools: [{name: a, endpoints: [b:1]}, {name: a, endpoints: [b:1]}]",
            "pools: [{name: a, endpoints: [b:1], objectives: [{name: A}]}]",
        ];
        let said: Vec<_> = texts.iter().map(|text| parse("s.yaml", text).unwrap_err()).collect();
        insta::assert_snapshot!(said.join("\n"), @r#"
        s.yaml:1:8: must be YAML or JSON: unclosed bracket '['
        s.yaml:1:8: invalid pools (an object): must be a list
        s.yaml:1:1: invalid intervall: must be a known field; did you mean "interval"? allowed: interval, idleInterval, gateways, listen, secretEnv, secretFile, timeout, pools, kubeconfig, plugin, concurrentScrapes
        s.yaml:1:11: invalid interval 50: must be a string that is not empty
        s.yaml:1:1: invalid interval: found "2h"; allowed: a number with a unit, as in 50ms or 1s, from 1ms to 1h
        s.yaml:1:9: invalid listen "localhost": must be IP:PORT
        s.yaml:1:19: invalid gateways.urls[0]: invalid gateway URL "https://a/b": must end with its host and port, without a path
        s.yaml:1:10: invalid pools[0].name: found "a/b"; allowed: 1 to 63 of A-Z a-z 0-9 . _ -
        s.yaml:1:31: invalid pools[0].endpoints[0]: invalid endpoint "10.0.0.1": must be HOST:PORT; found no port
        s.yaml:1:9: invalid pools[0]: must have one source of endpoints; allowed: inferencePool, pods, or endpoints and endpointsFile
        s.yaml:1:9: invalid pools[0]: must have one source of endpoints; allowed: inferencePool, pods, or endpoints and endpointsFile
        s.yaml:1:9: invalid pools[0]: must have one source of endpoints; allowed: inferencePool, pods, or endpoints and endpointsFile
        s.yaml:1:25: invalid pools[0].pods.labels (an object): must be 1 to 32 labels: without any, every pod would be selected
        s.yaml:1:16: invalid pools[0].pods.port: must not be left out
        s.yaml:1:28: invalid pools[0].defaultEngine: must be a known engine, not "b"; allowed: vllm, sglang, trtllm-serve, triton-tensorrt-llm, triton
        s.yaml:1:44: invalid pools[0].engineConfigs[0].queuedRequestsSpec: must not be left out
        s.yaml:1:122: invalid pools[0].engineConfigs[0].customMetrics[1].attributeKey "a": must be keys of 1 to 63 bytes that differ
        s.yaml:1:44: invalid pools[0].metrics.path "stats": must be a path that begins with /
        s.yaml:1:44: invalid pools[0].metrics.port 0: must be a whole number from 1 to 65535
        s.yaml:1:28: invalid pools[0].metrics: invalid HTTPS: must have either caCertPath or insecureSkipVerify: true
        s.yaml:1:38: invalid pools[0].metrics.caCertPath: found without TLS; allowed: with scheme: https
        s.yaml:1:28: invalid pools[0].metrics: /nowhere: I/O error: No such file or directory (os error 2)
        s.yaml:1:1: invalid gateways: found an https:// URL without tls; allowed: with tls
        s.yaml:1:38: invalid pools[1]: found the name "a" twice; allowed: one pool of each name
        s.yaml:1:57: invalid pools[0].objectives[0].name "A": must be a Kubernetes object's name: 1 to 253 of a-z 0-9 - .
        "#);
    }
}
