//! The settings for fetching snapshots, where the scraper may not connect to the gateway.

use std::time::Duration;

use super::{At, ConfigError, IngestConfig, ingest};

/// Placeholder of the pool's name in a path.
const POOL: &str = "{pool}";

/// Shortest time-out: the scraper waits up to a second for something new before it answers that
/// there is nothing.
const TIMEOUT_MIN: Duration = Duration::from_secs(2);

/// Longest time-out. A worker that dies is replaced as the fetching one after about this time.
const TIMEOUT_MAX: Duration = Duration::from_secs(60);

/// Settings for fetching snapshots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullConfig {
    /// Name of Envoy's cluster for the scraper's Service.
    pub cluster: String,
    /// Value of the request's `:authority`. By default the host in the cluster's name, where Istio
    /// made it.
    pub authority: String,
    /// Path at which the scraper serves the pool's snapshot.
    pub path: String,
    /// Longest time that an answer may take. By default 2 s.
    pub timeout: Duration,
    /// Settings by which snapshots are checked.
    pub ingest: IngestConfig,
}

pub(super) fn read(at: &At<'_>, pool: &str) -> Result<PullConfig, ConfigError> {
    let known = ["cluster", "authority", "path", "timeout", "secretEnv", "maxBytes"];
    let object = at.object(&known)?;
    let cluster = object.required("cluster")?.text()?;
    let path = object.read("path", "/v1/pools/{pool}/snapshot", path)?;
    let authority = object.read("authority", host(cluster), header_value)?;
    Ok(PullConfig {
        cluster: cluster.to_owned(),
        authority: authority.to_owned(),
        path: path.replace(POOL, pool),
        timeout: object.read("timeout", TIMEOUT_MIN, timeout)?,
        ingest: ingest(&object)?,
    })
}

fn path<'a>(at: &At<'a>) -> Result<&'a str, ConfigError> {
    let path = header_value(at)?;
    if path.starts_with('/') {
        return Ok(path);
    }
    Err(at.refuse("a path, which begins with a slash and may hold {pool}"))
}

/// Reads a value that cannot end a header line early.
fn header_value<'a>(at: &At<'a>) -> Result<&'a str, ConfigError> {
    let text = at.text()?;
    if text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(text);
    }
    Err(at.refuse("visible ASCII characters, no blanks"))
}

fn timeout(at: &At<'_>) -> Result<Duration, ConfigError> {
    let timeout = at.duration()?;
    if (TIMEOUT_MIN..=TIMEOUT_MAX).contains(&timeout) {
        return Ok(timeout);
    }
    Err(at.refuse("from 2s to 60s"))
}

/// Returns the host in a cluster's name; Istio's names are
/// `outbound|9091||scraper.llm-d.svc.cluster.local`.
fn host(cluster: &str) -> &str {
    cluster.rsplit('|').next().unwrap_or(cluster)
}
