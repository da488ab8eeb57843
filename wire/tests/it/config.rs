//! The plugin's configuration.

use picker_core::{OutputEstimate, OutputRatio, Profile, ToolsAt};
use wire::config::{PickerConfig, PluginConfig, PoolConfig, RefusedConfig, parse};

use crate::mutated;

fn picker(json: &str) -> Result<PickerConfig, RefusedConfig> {
    let config = parse(json.as_bytes())?;
    let picker = if let PluginConfig::Picker(picker) = config { Some(*picker) } else { None };
    Ok(picker.unwrap())
}

/// The only pool of a configuration.
fn pool(json: &str) -> Result<PoolConfig, RefusedConfig> {
    let mut pools = picker(json)?.pools;
    assert_eq!(pools.len(), 1);
    Ok(pools.remove(0))
}

/// The error, or else how endpoints are picked.
fn say(json: &str) -> String {
    let PoolConfig { name, scheduler, prompt_blocks_max, .. } = match pool(json) {
        Ok(pool) => pool,
        Err(error) => return shortened(error.to_string()),
    };
    let profiles: Vec<String> =
        scheduler.scheduling.profiles.iter().map(Profile::to_string).collect();
    format!(
        "{name}: {}; {prompt_blocks_max} blocks; cache {}{}",
        profiles.join(" | "),
        scheduler.default_capacity,
        if scheduler.auto_tune { " unless said" } else { "" },
    )
}

/// An error without the long list of all plugin types, which another test looks at.
fn shortened(error: String) -> String {
    let list = error.find("allowed: prefix-cache-scorer, queue-scorer");
    list.map_or_else(|| error.clone(), |at| format!("{}allowed: …", error.split_at(at).0))
}

const PASTED: &str = r#"{
    "apiVersion": "inference.networking.x-k8s.io/v1alpha1", "kind": "EndpointPickerConfig",
    "plugins": [
        {"type": "queue-scorer"}, {"name": "kv", "type": "kv-cache-utilization-scorer"},
        {"type": "prefix-cache-scorer"}, {"type": "max-score-picker", "parameters": {"maxNumOfEndpoints": 2.0}},
        {"type": "single-profile-handler"},
        {"type": "approx-prefix-cache-producer", "parameters": {"blockSizeTokens": 16, "autoTune": false}},
        {"type": "metrics-data-source"}, {"type": "core-metrics-extractor"}, {"type": "openai-parser"}, {"type": "anthropic-parser"}, {"type": "vllmhttp-parser"}],
    "schedulingProfiles": [{"name": "default", "plugins": [
        {"pluginRef": "queue-scorer", "weight": 2.5}, {"pluginRef": "kv"}, {"pluginRef": "max-score-picker"}]}],
    "requestHandler": {"parsers": [{"pluginRef": "openai-parser"}, {"pluginRef": "anthropic-parser"}, {"pluginRef": "vllmhttp-parser"}]},
    "dataLayer": {"sources": [{"pluginRef": "metrics-data-source", "extractors": [{"pluginRef": "core-metrics-extractor"}]}]},
    "objectives": [{"name": "batch", "priority": -1.0}], "failureMode": "FailOpen", "decisionHeader": true,
    "envoy": {"hold": "bufferFilter", "destination": "property", "maxBodyBytes": "1Mi"}}"#;

#[test]
fn an_epp_configuration_is_pasted_whole() {
    insta::assert_snapshot!(say(PASTED), @"default: default: 2.5 queue-scorer, 1 kv-cache-utilization-scorer, max-score-picker of 2; 16384 blocks; cache 31250");
    let wrapped =
        r#"{"pools": [{"name": "a", "config": {"plugins": [{"type": "queue-scorer"}]}}]}"#;
    insta::assert_snapshot!(say(wrapped), @"a: default: 1 queue-scorer, max-score-picker of 3; 16384 blocks; cache 31250 unless said");
}

