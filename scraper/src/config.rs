//! The configuration file: YAML, of which JSON is a part.
//!
//! What is not understood is refused with the path to it, what was found and what is allowed, as in
//! the plugin's configuration.

mod engines;
mod pool;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::Value;
use wire::config::{At, ConfigError, Object};

use crate::settings::{EnvoyUrl, PoolSettings, duration};

/// Bytes of the file: a ConfigMap's limit.
const FILE_BYTES_MAX: usize = 1 << 20;

/// What the file says; flags and environment variables come before it.
#[derive(Debug, Default)]
pub struct FileConfig {
    /// `listen`.
    pub listen: Option<SocketAddr>,
    /// `secretEnv`.
    pub secret_env: Option<String>,
    /// `interval`.
    pub interval: Option<Duration>,
    /// `idleInterval`.
    pub idle_interval: Option<Duration>,
    /// `timeout`.
    pub timeout: Option<Duration>,
    /// `concurrentScrapes`.
    pub scrapes: Option<u32>,
    /// `gateways.urls`.
    pub envoys: Vec<EnvoyUrl>,
    /// `gateways.pull`.
    pub pull: bool,
    /// `plugin`.
    pub plugin: Option<PathBuf>,
    /// `pools`.
    pub pools: Vec<PoolSettings>,
}

