//! From an EPP's manifests to the chart's values.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use picker_core::{Decider, Handler};
use scraper::{Migrated, migrate, migrate_plugin};
use wire::config::{PluginConfig, parse};

/// Manifests of a chart for OpenShift AI, with one part of each kind that has no place in the
/// values.
const KSERVE: &str = r#"
apiVersion: serving.kserve.io/v1alpha2
kind: LLMInferenceService
metadata: {name: qwen, namespace: demo-llmd}
spec:
  router:
    scheduler:
      replicas: 2
      config:
        inline:
          apiVersion: inference.networking.x-k8s.io/v1alpha1
          kind: EndpointPickerConfig
          featureGates: [flowControl]
          flowControl:
            defaultRequestTTL: 60s
            priorityBands:
            - {priority: 100, fairnessPolicyRef: round-robin-fairness-policy, orderingPolicyRef: fcfs-ordering-policy}
          plugins:
          - {type: queue-scorer}
          - {type: made-up-scorer}
          - {type: fcfs-ordering-policy}
          - {type: round-robin-fairness-policy}
          schedulingProfiles:
          - name: default
            plugins: [{pluginRef: queue-scorer, weight: 2}, {pluginRef: made-up-scorer, weight: 1}]
      template:
        containers:
        - {name: main, args: [-v=4, --grpc-port, "9002", --made-up], env: [{name: A, value: b}]}
---
apiVersion: inference.networking.x-k8s.io/v1alpha2
kind: InferenceObjective
metadata: {name: sa-high-prio, namespace: demo-llmd}
spec: {priority: 100, poolRef: {name: qwen-inference-pool}}
---
apiVersion: v1
kind: Secret
metadata: {name: other}
"#;