#[test]
fn nothing_at_all_goes_by_estimated_ttft() {
    assert_eq!(parse(b""), parse(b"{}"));
    assert_eq!(picker(""), picker(r#"{"pools": [{}]}"#));
    let PoolConfig { name, scheduler, prompt_blocks_max, flow, .. } = pool("").unwrap();
    assert_eq!(
        (name.as_str(), prompt_blocks_max, flow),
        ("default", picker_core::BLOCKS_MAX, None)
    );
    assert_eq!(scheduler, picker_core::Config::default());
    insta::assert_snapshot!(say(""), @"default: default: 1 estimated-ttft-scorer, max-score-picker of 3; 16384 blocks; cache 31250 unless said");
}

#[test]
fn the_epp_default_can_be_had() {
    let plugins = ["queue-scorer", "kv-cache-utilization-scorer", "prefix-cache-scorer"];
    let refs = [(plugins[0], 2), (plugins[1], 2), (plugins[2], 3)]
        .map(|(name, weight)| format!(r#"{{"pluginRef": "{name}", "weight": {weight}}}"#));
    let plugins = plugins.map(|name| format!(r#"{{"type": "{name}"}}"#));
    let (plugins, refs) = (plugins.join(","), refs.join(","));
    let profiles = format!(r#"[{{"name": "default", "plugins": [{refs}]}}]"#);
    let config = format!(r#"{{"plugins": [{plugins}], "schedulingProfiles": {profiles}}}"#);
    let profile = Profile::of_the_epp();
    assert_eq!(pool(&config).unwrap().scheduler.scheduling, profile.into());
}

#[test]
fn plugins_that_do_not_schedule_leave_the_default_profile() {
    assert_eq!(say(r#"{"plugins": [{"type": "edf-ordering-policy"}]}"#), say(""));
}

#[test]
fn the_prefix_index_counts_in_blocks_of_64_tokens() {
    let blocks = |parameters: &str| {
        let plugin = format!(
            r#"{{"type": "approx-prefix-cache-producer", "parameters": {{{parameters}}}}}"#
        );
        let pool = pool(&format!(r#"{{"plugins": [{plugin}]}}"#)).unwrap();
        (pool.prompt_blocks_max, pool.scheduler.default_capacity)
    };
    assert_eq!(blocks(""), (picker_core::BLOCKS_MAX, 31_250));
    assert_eq!(blocks(r#""blockSizeTokens": 16, "lruCapacityPerServer": 100"#).1, 100);
    assert_eq!(blocks(r#""blockSizeTokens": 128, "lruCapacityPerServer": 100"#).1, 200);
    assert_eq!(blocks(r#""maxPrefixTokensToMatch": 131072, "maxPrefixBlocksToMatch": 7"#).0, 2_048);
    assert_eq!(blocks(r#""blockSizeTokens": 128, "maxPrefixBlocksToMatch": 256"#).0, 512);
    assert_eq!(blocks(r#""maxPrefixTokensToMatch": 0"#).0, picker_core::BLOCKS_MAX);
}

#[test]
fn an_ingest_instance_has_nothing_else() {
    let say = |json: &str| match parse(json.as_bytes()) {
        Ok(config) => format!("{config:?}"),
        Err(error) => error.to_string(),
    };
    insta::assert_snapshot!([
        r#"{"ingest": {}}"#,
        r#"{"ingest": {"secretEnv": "S", "maxBytes": "10k"}}"#,
        r#"{"ingest": {}, "plugins": []}"#,
    ].map(say).join("\n"), @r#"
    Ingest(IngestConfig { secret_envs: ["LLM_PICKER_SECRET", "LLM_PICKER_SECRET_NEXT"], max_bytes: 4194304 })
    Ingest(IngestConfig { secret_envs: ["S"], max_bytes: 10000 })
    invalid plugins: must be a known field; allowed: ingest
    "#);
}

#[test]
fn errors_say_where_what_and_what_is_allowed() {
    insta::assert_snapshot!([
        r#"{"plugins": [{"type": "queue-scorer"}, {"type": "foo-scorer"}]}"#,
        r#"{"plugins": [{"type": "queue-scorer", "parameters": {"x": 1}}]}"#,
        r#"{"plugins": [{"name": "a"}]}"#,
        r#"{"plugins": [{"type": "queue-scorer"}, {"type": "queue-scorer"}]}"#,
        r#"{"plugins": [{"type": "max-score-picker", "parameters": {"maxNumOfEndpoints": 1.5}}]}"#,
        r#"{"plugins": [{"type": "queue-scorer"}], "schedulingProfiles": [{"plugins": [{"pluginRef": "kv"}]}]}"#,
        r#"{"plugins": [{"type": "queue-scorer"}], "schedulingProfiles": [{"plugins": [{"pluginRef": "queue-scorer", "weight": -1}]}]}"#,
        r#"{"schedulingProfiles": [{}, {}]}"#,
        r#"{"pools": [{}, {}]}"#,
        r#"{"pools": []}"#,
        r#"{"pools": [{"match": {"host": "a.example:80"}}]}"#,
        r#"{"pools": [{"match": {"pathPrefix": "v1"}}]}"#,
        r#"{"pools": [{"match": {"model": [1]}}]}"#,
        r#"{"pools": [{"name": "a b"}]}"#,
        r#"{"pools": [{}], "plugins": []}"#,
        r#"{"featureGates": ["flowcontrol"]}"#,
        r#"{"plugins": [{"type": "precise-prefix-cache-scorer"}]}"#,
        r#"{"envoy": {"hold": "bufferFilter"}}"#,
        r#"{"envoy": {"hold": "maybe"}}"#,
        r#"{"failuremode": "FailOpen"}"#,
        r#"{"apiVersion": "v2"}"#,
        r#"{"objectives": [{"name": "a", "priority": 3e9}]}"#,
        r#"{"identity": {"fairnessHeaders": ["a b"]}}"#,
        r#"{"identity": {"fairnessKey": "jwt"}}"#,
        r#"{"identity": {"fairnessKey": "jwtClaim"}}"#,
        r#"{"identity": {"jwt": {"claim": "sub"}}}"#,
        r#"{"identity": {"saltByTenant": "yes"}}"#,
        r#"{"identity": {"trusted": ["x-gateway-destination-endpoint"]}}"#,
        r"[1]",
        r"{",
    ].map(say).join("\n"), @r#"
    invalid plugins[1].type "foo-scorer": must be a known name; allowed: …
    invalid plugins[0].parameters.x: must be a known field; allowed: none
    invalid plugins[0].type: must not be left out
    invalid plugins[1] "queue-scorer": must have a name that no other plugin has
    invalid plugins[0].parameters.maxNumOfEndpoints 1.5: must be a whole number from 1 to 16
    invalid schedulingProfiles[0].plugins[0].pluginRef "kv": must be a known name; allowed: queue-scorer
    invalid schedulingProfiles[0].plugins[0].weight -1: must be a number from 0 to 1000000000
    invalid schedulingProfiles[1] "default": must have a name that no other profile has
    invalid pools[1]: must not stand behind "default", which has its name or leaves it no request; allowed: pools with names of their own, and one that matches everything as the last
    invalid pools of 0 items: must have 1 to 2048
    invalid pools[0].match.host "a.example:80": must be a host without a port, or one that begins with "*."
    invalid pools[0].match.pathPrefix "v1": must be a path that begins with "/"
    invalid pools[0].match.model[0] 1: must be a string that is not empty
    invalid pools[0].name "a b": must be 1 to 63 of A-Z a-z 0-9 . _ -
    invalid plugins: must not stand beside pools; allowed: this within pools[…].config, or no pools
    invalid featureGates[0] "flowcontrol": must be a known name; allowed: flowControl, flowControl=true, flowControl=false
    invalid plugins[0].type "precise-prefix-cache-scorer": must be another type: engines' KV events come over ZMQ, which a filter in Envoy cannot read; use prefix-cache-scorer with approx-prefix-cache-producer
    invalid envoy.destination "header": must not go with hold "bufferFilter", as headers can no longer be written once they went on; allowed: property, filterState
    invalid envoy.hold "maybe": must be a known name; allowed: stopIteration, bufferFilter
    invalid failuremode: must be a known field; allowed: apiVersion, kind, featureGates, plugins, schedulingProfiles, flowControl, saturationDetector, requestHandler, dataLayer, pools, routeHeaders, gatewayShare, toolsAt, objectives, modelRewrites, identity, envoy, pull, failureMode, decisionHeader, mode
    invalid apiVersion "v2": must be a known name; allowed: llm-d.ai/v1, llm-d.ai/v1alpha1, inference.networking.x-k8s.io/v1alpha1
    invalid objectives[0].priority 3000000000.0: must be a whole number of 32 bits
    invalid identity.fairnessHeaders[0] "a b": must be a header's name
    invalid identity.fairnessKey "jwt": must be a known name; allowed: header, jwtClaim, clientAddress
    invalid identity.fairnessKey "jwtClaim": must have identity.jwt beside it, which says where the claim is
    invalid identity.jwt.payloadHeader: must not be left out
    invalid identity.saltByTenant "yes": must be true or false
    invalid identity.trusted[0] "x-gateway-destination-endpoint": must be a known name; allowed: x-data-parallel-host-port, x-data-parallel-rank, x-encoder-hosts-ports, x-forwarded-path, x-gateway-destination-endpoint-served, x-gateway-destination-endpoint-subset, x-gateway-fairness-id, x-gateway-inference-fairness-id, x-gateway-inference-objective, x-gateway-model-name-rewrite, x-kv-cache-source-host-port, x-llm-d-audio-duration-seconds, x-llm-d-disagg-revision, x-llm-d-inference-fairness-id, x-llm-d-inference-objective, x-llm-d-model-name-rewrite, x-llm-d-video-duration-seconds, x-llm-d-video-fps, x-llm-d-video-resolution, x-original-path, x-prefiller-host-port, x-vllm-priority
    invalid configuration (a list): must be an object
    invalid configuration: must be JSON: EOF while parsing an object at line 1 column 1
    "#);
}

#[test]
fn tools_are_where_the_pool_or_else_the_plugin_says() {
    let config = r#"{"toolsAt": "afterSystem", "pools": [
        {"name": "a", "toolsAt": "beforeLastUser", "match": {"model": "a"}},
        {"name": "b", "toolsAt": "learnt", "match": {"model": "b"}},
        {"name": "c"}]}"#;
    let pools = picker(config).unwrap().pools;
    let places: Vec<_> = pools.iter().map(|pool| pool.tools_at).collect();
    assert_eq!(places, [Some(ToolsAt::BeforeLastUser), None, Some(ToolsAt::AfterSystem)]);
    assert_eq!(pool("").unwrap().tools_at, None);
}

#[test]
fn output_is_estimated_as_the_producer_says() {
    let estimate = |parameters: &str| {
        let plugin = format!(r#"{{"type": "inflight-load-producer", "parameters": {parameters}}}"#);
        pool(&format!(r#"{{"plugins": [{plugin}]}}"#)).unwrap().scheduler.output_estimate
    };
    let of = |ratio, tokens_max| OutputEstimate::OfPrompt(OutputRatio { ratio, tokens_max });
    for (parameters, meant) in [
        ("{}", OutputEstimate::Learnt),
        (r#"{"outputRatio": 2, "addEstimatedOutputTokens": false}"#, OutputEstimate::Learnt),
        (r#"{"addEstimatedOutputTokens": true}"#, of(1.5, None)),
        (
            r#"{"addEstimatedOutputTokens": true, "outputRatio": 0.5, "maxEstimatedOutputTokens": 99}"#,
            of(0.5, Some(99)),
        ),
    ] {
        assert_eq!(estimate(parameters), meant, "{parameters}");
    }
}

#[test]
fn pools_have_what_is_common_and_what_is_their_own() {
    let json = r#"{
        "objectives": [{"name": "paid", "priority": 1}],
        "modelRewrites": [{"name": "all", "rules": [{"targets": [{"modelRewrite": "m"}]}]}],
        "pools": [
            {"name": "a", "match": {"cluster": "llama", "host": "*.A.example", "pathPrefix": "/a", "model": "x"}},
            {"name": "b", "match": {"model": ["y", "z"]}, "objectives": [], "modelRewrites": []},
            {"name": "c", "config": {"requestHandler": {"propagatePriority": true}}}]}"#;
    let pools = picker(json).unwrap().pools;
    let told = pools.iter().map(|pool| {
        let PoolConfig { name, matches, propagate_priority, objectives, model_rewrites, .. } = pool;
        let (objectives, rewrites) = (objectives.len(), model_rewrites.len());
        format!("{name} {objectives} {rewrites} {propagate_priority} {matches:?}")
    });
    insta::assert_snapshot!(told.collect::<Vec<_>>().join("\n"), @r#"
    a 1 1 false Match { cluster: Some("llama"), host: Some("*.a.example"), path_prefix: Some("/a"), models: ["x"] }
    b 0 0 false Match { cluster: None, host: None, path_prefix: None, models: ["y", "z"] }
    c 1 1 true Match { cluster: None, host: None, path_prefix: None, models: [] }
    "#);
}

#[test]
fn model_rewrites_are_those_of_the_crd() {
    let json = r#"{"modelRewrites": [{"name": "canary", "rules": [
        {"matches": [{"model": {"type": "Exact", "value": "food"}}, {"model": {"value": "meal"}}],
         "targets": [{"modelRewrite": "food-v1", "weight": 9.0}, {"modelRewrite": "food-v2", "weight": 1}]},
        {"targets": [{"modelRewrite": "base"}]}]}, {"rules": []}]}"#;
    let rewrites = pool(json).unwrap().model_rewrites;
    let names = rewrites.iter().map(|rewrite| rewrite.name.as_str()).collect::<Vec<_>>();
    assert_eq!(names, ["canary", "configured"]);
    let told = rewrites[0].rules.iter().map(|rule| {
        let targets = rule.targets.iter().map(|it| format!("{} {}", it.model, it.weight));
        format!("{:?}: {}", rule.models, targets.collect::<Vec<_>>().join(", "))
    });
    insta::assert_snapshot!(told.collect::<Vec<_>>().join("\n"), @r#"
    ["food", "meal"]: food-v1 9, food-v2 1
    []: base 1
    "#);

    let refused = |rule: &str| say(&format!(r#"{{"modelRewrites": [{{"rules": [{rule}]}}]}}"#));
    insta::assert_snapshot!([
        r#"{"matches": [], "targets": []}"#,
        r#"{"targets": [{"modelRewrite": ""}]}"#,
        r#"{"targets": [{"modelRewrite": "a", "weight": 0}]}"#,
        r#"{"targets": [{"modelRewrite": "a", "weight": 1}, {"modelRewrite": "b"}]}"#,
        r#"{"matches": [{"model": {"type": "Prefix", "value": "a"}}], "targets": [{"modelRewrite": "a"}]}"#,
        r#"{"matches": [{"model": {}}], "targets": [{"modelRewrite": "a"}]}"#,
        r#"{"matches": [{"header": "a"}], "targets": [{"modelRewrite": "a"}]}"#,
    ].map(refused).join("\n"), @r#"
    invalid modelRewrites[0].rules[0].targets of 0 items: must have 1 to 64
    invalid modelRewrites[0].rules[0].targets[0].modelRewrite "": must be a string that is not empty
    invalid modelRewrites[0].rules[0].targets[0].weight 0: must be a whole number from 1 to 1000000
    invalid modelRewrites[0].rules[0].targets: must all have a weight or none; 1 of 2 have
    invalid modelRewrites[0].rules[0].matches[0].model.type "Prefix": must be a known name; allowed: Exact
    invalid modelRewrites[0].rules[0].matches[0].model.value: must not be left out
    invalid modelRewrites[0].rules[0].matches[0].header: must be a known field; allowed: model; invalid modelRewrites[0].rules[0].matches[0].model: must not be left out
    "#);
}

#[test]
fn headers_that_nobody_vouches_for_are_stripped() {
    let stripped = |identity: &str| {
        picker(&format!(r#"{{"identity": {identity}}}"#)).unwrap().identity.stripped.join(" ")
    };
    assert_eq!(stripped("{}"), "", "all are trusted by default");
    insta::assert_snapshot!([
        r#"{"objectiveHeaders": ["x-llm-d-inference-objective"], "fairnessHeaders": ["X-Team"]}"#,
        r#"{"objectiveHeaders": [], "jwt": {"payloadHeader": "X-Jwt", "claim": "a.b"}}"#,
        r#"{"fairnessHeaders": ["x-team"], "fairnessKey": "clientAddress"}"#,
        r#"{"fairnessHeaders": [], "strip": false}"#,
    ].map(stripped).join("\n"), @"
    x-gateway-fairness-id x-gateway-inference-fairness-id x-gateway-inference-objective x-llm-d-inference-fairness-id
    x-gateway-inference-objective x-llm-d-inference-objective
    x-gateway-fairness-id x-gateway-inference-fairness-id x-llm-d-inference-fairness-id x-team
    ");
}

#[test]
fn headers_that_steer_are_stripped_unless_they_are_trusted() {
    let steering = |identity: &str| {
        let identity = picker(&format!(r#"{{"identity": {identity}}}"#)).unwrap().identity;
        [identity.steering, identity.steering_paths].concat()
    };
    let all = steering("{}");
    insta::assert_snapshot!(all.join("\n"), @"
    x-gateway-destination-endpoint-subset
    x-llm-d-model-name-rewrite
    x-gateway-model-name-rewrite
    x-prefiller-host-port
    x-encoder-hosts-ports
    x-kv-cache-source-host-port
    x-data-parallel-host-port
    x-data-parallel-rank
    x-llm-d-disagg-revision
    x-vllm-priority
    x-llm-d-video-fps
    x-llm-d-video-duration-seconds
    x-llm-d-video-resolution
    x-llm-d-audio-duration-seconds
    x-gateway-destination-endpoint-served
    x-original-path
    x-forwarded-path
    ");
    // `strip` is about identity alone.
    assert_eq!(steering(r#"{"strip": false}"#), all);
    for name in &all {
        let rest = steering(&format!(r#"{{"trusted": ["{}"]}}"#, name.to_uppercase()));
        let others: Vec<_> = all.iter().filter(|other| *other != name).cloned().collect();
        assert_eq!(rest, others);
    }
    let team = r#"{"fairnessHeaders": ["x-team"], "trusted": ["X-Team", "x-original-path"]}"#;
    let identity = picker(&format!(r#"{{"identity": {team}}}"#)).unwrap().identity;
    assert!(identity.trusts("x-team") && !identity.trusts("x-forwarded-path"));
}

#[test]
fn broken_configurations_never_panic() {
    arbtest::arbtest(|u| {
        let _ = parse(&mutated(u, PASTED.as_bytes())?);
        let any: Vec<u8> = u.arbitrary()?;
        let _ = parse(&any);
        Ok(())
    });
}
