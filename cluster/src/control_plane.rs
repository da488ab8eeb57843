//! etcd, the API server and the controller manager.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use tokio::{
    process::{Child, Command},
    time::sleep,
};

use crate::{pki, process, programs::Programs};

/// Address of the machine in the cluster's network, on the bridge that `tools/cluster/inside.sh` makes.
pub(crate) const HOST: &str = "10.77.0.1";

/// Port of the API server.
pub(crate) const API_PORT: &str = "6443";

/// Time that the API server may take until it is ready: it takes 3 s on a machine of its own.
const STARTUP: Duration = Duration::from_secs(90);

/// Time between two questions whether something is ready.
const POLL: Duration = Duration::from_millis(200);

/// Controllers that the charts and the stories need; each other costs memory and a second of the start.
const CONTROLLERS: &str = "--controllers=endpointslice-controller,namespace-controller,serviceaccount-controller,\
    root-ca-certificate-publisher-controller,garbage-collector-controller,deployment-controller,replicaset-controller,\
    job-controller,ttl-after-finished-controller,disruption-controller";

/// Policy of the audit log, which has the requests of the scraper alone.
const AUDIT: &str = r#"{
    "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "Metadata", "users": ["system:serviceaccount:llm-picker:picker-scraper"]},
        {"level": "None"}
    ]
}"#;

/// A control plane that runs as long as this is kept.
#[derive(Debug)]
pub(crate) struct ControlPlane {
    pub(crate) kubeconfig: PathBuf,
    folder: PathBuf,
    _processes: Vec<Child>,
}

/// Starts a control plane with its files below `folder`, and returns once the API server is ready.
pub(crate) async fn start(programs: &Programs, folder: &Path) -> Result<ControlPlane> {
    let (keys, logs) = (folder.join("keys"), folder.join("logs"));
    for made in [&keys, &logs] {
        fs::create_dir_all(made).with_context(|| made.display().to_string())?;
    }
    let server = format!("https://{HOST}:{API_PORT}");
    pki::write(&keys, &server, &[HOST, "127.0.0.1", "localhost", "kubernetes.default.svc"])?;
    fs::write(folder.join("audit.json"), AUDIT)?;
    let kubeconfig = keys.join("kubeconfig");
    let mut processes = Vec::new();
    for (name, args) in [
        ("etcd", etcd(&folder.join("etcd"))),
        ("kube-apiserver", api_server(&keys, folder)),
        ("kube-controller-manager", controller_manager(&keys)),
    ] {
        let log = logs.join(format!("{name}.log"));
        processes.push(process::start(&log, &programs.bin.join(name), &args)?);
        if name == "kube-apiserver" {
            ready(programs, &kubeconfig, &log).await?;
        }
    }
    Ok(ControlPlane { kubeconfig, folder: folder.to_owned(), _processes: processes })
}

impl ControlPlane {
    /// Returns what a command over the cluster has in its environment.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        let of = |name: &str, path: &Path| (name.to_owned(), path.display().to_string());
        vec![
            of("KUBECONFIG", &self.kubeconfig),
            of("LLM_PICKER_CLUSTER", &self.folder),
            of("HELM_CACHE_HOME", &self.folder.join("helm")),
            // Another cluster at the same address has other kinds.
            of("KUBECACHEDIR", &self.folder.join("kubectl")),
        ]
    }
}

async fn ready(programs: &Programs, kubeconfig: &Path, log: &Path) -> Result<()> {
    let begun = Instant::now();
    loop {
        let mut ask = Command::new(&programs.kubectl);
        ask.arg("--kubeconfig").arg(kubeconfig).args(["get", "--raw", "/readyz"]);
        match process::run(&mut ask).await {
            Ok(_) => return Ok(()),
            Err(error) if begun.elapsed() > STARTUP => {
                bail!("the API server is not ready: {error:#}; its log: {}", log.display())
            }
            Err(_) => sleep(POLL).await,
        }
    }
}

fn etcd(data: &Path) -> Vec<String> {
    let client = "http://127.0.0.1:2379";
    let peer = "http://127.0.0.1:2380";
    vec![
        format!("--data-dir={}", data.display()),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
        "--log-level=warn".to_owned(),
        // A cluster lives for minutes: what is lost with the machine is no loss.
        "--unsafe-no-fsync".to_owned(),
    ]
}

fn api_server(keys: &Path, folder: &Path) -> Vec<String> {
    let file = |name: &str| keys.join(name).display().to_string();
    vec![
        "--etcd-servers=http://127.0.0.1:2379".to_owned(),
        format!("--bind-address={HOST}"),
        format!("--advertise-address={HOST}"),
        format!("--secure-port={API_PORT}"),
        format!("--tls-cert-file={}", file("apiserver.crt")),
        format!("--tls-private-key-file={}", file("apiserver.key")),
        format!("--client-ca-file={}", file("ca.crt")),
        format!("--service-account-key-file={}", file("accounts.pub")),
        format!("--service-account-signing-key-file={}", file("accounts.key")),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
        "--authorization-mode=Node,RBAC".to_owned(),
        // Asks etcd for progress of watches that 3.5.1 does not tell.
        "--feature-gates=SizeBasedListCostEstimate=false".to_owned(),
        format!("--audit-policy-file={}", folder.join("audit.json").display()),
        format!("--audit-log-path={}", folder.join("logs/audit.log").display()),
        // A webhook is called at its Service's own address, which nothing serves here.
        "--disable-admission-plugins=MutatingAdmissionWebhook,ValidatingAdmissionWebhook"
            .to_owned(),
    ]
}

fn controller_manager(keys: &Path) -> Vec<String> {
    let file = |name: &str| keys.join(name).display().to_string();
    vec![
        format!("--kubeconfig={}", file("kubeconfig")),
        format!("--service-account-private-key-file={}", file("accounts.key")),
        format!("--root-ca-file={}", file("ca.crt")),
        "--leader-elect=false".to_owned(),
        "--bind-address=127.0.0.1".to_owned(),
        "--use-service-account-credentials=false".to_owned(),
        CONTROLLERS.to_owned(),
    ]
}
