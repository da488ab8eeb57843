//! An LLMInferenceService of OpenShift AI with authentication, two priorities and an EPP's configuration, from the empty cluster
//! to its load test, by the commands of docs/openshift.md.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may panic")]

use std::{fs, os::unix::fs::symlink, path::PathBuf, thread::sleep, time::Duration};

use super::{
    documented::commands,
    load::{Load, Outcome, Picked, Target, ask, failed, picked},
    scene::settle,
    world::{Cluster, checksum, say, until},
};

/// Service of the gateway that istiod makes for OpenShift AI's Gateway.
const GATEWAY: &str = "openshift-ai-inference-istio.openshift-ingress";

const CHAT: &str = "/demo-llmd/qwen/v1/chat/completions";

/// Namespaces of this story, which go with it.
const NAMESPACES: &str = "openshift-ingress demo-llmd sa-high-prio sa-low-prio llm-picker";

/// Clients of each priority: together more than the pods and their queues hold, so that some wait in the gateway.
const CLIENTS: usize = 16;

/// Duration of the load test.
const LOADED: Duration = Duration::from_secs(12);

/// Lets both rules of the route name the Service, as KServe's controller does without `spec.router.scheduler`.
const AS_KSERVE: &str = r#"
service='{"group":"","kind":"Service","name":"qwen-kserve-workload-svc","port":8000,"weight":1}'
for rule in 0 1; do rules+="${rules:+,}{\"op\":\"replace\",\"path\":\"/spec/rules/$rule/backendRefs/0\",\"value\":$service}"; done
kubectl patch -n demo-llmd httproute qwen-kserve-route --type json -p "[$rules]"
"#;

/// A cluster with an LLMInferenceService. Dropping it takes everything away again.
struct Seed {
    cluster: Cluster,
    /// Folder that the commands run in: they leave a file.
    folder: PathBuf,
}

impl Seed {
    fn new() -> Self {
        let cluster = Cluster::here();
        cluster.kubectl(&format!("apply --server-side -f {}", cluster.part("inference-v1.5.0")));
        cluster.kubectl("wait --for condition=Established crd --all --timeout 240s");
        // The definition is there before what it defines.
        until("all objects are there", || cluster.try_apply("seed.yaml"));
        let keys = cluster.keys();
        cluster.kubectl(&format!(
            "create secret tls -n demo-llmd qwen-kserve-self-signed-certs --cert {keys}/apiserver.crt --key {keys}/apiserver.key"
        ));
        let folder = cluster.scratch("seed");
        symlink(cluster.chart().trim_end_matches("/chart"), folder.join("envoy")).unwrap();
        Self { cluster, folder }
    }

    fn run(&self, line: &str) -> String {
        self.cluster.shell_in(&self.folder, line).unwrap_or_else(|said| panic!("{said}"))
    }

    /// Requests of a namespace's service account.
    fn of(&self, namespace: &str, tokens: u32) -> Target {
        let token = self.run(&format!("kubectl create token llm-inferencer -n {namespace}"));
        let token = Some(token.trim().to_owned());
        Target { gateway: GATEWAY, token, tokens, ..CHAT.into() }
    }

    fn until_picked(&self, target: &Target, by: Picked) {
        until(&format!("requests are picked by {by:?}"), || {
            let mut outcomes = (0..10).map(|_| ask(&self.cluster, target.clone()));
            outcomes.find(|outcome| *outcome != Outcome::Served(by)).map_or(Ok(()), Err)
        });
    }
}

impl Drop for Seed {
    fn drop(&mut self) {
        for namespace in ["demo-llmd", "llm-picker"] {
            // What a story has not installed cannot be uninstalled.
            let _ =
                self.cluster.helm(&["uninstall", "picker", "--namespace", namespace, "--no-hooks"]);
        }
        self.cluster
            .kubectl("delete pods -n openshift-ingress --all --grace-period 1 --wait=false");
        self.cluster
            .kubectl(&format!("delete namespace --ignore-not-found --timeout 240s {NAMESPACES}"));
        self.cluster.kubectl("delete crd llminferenceservices.serving.kserve.io");
    }
}

#[test]
fn from_an_empty_cluster_to_two_priorities_under_load() {
    let page = commands("openshift.md");
    let [migrate, gateway, team, environment, scheduler, test, curl] = page.as_slice() else {
        panic!("docs/openshift.md has other commands than this story: {page:#?}")
    };
    let seed = Seed::new();
    let [high, low] = ["sa-high-prio", "sa-low-prio"].map(|namespace| seed.of(namespace, 32));
    seed.until_picked(&high, Picked::Epp);
    let one = Target { tokens: 1, ..high.clone() };
    let load = Load::of(&seed.cluster, &one, 2);
    // No registry has the images: the scraper serves the plugin.
    let images = format!(
        "--set picker.image.fromScraper=true,picker.image.sha256={},picker.decisionHeader=true --timeout 240s",
        checksum(&seed.cluster.plugin())
    );
    seed.run(migrate);
    let values = fs::read_to_string(seed.folder.join("values.yaml")).unwrap();
    assert!(
        values.contains("kind: llmInferenceService") && values.contains("queueDepthThreshold"),
        "{values}"
    );
    seed.run(&format!("{gateway} {images}"));
    seed.run(&format!("{team} {images}"));
    seed.run(environment);
    let rollout = "rollout status -n openshift-ingress deployment/openshift-ai-inference-istio --timeout 240s";
    until("the Gateway's Deployment has the environment", || {
        let said = seed
            .cluster
            .get("deployment -n openshift-ingress openshift-ai-inference-istio")
            .to_string();
        said.contains("LLM_PICKER_SECRET").then_some(()).ok_or("no such variable")
    });
    seed.cluster.kubectl(rollout);
    seed.run(test);
    settle();
    seed.run(scheduler);
    seed.run(AS_KSERVE);
    seed.until_picked(&high, Picked::Picker);
    let address = seed.cluster.address(GATEWAY, 80).unwrap();
    let answer = seed.run(&curl.replace("GATEWAY", &address.to_string()));
    assert!(answer.contains("200 OK") && answer.contains("x-llm-picker-decision"), "{answer}");
    assert_eq!(failed(&load.end()), [""; 0], "while the picker came");
    let loads = [&high, &low].map(|target| Load::of(&seed.cluster, target, CLIENTS));
    sleep(LOADED);
    let page = seed.cluster.page("picker-scraper.llm-picker", 9091, "/metrics");
    let [high, low] = loads.map(Load::end_timed);
    for (priority, (counts, mean)) in [("high", &high), ("low", &low)] {
        let served = picked(counts, Picked::Picker);
        say(&format!("{priority} priority: {served} served, mean {:.2} s", mean.as_secs_f64()));
        assert!(served > 0 && counts.len() == 1, "{priority}: {counts:?}");
    }
    assert!(high.1 * 2 < low.1, "{:?} and {:?}", high.1, low.1);
    let bands = page.lines().filter(|line| line.starts_with("llm_d_epp_flow_control_queue_size"));
    let waited = bands.filter(|line| line.contains(r#"priority="10""#) && !line.ends_with(" 0"));
    assert!(waited.count() > 0, "no request of low priority waited: {page}");
}
