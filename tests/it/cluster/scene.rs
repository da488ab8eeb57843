//! The beginning of a story: a gateway with a model behind it, and no picker.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may panic")]

use std::{thread::sleep, time::Duration};

use super::{
    documented::command,
    load::{Outcome, Picked, ask},
    world::{Cluster, checksum, until},
};

/// Path of a chat request behind a Service.
pub(super) const CHAT: &str = "/v1/chat/completions";

/// Path of a chat request behind an InferencePool, as KServe's route has it.
pub(super) const POOL_CHAT: &str = "/models/qwen/v1/chat/completions";

/// Path of another team's chat requests.
pub(super) const OTHER_CHAT: &str = "/other/v1/chat/completions";

/// Time within which a change has reached every connection of a gateway: istiod waits for 0.1 s, and Envoy closes the connections
/// of a listener that drains within the 5 s that the mesh's configuration gives it. With less, a client on a busy machine meets the
/// close of its connection.
const SETTLED: Duration = Duration::from_secs(6);

/// Namespaces of a scene, which go with it.
const NAMESPACES: &str = "istio-ingress models llm-picker";

/// A gateway with a model behind it. Dropping it takes everything away again.
pub(super) struct Scene {
    pub(super) cluster: Cluster,
}

impl Scene {
    /// A model behind its Service.
    pub(super) fn of_service() -> Self {
        let scene = Self::with(&["gateway.yaml", "service-route.yaml"]);
        scene.until_picked(CHAT, Picked::Nobody);
        scene
    }

    /// A model behind an InferencePool, whose EPP decides.
    pub(super) fn of_pool() -> Self {
        let cluster = Cluster::here();
        let definitions = cluster.part("inference-v1.5.0");
        cluster.kubectl(&format!("apply --server-side -f {definitions}"));
        let scene = Self::with(&["gateway.yaml", "pool.yaml"]);
        scene.until_picked(POOL_CHAT, Picked::Epp);
        scene
    }

    fn with(files: &[&str]) -> Self {
        let scene = Self { cluster: Cluster::here() };
        files.iter().for_each(|file| scene.cluster.apply(file));
        scene
            .cluster
            .kubectl("wait -n models --for condition=Available deployment/qwen --timeout 240s");
        scene
    }

    /// Installs the chart by the command of docs/istio.md, with more words behind it. No registry has the images: the scraper
    /// serves the plugin.
    pub(super) fn install(&self, more: &[&str]) -> Result<String, String> {
        let install = command("istio.md", "helm install picker ");
        self.cluster.shell(&format!("{install} {} {}", self.images(), more.join(" ")))
    }

    /// Takes a step beside the EPP, by the command of docs/beside-epp.md.
    pub(super) fn step(&self, epp: &str) -> Result<String, String> {
        self.step_with(epp, "")
    }

    /// Takes a step beside the EPP as [`step`](Self::step) does, with more words behind it.
    pub(super) fn step_with(&self, epp: &str, more: &str) -> Result<String, String> {
        let step = command("beside-epp.md", "helm upgrade --install picker ");
        let step = step.replace("epp=lookOn", &format!("epp={epp}"));
        self.cluster.shell(&format!("{step} {} {more}", self.images()))
    }

    /// Upgrades the release with what changed.
    pub(super) fn upgrade(&self, more: &[&str]) -> Result<String, String> {
        let chart = self.cluster.chart();
        let upgrade = format!("helm upgrade picker {chart} --namespace llm-picker --reuse-values");
        self.cluster.shell(&format!("{upgrade} {}", more.join(" ")))
    }

    fn images(&self) -> String {
        let checksum = checksum(&self.cluster.plugin());
        format!(
            "--set picker.image.fromScraper=true,picker.image.sha256={checksum},picker.decisionHeader=true \
             --timeout 240s"
        )
    }

    /// Lets the Gateway name its environment, by the command of docs/istio.md, and waits for its new pods.
    pub(super) fn name_environment(&self) {
        let patch = command(
            "istio.md",
            "kubectl -n istio-ingress patch gateway inference-gateway --type merge",
        );
        self.cluster.shell(&patch).unwrap();
        self.until_environment();
    }

    /// Waits until the gateway's pods have the environment that the Gateway names.
    pub(super) fn until_environment(&self) {
        until("the gateway's Deployment has the environment", || {
            let deployment =
                self.cluster.get("deployment -n istio-ingress inference-gateway-istio");
            let text = deployment.to_string();
            text.contains("LLM_PICKER_SECRET").then_some(()).ok_or("no such variable")
        });
        self.cluster.kubectl(
            "rollout status -n istio-ingress deployment/inference-gateway-istio --timeout 240s",
        );
    }

    /// Makes the gateway's pods anew, and waits for them.
    pub(super) fn restart_gateway(&self) {
        for what in ["restart", "status --timeout 240s"] {
            let line =
                format!("rollout {what} -n istio-ingress deployment/inference-gateway-istio");
            self.cluster.kubectl(&line);
        }
    }

    /// Uninstalls the release, by the commands of docs/istio.md.
    pub(super) fn uninstall(&self) {
        for beginning in [
            "kubectl -n istio-ingress patch gateway inference-gateway --type json",
            "helm uninstall picker",
        ] {
            self.cluster
                .shell(&command("istio.md", beginning))
                .unwrap_or_else(|said| panic!("{said}"));
        }
    }

    /// Asks until requests are picked so, ten times in a row.
    pub(super) fn until_picked(&self, path: &'static str, picked: Picked) {
        let wanted = Outcome::Served(picked);
        until(&format!("{path} is picked by {picked:?}"), || {
            let other =
                (0..10).map(|_| ask(&self.cluster, path)).find(|outcome| *outcome != wanted);
            other.map_or(Ok(()), Err)
        });
    }
}

/// Waits until what was changed before is in force on every connection.
pub(super) fn settle() {
    sleep(SETTLED);
}

impl Drop for Scene {
    fn drop(&mut self) {
        // What a story has not installed cannot be uninstalled.
        let _ =
            self.cluster.helm(&["uninstall", "picker", "--namespace", "llm-picker", "--no-hooks"]);
        // Nobody asks any more: a gateway need not drain.
        self.cluster.kubectl("delete pods -n istio-ingress --all --grace-period 1 --wait=false");
        self.cluster
            .kubectl(&format!("delete namespace --ignore-not-found --timeout 240s {NAMESPACES}"));
    }
}
