//! The state of a cluster with Istio's gateways before a picker is installed: CRDs, istiod, a Gateway's class.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use tokio::{process::Command, time::sleep};

use crate::{api::Api, control_plane::ControlPlane, process::run, programs::Programs};

/// Time that istiod may take until it is ready.
const STARTUP: Duration = Duration::from_secs(90);

const POLL: Duration = Duration::from_millis(200);

/// Settings of istiod that a stock Envoy needs, which lacks Istio's own filters: metadata exchange, ALPN and statistics of its
/// own. Without them there is no automatic mTLS either. Connections to a listener that changed are closed within 5 s instead of
/// 45 s, so that stories see all of them change.
const VALUES: &str = r#"{
    "autoscaleEnabled": false,
    "pilot": {"autoscaleEnabled": false, "resources": {"requests": {"cpu": "10m"}}},
    "env": {
        "ENABLE_GATEWAY_API_INFERENCE_EXTENSION": "true",
        "PILOT_ENABLE_METADATA_EXCHANGE": "false",
        "PILOT_ENABLE_ALPN_FILTER": "false"
    },
    "telemetry": {"enabled": false},
    "meshConfig": {
        "enableAutoMtls": false,
        "defaultConfig": {"concurrency": 2, "drainDuration": "5s", "terminationDrainDuration": "8s"}
    }
}"#;

/// Installs the CRDs and istiod, and returns once it is ready.
pub(crate) async fn install(programs: &Programs, api: &Api, plane: &ControlPlane) -> Result<()> {
    let crds = ["gateway-api", "istio/crds"].map(|name| programs.parts.join(name));
    let mut apply = kubectl(programs, plane);
    apply.args(["apply", "--server-side"]);
    for folder in crds {
        apply.arg("-f").arg(folder);
    }
    run(&mut apply).await?;
    let mut helm = Command::new(&programs.helm);
    let chart: PathBuf = programs.parts.join("istio/istio-discovery");
    helm.args(["install", "istiod"]).arg(chart);
    helm.args(["--namespace", "istio-system", "--create-namespace"]);
    helm.args(["--set-json", &values(programs)?]).envs(plane.environment());
    run(&mut helm).await?;
    let begun = Instant::now();
    while !is_ready(api).await? {
        ensure!(begun.elapsed() < STARTUP, "istiod is not ready: look at its pod's log");
        sleep(POLL).await;
    }
    Ok(())
}

/// Returns istiod's values, as helm takes them: one `key=JSON` behind the other.
fn values(programs: &Programs) -> Result<String> {
    let mut values: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(VALUES).context("VALUES")?;
    let config = values.get_mut("meshConfig").and_then(|it| it.get_mut("defaultConfig"));
    let config = config.and_then(serde_json::Value::as_object_mut).context("defaultConfig")?;
    config.insert("binaryPath".to_owned(), programs.envoy.display().to_string().into());
    let template = programs.parts.join("istio/envoy_bootstrap.json").display().to_string();
    config.insert("proxyBootstrapTemplatePath".to_owned(), template.into());
    let lines = values.iter().map(|(key, value)| format!("{key}={value}"));
    Ok(lines.collect::<Vec<_>>().join(","))
}

async fn is_ready(api: &Api) -> Result<bool> {
    let path = "/apis/apps/v1/namespaces/istio-system/deployments/istiod";
    let deployment = api.get(path).await?.unwrap_or_default();
    Ok(deployment.pointer("/status/readyReplicas").is_some_and(|count| *count == 1))
}

fn kubectl(programs: &Programs, plane: &ControlPlane) -> Command {
    let mut kubectl = Command::new(&programs.kubectl);
    kubectl.envs(plane.environment());
    kubectl
}