/// Reads the file at `path`.
///
/// # Errors
/// If it can't be read, or for the first thing in it that is not understood.
pub fn load(path: &Path) -> Result<FileConfig, String> {
    let fail = |why: String| format!("{}: {why}", path.display());
    let bytes = std::fs::read(path).map_err(|why| fail(why.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|_| fail("it is not UTF-8".to_owned()))?;
    parse(&text).map_err(fail)
}

/// Reads the text of a file.
///
/// # Errors
/// For what is no YAML, and for the first thing in it that is not understood.
pub fn parse(text: &str) -> Result<FileConfig, String> {
    if text.len() > FILE_BYTES_MAX {
        return Err(format!("it has {} bytes, and {FILE_BYTES_MAX} are allowed", text.len()));
    }
    let value: Value =
        serde_saphyr::from_str(text).map_err(|why| format!("it is no YAML: {why}"))?;
    read(&At::root(&value)).map_err(|why| why.to_string())
}

const KEYS: [&str; 9] = [
    "listen",
    "secretEnv",
    "interval",
    "idleInterval",
    "timeout",
    "concurrentScrapes",
    "gateways",
    "plugin",
    "pools",
];

fn read(root: &At<'_>) -> Result<FileConfig, ConfigError> {
    let object = root.object(&KEYS)?;
    let gateways = object.child("gateways", &["urls", "pull"])?;
    Ok(FileConfig {
        listen: optional(&object, "listen", parsed)?,
        secret_env: optional(&object, "secretEnv", |at| at.text().map(str::to_owned))?,
        interval: optional(&object, "interval", |at| checked(at, duration))?,
        idle_interval: optional(&object, "idleInterval", |at| checked(at, duration))?,
        timeout: optional(&object, "timeout", |at| checked(at, duration))?,
        envoys: envoys(&gateways)?,
        pull: gateways.read("pull", false, At::flag)?,
        plugin: optional(&object, "plugin", |at| at.text().map(PathBuf::from))?,
        scrapes: optional(&object, "concurrentScrapes", |at| at.whole(1, 4096))?,
        pools: object.read("pools", Vec::new(), pool::read_all)?,
    })
}

fn envoys(object: &Object<'_>) -> Result<Vec<EnvoyUrl>, ConfigError> {
    object.read("urls", Vec::new(), |at| {
        at.list()?.iter().map(|at| checked(at, str::parse)).collect()
    })
}

fn optional<T>(
    object: &Object<'_>,
    key: &str,
    read: impl FnOnce(&At<'_>) -> Result<T, ConfigError>,
) -> Result<Option<T>, ConfigError> {
    object.get(key).map(|at| read(&at)).transpose()
}

/// A string in a notation that says by itself what is wrong with it.
fn checked<T>(at: &At<'_>, read: impl FnOnce(&str) -> Result<T, String>) -> Result<T, ConfigError> {
    read(at.text()?).map_err(|why| at.problem(why))
}

fn port(at: &At<'_>) -> Result<u16, ConfigError> {
    let port = at.whole(1, u32::from(u16::MAX))?;
    u16::try_from(port).map_err(|_| at.refuse("a port"))
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
            "listen: 0.0.0.0:9091
interval: 50ms
gateways:
  urls: [http://10.0.0.1:15080, http://gateway]
pools:
- name: chat
  endpoints: [10.1.0.1:8000, vllm.chat.svc:8000]
  objectives: [{name: paid, priority: 10}, {name: batch, priority: -5}]
- name: code
  endpointsFile: /etc/llm-scraper/code
  metrics: {path: /stats, port: 8443}
- name: qwen
  endpoints: [10.1.0.1:8000]
  defaultEngine: mine
  engineConfigs: [{name: mine, queuedRequestsSpec: q, runningRequestsSpec: 'r{a=b}'}]
",
        )
        .unwrap();
        let pools = file.pools.iter().map(|it| {
            let labels = [("llm-d.ai/engine-type".to_owned(), String::new())];
            let engine = it.engines.of(&labels).name.clone();
            format!("{} {engine} {:?} {:?} {:?}", it.name, it.discovery, it.source, it.objectives)
        });
        let lines: Vec<_> =
            [format!("{:?} {:?}", file.interval, file.envoys)].into_iter().chain(pools).collect();
        insta::assert_snapshot!(lines.join("\n"), @r#"
        Some(50ms) [EnvoyUrl { authority: "10.0.0.1:15080" }, EnvoyUrl { authority: "gateway:80" }]
        chat vllm Listed(Listed { endpoints: [Target { authority: "10.1.0.1:8000", labels: [] }, Target { authority: "vllm.chat.svc:8000", labels: [] }], file: None }) MetricsSource { path: None, port: None } Objectives([Objective { name: "batch", priority: Priority(-5) }, Objective { name: "paid", priority: Priority(10) }])
        code vllm Listed(Listed { endpoints: [], file: Some("/etc/llm-scraper/code") }) MetricsSource { path: Some("/stats"), port: Some(8443) } Objectives([])
        qwen mine Listed(Listed { endpoints: [Target { authority: "10.1.0.1:8000", labels: [] }], file: None }) MetricsSource { path: None, port: None } Objectives([])
        "#);
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
            "pools: [{endpoints: [a:1], defaultEngine: b}]",
            "pools: [{endpoints: [a:1], engineConfigs: [{name: b}]}]",
            "pools: [{endpoints: [a:1], metrics: {path: stats, port: 8443}}]",
            "pools: [{endpoints: [a:1], metrics: {port: 0}}]",
            "pools: [{name: a, endpoints: [b:1]}, {name: a, endpoints: [b:1]}]",
            "pools: [{name: a, endpoints: [b:1], objectives: [{name: A}]}]",
        ];
        let said: Vec<_> = texts.iter().map(|text| parse(text).unwrap_err()).collect();
        insta::assert_snapshot!(said.join("\n"), @r#"
        it is no YAML: error: line 1 column 8: unclosed bracket '['
         --> <input>:1:8
          |
        1 | pools: [
          |        ^ unclosed bracket '['
        pools: found an object; allowed: a list
        configuration: found the unknown field "intervall"; allowed: listen, secretEnv, interval, idleInterval, timeout, concurrentScrapes, gateways, plugin, pools
        interval: found 50; allowed: a string that is not empty
        interval: found "2h"; allowed: a number with a unit, as in 50ms or 1s, from 1ms to 1h
        listen: found "localhost"; allowed: IP:PORT
        gateways.urls[0]: "https://a/b" is no Envoy: it must begin with http://
        pools[0].name: found "a/b"; allowed: 1 to 63 of A-Z a-z 0-9 . _ -
        pools[0].endpoints[0]: "10.0.0.1" is no HOST:PORT: there is no port
        pools[0]: it has no endpoints; allowed: endpoints, endpointsFile
        pools[0].defaultEngine: found "b"; allowed: vllm, sglang, trtllm-serve, triton-tensorrt-llm, triton
        pools[0].engineConfigs[0]: the field "queuedRequestsSpec" is missing
        pools[0].metrics.path: found "stats"; allowed: a path that begins with /
        pools[0].metrics.port: found 0; allowed: a whole number from 1 to 65535
        pools[1]: there are two pools named "a"
        pools[0].objectives[0].name: found "A"; allowed: a Kubernetes object's name: 1 to 253 of a-z 0-9 - .
        "#);
    }
}