#[test]
fn an_llm_inference_service_becomes_values_and_a_list() {
    let said = migrate(KSERVE).unwrap();
    let (notes, values): (Vec<&str>, Vec<&str>) =
        said.lines().partition(|line| line.starts_with('#'));
    // The list of allowed types grows.
    let notes: Vec<&str> =
        notes.iter().map(|note| note.split("; allowed:").next().unwrap()).collect();
    insta::assert_snapshot!(notes.join("\n"), @r#"
    # Values for llm-picker's chart: helm install -f THIS …
    #
    # Left out, or left to do:
    # - LLMInferenceService demo-llmd/qwen: remove spec.router.scheduler, else KServe's EPP goes on beside the picker
    # - LLMInferenceService demo-llmd/qwen: invalid plugins[1].type "made-up-scorer": must be a known name
    # - LLMInferenceService demo-llmd/qwen: argument --v: set RUST_LOG for the scraper, the wasm component's level for Envoy
    # - LLMInferenceService demo-llmd/qwen: argument --grpc-port: there is no ext_proc server
    # - LLMInferenceService demo-llmd/qwen: argument --made-up: not known here; not carried over
    # - LLMInferenceService demo-llmd/qwen: spec.router.scheduler.template container.env: not carried over
    # - LLMInferenceService demo-llmd/qwen: spec.router.scheduler.replicas: not carried over
    # - objectives: those of the input are in the cluster, and helm refuses what it has not made: helm install --take-ownership
    # - Secret other: not read; llm-picker has no use for it
    "#);
    insta::assert_snapshot!(values.join("\n"), @r#"
    models:
    - kind: llmInferenceService
      name: qwen
      namespace: demo-llmd
    objectiveGroup: inference.networking.x-k8s.io
    objectives:
    - name: sa-high-prio
      priority: 100
    picker:
      config:
        apiVersion: inference.networking.x-k8s.io/v1alpha1
        featureGates:
        - flowControl
        flowControl:
          defaultRequestTTL: 60s
          priorityBands:
          - fairnessPolicyRef: round-robin-fairness-policy
            orderingPolicyRef: fcfs-ordering-policy
            priority: 100
        kind: EndpointPickerConfig
        plugins:
        - type: queue-scorer
        - type: fcfs-ordering-policy
        - type: round-robin-fairness-policy
        schedulingProfiles:
        - name: default
          plugins:
          - pluginRef: queue-scorer
            weight: 2
    "#);
}

#[test]
fn a_deployment_and_its_config_map_belong_together() {
    let manifests = "
kind: Deployment
metadata: {name: epp}
spec: {template: {spec: {containers: [{name: epp, image: x, args: [--pool-name, qwen, --pool-namespace=models, --config-file, /config/default.yaml]}]}}}
---
kind: ConfigMap
metadata: {name: epp}
data:
  default.yaml: |
    kind: EndpointPickerConfig
    plugins: [{type: queue-scorer}]
  other.txt: hello
";
    insta::assert_snapshot!(migrate(manifests).unwrap(), @r#"
    # Values for llm-picker's chart: helm install -f THIS …
    #
    # Left out, or left to do:
    # - ConfigMap epp, key other.txt: not an EndpointPickerConfig; not read
    # - models[0].name: not in the input; set it
    models:
    - inferencePool:
        create: false
        name: qwen
      namespace: models
    picker:
      config:
        kind: EndpointPickerConfig
        plugins:
        - type: queue-scorer
    "#);
    let alone = manifests.split("---").next().unwrap();
    assert!(migrate(alone).unwrap().contains("default.yaml: referred to and not among the input"));
}

/// The manifests are in the order of kubectl: by kind, not by model.
#[test]
fn several_models_keep_what_is_theirs() {
    let epp = |name: &str| {
        format!(
            "
kind: Deployment
metadata: {{name: {name}-epp}}
spec: {{template: {{spec: {{containers: [{{args: [--config-file=/config/default.yaml, --pool-name, {name}]}}],
  volumes: [{{configMap: {{name: {name}-epp}}}}]}}}}}}
---
"
        )
    };
    let config = |name: &str, scorer: &str| {
        format!(
            "
kind: ConfigMap
metadata: {{name: {name}-epp}}
data: {{default.yaml: '{{kind: EndpointPickerConfig, plugins: [{{type: {scorer}}}]}}'}}
---
"
        )
    };
    let pool = |name: &str| {
        format!(
            "
kind: InferencePool
metadata: {{name: {name}, namespace: models}}
spec: {{selector: {{matchLabels: {{app: {name}}}}}, targetPorts: [{{number: 8000}}]}}
---
"
        )
    };
    let configs = config("llama", "queue-scorer") + &config("qwen", "prefix-cache-scorer");
    let manifests = epp("qwen") + &epp("llama") + &configs + &pool("llama") + &pool("qwen");
    insta::assert_snapshot!(migrate(&manifests).unwrap(), @r"
    # Values for llm-picker's chart: helm install -f THIS …
    models:
    - config:
        kind: EndpointPickerConfig
        plugins:
        - type: queue-scorer
      inferencePool:
        create: false
        name: llama
      name: llama
      namespace: models
      podLabels:
        app: llama
      port: 8000
    - config:
        kind: EndpointPickerConfig
        plugins:
        - type: prefix-cache-scorer
      inferencePool:
        create: false
        name: qwen
      name: qwen
      namespace: models
      podLabels:
        app: qwen
      port: 8000
    ");
    let loose = migrate(&(pool("a") + &pool("b") + &config("c", "queue-scorer"))).unwrap();
    assert!(loose.contains("that no one model names; not carried over"), "{loose}");
}

#[test]
fn what_holds_nothing_is_refused() {
    for manifests in ["", "kind: Secret", "a: [", "- 1"] {
        let error = migrate(manifests).unwrap_err();
        assert!(
            error.contains("nothing to carry over") || error.contains("invalid YAML"),
            "{error}"
        );
    }
}

/// What KServe and the Gateway API say around a configuration with prefill apart from decode.
const APART: &str = r#"
kind: LLMInferenceService
metadata: {name: chat, namespace: models}
spec:
  router:
    gateway: {refs: [{name: shared, namespace: edge}]}
    route: {http: {refs: [{name: chat-route}]}}
    scheduler:
      config:
        inline:
          kind: EndpointPickerConfig
          plugins:
          - {type: prefill-filter}
          - {type: decode-filter}
          - {type: precise-prefix-cache-scorer, parameters: {indexerConfig: {}}}
          - {type: pd-profile-handler, parameters: {threshold: 0, hashBlockSize: 5}}
          schedulingProfiles:
          - {name: prefill, plugins: [{pluginRef: prefill-filter}, {pluginRef: precise-prefix-cache-scorer, weight: 3}]}
          - {name: decode, plugins: [{pluginRef: decode-filter}]}
      template:
        containers:
        - {name: main, command: [/app/epp, --refresh-metrics-interval=20ms], args: [--model-server-metrics-scheme, https, --kv-cache-usage-percentage-metric, mine]}
        - {name: tokenizer, image: x}
---
kind: HTTPRoute
metadata: {name: chat-route, namespace: models}
spec:
  parentRefs: [{name: other, namespace: edge}]
  rules: [{backendRefs: [{group: inference.networking.k8s.io, kind: InferencePool, name: chat-inference-pool}]}]
---
kind: InferenceModelRewrite
metadata: {name: canary, namespace: models}
spec: {poolRef: {name: chat-inference-pool}, rules: [{targets: [{modelRewrite: m}]}]}
"#;

#[test]
fn routes_rewrites_gateways_and_flags_are_read() {
    let said = migrate(APART).unwrap();
    for line in [
        // The way into Envoy is one by which the handler's headers can be written.
        "picker:\n  config:",
        "  way: envoyFilter\n",
        "        threshold: 0\n",
        "gateway:\n  name: shared\n  namespace: edge\n",
        "scraper:\n  interval: 20ms\n",
        "plugins[3].parameters.hashBlockSize 5: ",
        "precise-prefix-cache-scorer: prefix-cache-scorer in its place",
        "its parameters indexerConfig have no place",
        "Gateway edge/other: a release has one gateway, and another has come first",
        "spec.rules[0].backendRefs: name the model's Service in the place of InferencePool chat-inference-pool",
        "InferenceModelRewrite models/canary: stays where it is",
        "template container tokenizer: not carried over",
        "argument --kv-cache-usage-percentage-metric mine: the scraper knows",
    ] {
        assert!(said.contains(line), "{line:?} is not in\n{said}");
    }
    assert!(!said.contains("model-server-metrics-scheme"), "the pods are asked over TLS:\n{said}");
}

/// An Envoy without Kubernetes takes what is printed, and the rewrites and objectives with it.
#[test]
fn the_plugins_json_is_taken_by_the_plugin() {
    let Migrated { text, notes } = migrate_plugin(APART).unwrap();
    let Ok(PluginConfig::Picker(picker)) = parse(text.as_bytes()) else { panic!("{text}") };
    let pool = &picker.pools[0];
    let Handler::Disagg(disagg) = &pool.scheduler.scheduling.handler else { panic!("{text}") };
    assert_eq!(disagg.prefill_decider, Some(Decider::Always));
    assert_eq!(pool.model_rewrites.len(), 1);
    assert!(notes.iter().any(|note| note.contains("hashBlockSize")), "{notes:?}");
    let two = format!("{APART}---\n{}", APART.replace("chat", "code"));
    assert!(migrate_plugin(&two).unwrap_err().contains("the configurations of 2 models"));
}
