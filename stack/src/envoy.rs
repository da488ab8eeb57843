//! A running Envoy, and the questions to its admin interface.

use std::{fs, net::SocketAddr, path::Path};

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::{
    Programs,
    child::{Child, POLL, Program, STARTUP},
    http,
};

/// Variables with the secrets that Envoy's ingest takes.
pub(crate) const SECRET_ENVS: [&str; 2] = ["LLM_PICKER_SECRET", "LLM_PICKER_SECRET_NEXT"];

/// The description of an Envoy to start.
#[derive(Debug)]
pub(crate) struct EnvoyLaunch<'a> {
    /// Name for the table and the log.
    pub(crate) name: String,
    /// Folder of its files.
    pub(crate) dir: &'a Path,
    /// The bootstrap.
    pub(crate) yaml: &'a str,
    /// Number of worker threads.
    pub(crate) workers: usize,
    /// Variables of its environment.
    pub(crate) env: Vec<(&'static str, String)>,
}

/// A running Envoy.
#[derive(Debug)]
pub(crate) struct Envoy {
    pub(crate) child: Child,
    pub(crate) gateway: SocketAddr,
    pub(crate) ingest: SocketAddr,
    pub(crate) admin: SocketAddr,
}

impl Envoy {
    /// Starts Envoy as described, and waits until it accepts requests.
    pub(crate) async fn start(programs: &Programs, launch: EnvoyLaunch<'_>) -> Result<Self> {
        let EnvoyLaunch { name, dir, yaml, workers, env } = launch;
        let bootstrap = dir.join("envoy.yaml");
        fs::write(&bootstrap, yaml).with_context(|| bootstrap.display().to_string())?;
        let admin_path = dir.join("envoy-admin");
        // Of an Envoy that was here before.
        let _ = fs::remove_file(&admin_path);
        let workers = workers.to_string();
        let program = Program {
            name,
            file: &programs.envoy,
            args: vec![
                "--config-path".into(),
                bootstrap.into(),
                "--admin-address-path".into(),
                admin_path.clone().into(),
                "--concurrency".into(),
                workers.into(),
                // An Envoy is never handed over; without this two of them would share memory.
                "--disable-hot-restart".into(),
                // Access logs are written this often, and not every ten seconds, as they are looked at.
                "--file-flush-interval-msec".into(),
                "250".into(),
                "--log-level".into(),
                "warning".into(),
                "--component-log-level".into(),
                "wasm:info".into(),
            ],
            env,
        };
        let mut child = program.start(dir)?;
        let admin = ready(&mut child, &admin_path).await?;
        let gateway = listener(admin, "gateway").await?;
        let ingest = listener(admin, "ingest").await?;
        Ok(Self { child, gateway, ingest, admin })
    }

    /// Returns the address of the listener of that name.
    pub(crate) async fn listener(&self, name: &str) -> Result<SocketAddr> {
        listener(self.admin, name).await
    }

    /// Returns the number of snapshots that Envoy has taken.
    pub(crate) async fn pushes(&self) -> Result<u64> {
        let path = "/stats?filter=^http.ingest.downstream_rq_2xx$";
        let stats = http::get(self.admin, path).await?.body;
        let count = stats.trim().rsplit(' ').next().and_then(|count| count.parse().ok());
        count.with_context(|| format!("Envoy does not count pushes: {stats}"))
    }

    /// Waits until Envoy has taken so many snapshots; false if that takes too long.
    pub(crate) async fn wait_for_pushes(&mut self, count: u64) -> Result<bool> {
        let deadline = Instant::now() + STARTUP;
        while Instant::now() < deadline {
            self.child.ensure_alive()?;
            if self.pushes().await? >= count {
                return Ok(true);
            }
            sleep(POLL).await;
        }
        Ok(false)
    }
}

/// Returns the admin interface's address, once `/ready` says yes.
async fn ready(child: &mut Child, admin_path: &Path) -> Result<SocketAddr> {
    let deadline = Instant::now() + STARTUP;
    while Instant::now() < deadline {
        child.ensure_alive()?;
        let admin = fs::read_to_string(admin_path).ok().and_then(|text| text.trim().parse().ok());
        if let Some(admin) = admin
            && http::get(admin, "/ready").await.is_ok_and(|answer| answer.status == 200)
        {
            return Ok(admin);
        }
        sleep(POLL).await;
    }
    Err(child.failure("did not become ready"))
}

async fn listener(admin: SocketAddr, name: &str) -> Result<SocketAddr> {
    bound(&http::get(admin, "/listeners?format=json").await?.body, name)
}

/// Returns the address of the listener called `name`, from the admin interface's list.
fn bound(listeners: &str, name: &str) -> Result<SocketAddr> {
    let list: Value = serde_json::from_str(listeners).context("Envoy's list of listeners")?;
    let statuses = list.get("listener_statuses").and_then(Value::as_array);
    let listener = statuses
        .and_then(|all| all.iter().find(|one| one.get("name") == Some(&Value::from(name))))
        .with_context(|| format!("Envoy has no listener {name}"))?;
    let socket = listener.pointer("/local_address/socket_address");
    let ip = socket.and_then(|socket| socket.get("address")).and_then(Value::as_str);
    let port = socket.and_then(|socket| socket.get("port_value")).and_then(Value::as_u64);
    let (ip, port) = ip.zip(port).with_context(|| format!("listener {name} has no address"))?;
    Ok(SocketAddr::new(ip.parse()?, u16::try_from(port)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_found_by_name() {
        let listeners = r#"{"listener_statuses": [
            {"name": "ingest", "local_address": {"socket_address": {"address": "127.0.0.1", "port_value": 1}}},
            {"name": "gateway", "local_address": {"socket_address": {"address": "127.0.0.1", "port_value": 2}}}]}"#;
        assert_eq!(bound(listeners, "gateway").unwrap().port(), 2);
        let error = bound(listeners, "other").unwrap_err();
        insta::assert_snapshot!(error, @"Envoy has no listener other");
    }
}
